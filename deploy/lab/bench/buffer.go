package bench

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"andon.internal/lab/factory"
)

// BufferReport is what the agent's own command measured.
type BufferReport struct {
	Machine Machine         `json:"machine"`
	Dir     string          `json:"dir"`  // on the disk that was measured
	Disk    string          `json:"disk"` // its file system and where that lies, as the system calls them
	Figures json.RawMessage `json:"figures"`
	Text    string          `json:"-"` // the same, for people
}

// Buffer has the agent measure its buffer on the disk of a folder; "": of the one for
// temporary files.
func Buffer(ctx context.Context, o Options, dir string, asJSON bool) (*BufferReport, error) {
	if dir == "" {
		dir = os.TempDir()
	}
	dir, err := filepath.Abs(dir)
	if err != nil {
		return nil, err
	}
	r := &BufferReport{Dir: dir, Disk: diskOf(dir)}
	r.Machine.read()
	args := []string{"buffer", "bench", "--dir", dir}
	if o.Short {
		args = append(args, "--short")
	}
	if asJSON {
		args = append(args, "--json")
	}
	agent := exec.CommandContext(ctx, filepath.Join(factory.FindBinaries(o.Bin), "andon-agent"), args...)
	agent.Cancel = func() error { return agent.Process.Signal(os.Interrupt) }
	var out, fault bytes.Buffer
	agent.Stdout, agent.Stderr = &out, &fault
	if err := agent.Run(); err != nil {
		return nil, fmt.Errorf("andon-agent %s: %w: %s", strings.Join(args, " "), err, bytes.TrimSpace(fault.Bytes()))
	}
	if r.Text = out.String(); asJSON {
		r.Figures = out.Bytes()
	}
	return r, nil
}

// diskOf names the file system that a folder lies on.
func diskOf(dir string) string {
	b, err := os.ReadFile("/proc/self/mounts")
	if err != nil {
		return ""
	}
	if dir, err = filepath.EvalSymlinks(dir); err != nil {
		return ""
	}
	best, where := "", ""
	for line := range strings.Lines(string(b)) {
		// device, where, kind, options
		f := strings.Fields(line)
		if len(f) < 3 {
			continue
		}
		below := f[1] == "/" || dir == f[1] || strings.HasPrefix(dir, f[1]+"/")
		if below && len(f[1]) >= len(where) {
			best, where = f[2]+" on "+f[0], f[1]
		}
	}
	return best
}
