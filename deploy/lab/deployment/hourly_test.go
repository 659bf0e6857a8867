package deployment_test

import (
	"encoding/pem"
	"fmt"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"andon.internal/lab/cable"
	"andon.internal/lab/cmapss"
	"andon.internal/lab/factory"
)

const hourlyToken = "s3cret-of-the-proxy"

// hourly runs the hourly script with these variables and nothing else of its own in
// the environment.
func hourly(t *testing.T, env ...string) result {
	t.Helper()
	cmd := exec.Command(filepath.Join(root, "deploy/scripts/hourly-health"))
	cmd.Env = append([]string{"PATH=" + os.Getenv("PATH"), "TMPDIR=" + t.TempDir(), "ANDON_COLLECTOR=" + filepath.Join(bin, "andon-collector")}, env...)
	r := run(t, cmd)
	if strings.Contains(r.out+r.errors, hourlyToken) {
		t.Errorf("the token is told: %+v", r)
	}
	return r
}

// TestHourlyHealthIsRedWithoutItsSecrets runs the script as a workflow does whose
// secrets are missing, which are empty then.
func TestHourlyHealthIsRedWithoutItsSecrets(t *testing.T) {
	tests := []struct {
		name string
		env  []string
		want string
	}{
		{"nothing", nil, "neither ANDON_HEALTH_URL nor ANDON_HEALTH_CONFIG is set"},
		{"empty", []string{"ANDON_HEALTH_URL=", "ANDON_HEALTH_TOKEN=", "ANDON_HEALTH_CONFIG="}, "neither"},
		{"token alone", []string{"ANDON_HEALTH_TOKEN=" + hourlyToken}, "neither"},
		{"no token", []string{"ANDON_HEALTH_URL=https://127.0.0.1:1"}, "ANDON_HEALTH_TOKEN is not set"},
		{"plain HTTP", []string{"ANDON_HEALTH_URL=http://127.0.0.1:1", "ANDON_HEALTH_TOKEN=" + hourlyToken}, "does not begin with https://"},
		{"no program", []string{"ANDON_COLLECTOR=/nowhere", "ANDON_HEALTH_CONFIG=x"}, "no program /nowhere"},
		{"no such file", []string{"ANDON_HEALTH_CONFIG=/nowhere.yaml"}, "/nowhere.yaml"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if r := hourly(t, tt.env...); r.code != 2 || !strings.Contains(r.errors, tt.want) {
				t.Errorf("%+v, want code 2 and %q", r, tt.want)
			}
		})
	}
}

// startLab starts a factory with one cell.
func startLab(t *testing.T) *factory.Factory {
	t.Helper()
	dir, err := os.MkdirTemp("", "andon-hourly-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	engines, err := os.Create(filepath.Join(dir, "engines.txt"))
	if err != nil {
		t.Fatal(err)
	}
	if err := cmapss.Generate(engines, cmapss.Spec{Engines: 2, Cycles: 200}); err != nil {
		t.Fatal(err)
	}
	if err := engines.Close(); err != nil {
		t.Fatal(err)
	}
	lab := filepath.Join(dir, "lab")
	if err := os.Mkdir(lab, 0o755); err != nil {
		t.Fatal(err)
	}
	f, err := factory.Start(t.Context(), factory.Options{
		Dir: lab, Bin: bin, Cells: []factory.Cell{{Name: "cell-01", Replay: factory.Replay{File: engines.Name(), Loop: true}}},
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := f.Close(false); err != nil {
			t.Error(err)
		}
	})
	return f
}

// startProxy puts HTTPS and a token before a collector, and returns the address, and a
// file with the certificate to trust.
func startProxy(t *testing.T, collector string) (address, certificate string) {
	t.Helper()
	proxy := httputil.NewSingleHostReverseProxy(&url.URL{Scheme: "http", Host: collector})
	s := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Authorization") != "Bearer "+hourlyToken {
			w.WriteHeader(http.StatusUnauthorized)
			return
		}
		proxy.ServeHTTP(w, r)
	}))
	s.Config.ErrorLog = log.New(io.Discard, "", 0) // of who does not trust it
	s.StartTLS()
	t.Cleanup(s.Close)
	certificate = filepath.Join(t.TempDir(), "certificate.pem")
	block := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: s.Certificate().Raw})
	if err := os.WriteFile(certificate, block, 0o600); err != nil {
		t.Fatal(err)
	}
	return s.URL, certificate
}

// TestHourlyHealthOfALab runs the script against a factory that is well, then loses a
// cable, then its database, and recovers.
func TestHourlyHealthOfALab(t *testing.T) {
	if testing.Short() {
		t.Skip("starts a factory")
	}
	f := startLab(t)
	var config, http string
	for _, p := range f.Status(t.Context()).Processes {
		if p.Name == factory.Collector {
			config, http = p.Config, p.HTTP
		}
	}
	address, certificate := startProxy(t, http)
	summary := filepath.Join(t.TempDir(), "summary.md")
	inside := []string{"ANDON_HEALTH_CONFIG=" + config, "GITHUB_STEP_SUMMARY=" + summary}
	outside := []string{"ANDON_HEALTH_URL=" + address, "ANDON_HEALTH_TOKEN=" + hourlyToken, "SSL_CERT_FILE=" + certificate}
	becomes := func(code int, text string, env []string) {
		t.Helper()
		eventually(t, fmt.Sprintf("code %d with %q", code, text), func() error {
			if r := hourly(t, env...); r.code != code || !strings.Contains(r.out, text) || r.errors != "" {
				return fmt.Errorf("%+v", r)
			}
			return nil
		})
	}
	becomes(0, "HEALTHY ", inside)
	becomes(0, "HEALTHY ", outside)
	if b, err := os.ReadFile(summary); err != nil || !strings.Contains(string(b), "```\nHEALTHY ") {
		t.Errorf("the summary is %q, %v", b, err)
	}
	becomes(2, "check the token", append([]string{"ANDON_HEALTH_URL=" + address, "ANDON_HEALTH_TOKEN=guess"}, outside[2]))
	becomes(2, "certificate", outside[:2])

	if err := f.Cut("cell-01", cable.Cut); err != nil {
		t.Fatal(err)
	}
	becomes(1, "austin-line1/cell-01 is silent", inside)
	becomes(0, "HEALTHY ", append([]string{"ANDON_HEALTH_RETIRED=austin-line1/cell-01"}, inside...))
	if err := f.Heal("cell-01"); err != nil {
		t.Fatal(err)
	}
	if err := f.Kill(factory.Postgres); err != nil {
		t.Fatal(err)
	}
	becomes(2, "DOWN ", inside)
	becomes(2, "DOWN ", outside)
	if err := f.Restart(t.Context(), factory.Postgres); err != nil {
		t.Fatal(err)
	}
	becomes(0, "HEALTHY ", inside)
	becomes(0, "HEALTHY ", outside)
}
