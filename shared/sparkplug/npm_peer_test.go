package sparkplug_test

import (
	"bufio"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"
)

// npmPeer is the npm package sparkplug-payload, an implementation that is not
// ours, in a process of its own (testdata/npm/peer.js).
type npmPeer struct {
	in  io.WriteCloser
	out *bufio.Reader
}

// startPeer starts the peer, and installs its packages at the first time. It ends
// with the test.
func startPeer(t *testing.T) *npmPeer {
	t.Helper()
	for _, tool := range []string{"node", "npm"} {
		if _, err := exec.LookPath(tool); err != nil {
			t.Fatalf("this test needs Node.js 18 or later with npm (%v); install it, on Debian with: apt-get install nodejs npm", err)
		}
	}
	modules := installPeer(t)
	cmd := exec.Command("node", filepath.Join("testdata", "npm", "peer.js"))
	cmd.Env = append(os.Environ(), "NODE_PATH="+modules)
	cmd.Stderr = os.Stderr
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		in.Close() // node ends with its input
		if err := cmd.Wait(); err != nil {
			t.Errorf("the peer: %v", err)
		}
	})
	return &npmPeer{in, bufio.NewReader(out)}
}

// installPeer returns the folder of the peer's packages. They lie in a folder that
// is named after the lock file and appears whole, so that tests may run side by side.
func installPeer(t *testing.T) string {
	t.Helper()
	dir, err := filepath.Abs(filepath.Join("testdata", "npm"))
	if err != nil {
		t.Fatal(err)
	}
	lock, err := os.ReadFile(filepath.Join(dir, "package-lock.json"))
	if err != nil {
		t.Fatal(err)
	}
	hash := sha256.Sum256(lock)
	installed := filepath.Join(dir, ".installed-"+hex.EncodeToString(hash[:6]))
	modules := filepath.Join(installed, "node_modules")
	if _, err := os.Stat(modules); err == nil {
		return modules
	}
	work, err := os.MkdirTemp(dir, ".installing-")
	if err != nil {
		t.Fatal(err)
	}
	defer os.RemoveAll(work)
	for _, name := range []string{"package.json", "package-lock.json"} {
		b, err := os.ReadFile(filepath.Join(dir, name))
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(work, name), b, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, "npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund")
	cmd.Dir = work
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("npm ci, which needs a package registry within reach: %v\n%s", err, out)
	}
	if err := os.Rename(work, installed); err != nil {
		if _, statErr := os.Stat(modules); statErr != nil { // nobody else was faster
			t.Fatal(err)
		}
	}
	return modules
}

// npmRequest is a line to the peer.
type npmRequest struct {
	Op      string   `json:"op"`
	Births  [][]byte `json:"births,omitempty"`
	Message []byte   `json:"message,omitempty"`
	Payload any      `json:"payload,omitempty"`
}

// ask sends a request and reads the answer into out.
func (p *npmPeer) ask(t *testing.T, req npmRequest, out any) {
	t.Helper()
	line, err := json.Marshal(req)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := p.in.Write(append(line, '\n')); err != nil {
		t.Fatal(err)
	}
	line, err = p.out.ReadBytes('\n')
	if err != nil {
		t.Fatal(err)
	}
	answer := struct {
		OK    json.RawMessage `json:"ok"`
		Error string          `json:"error"`
	}{}
	if err := json.Unmarshal(line, &answer); err != nil {
		t.Fatal(err)
	}
	if answer.Error != "" {
		t.Fatalf("the peer refuses: %s", answer.Error)
	}
	if err := json.Unmarshal(answer.OK, out); err != nil {
		t.Fatal(err)
	}
}

// npmPayload is a payload as the peer describes it: numbers as text, floats as the
// hex digits of their bits.
type npmPayload struct {
	Timestamp string      `json:"timestamp"`
	Seq       *string     `json:"seq"`
	UUID      *string     `json:"uuid"`
	Body      *string     `json:"body"`
	Metrics   []npmMetric `json:"metrics"`
}

type npmMetric struct {
	Name       *string           `json:"name"`
	Alias      *string           `json:"alias"`
	Timestamp  *string           `json:"timestamp"`
	Type       string            `json:"type"`
	Historical bool              `json:"historical"`
	Value      *string           `json:"value"`
	Properties map[string]string `json:"properties"`
}
