package lab_test

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"

	"andon.internal/lab/cmapss"
	"andon.internal/lab/factory"
	"andon.internal/lab/process"
	"andon.internal/shared/freeport"
)

// newcomer is a cell that enrols at a factory: the real service, and the real agent.
type newcomer struct {
	t         *testing.T
	f         *factory.Factory
	dir       string
	authority string // its folder
	service   string // its address
	agent     *process.Process
	http      string // the agent's
}

// child starts one of the programs, which ends with the test, and returns it.
func (n *newcomer) child(program string, args ...string) *process.Process {
	n.t.Helper()
	log := filepath.Join(n.dir, program+".log")
	p := process.New(process.Spec{Name: program, Path: filepath.Join(bin, program), Args: args, Log: log})
	if err := p.Start(); err != nil {
		n.t.Fatal(err)
	}
	n.t.Cleanup(func() {
		if err := p.Stop(); err != nil {
			n.t.Error(err)
		}
		if n.t.Failed() {
			n.t.Logf("%s wrote:\n%s", program, process.Tail(log, 40))
		}
	})
	return p
}

// run runs a command to its end and returns what it wrote to standard output.
func (n *newcomer) run(stdin, program string, args ...string) (string, error) {
	n.t.Helper()
	cmd := exec.CommandContext(n.t.Context(), filepath.Join(bin, program), args...)
	cmd.Stdin = strings.NewReader(stdin)
	var errs strings.Builder
	cmd.Stderr = &errs
	out, err := cmd.Output()
	if err != nil {
		err = fmt.Errorf("%s %q: %w: %s", program, args, err, errs.String())
	}
	return string(out), err
}

func (n *newcomer) must(stdin, program string, args ...string) string {
	n.t.Helper()
	out, err := n.run(stdin, program, args...)
	if err != nil {
		n.t.Fatal(err)
	}
	return out
}

// enrol takes a new token from the authority to the cell.
func (n *newcomer) enrol() string {
	n.t.Helper()
	token := n.must("", "andon-broker", "ca", "token", "--dir", n.authority, "--group", "austin-line1", "--node", "cell-09", "--for", "1m")
	out := n.must(token, "andon-agent", "enroll", "--config", filepath.Join(n.dir, "agent.yaml"), "--token-file", "-")
	if again, err := n.run(token, "andon-agent", "enroll", "--config", filepath.Join(n.dir, "agent.yaml"), "--token-file", "-"); err == nil ||
		!strings.Contains(err.Error(), "the token was used already") {
		n.t.Errorf("a token is good twice: %q, %v", again, err)
	}
	return out
}

// get asks the agent's HTTP port.
func (n *newcomer) get(path string) string {
	resp, err := http.Get("http://" + n.http + path)
	if err != nil {
		return err.Error()
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		return err.Error()
	}
	return string(text)
}

// stored returns how many rows of the cell PostgreSQL has.
func (n *newcomer) stored() (rows int) {
	n.t.Helper()
	conn, err := pgx.Connect(n.t.Context(), n.f.DSN())
	if err != nil {
		n.t.Fatal(err)
	}
	defer conn.Close(context.Background())
	if err := conn.QueryRow(n.t.Context(), `select count(*) from readings_turbofan where node_id = 'cell-09'`).Scan(&rows); err != nil {
		n.t.Fatal(err)
	}
	return rows
}

// arriving waits until more rows are stored.
func (n *newcomer) arriving(when string) {
	n.t.Helper()
	had := n.stored()
	eventually(n.t, "readings arrive "+when, func() bool { return n.stored() > had }, func() any { return n.get("/readyz") })
}

// cutOff lets every connection to the broker begin anew.
func (n *newcomer) cutOff() {
	n.t.Helper()
	if err := n.f.Restart(n.t.Context(), factory.Broker); err != nil {
		n.t.Fatal(err)
	}
}

// newcomerTo starts the service, and writes the configuration of a cell that replays a file.
func newcomerTo(t *testing.T, f *factory.Factory, file, life string) *newcomer {
	t.Helper()
	n := &newcomer{t: t, f: f, dir: place(t), authority: f.Certificates()}
	var address [2]string
	for i := range address {
		port, err := freeport.Take()
		if err != nil {
			t.Fatal(err)
		}
		address[i] = fmt.Sprintf("127.0.0.1:%d", port)
	}
	n.service, n.http = "https://"+address[0], address[1]
	n.child("andon-broker", "ca", "serve", "--dir", n.authority, "--listen", address[0], "--names", "127.0.0.1,localhost", "--life", life)
	text := fmt.Sprintf(`
group: austin-line1
node: cell-09
data: data
mqtt:
  url: mqtts://%s
  tls: {ca: data/tls/ca.crt, cert: data/tls/cell.pem, key: data/tls/cell.pem}
  enroll: {url: %q}
sources:
- name: line1
  driver: replay
  replay: {file: %s, speed: 20}
http: {listen: %q}
`, f.Status(t.Context()).Broker, n.service, file, n.http)
	if err := os.WriteFile(filepath.Join(n.dir, "agent.yaml"), []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return n
}

// TestFromTokenToRevocation is the life of a cell with a certificate of a few seconds, at
// a real factory: it enrols, its readings arrive, it renews without a break, is revoked
// and refused, and keeps what it reads until it has enrolled again. Then every reading is
// there, once.
func TestFromTokenToRevocation(t *testing.T) {
	if testing.Short() {
		t.Skip("starts a factory")
	}
	t.Parallel()
	const units, cycles = 2, 600 // half a minute
	file := engines(t, place(t), cmapss.Spec{Engines: units, Cycles: cycles, Exact: true}, nil)
	f, err := factory.Start(t.Context(), factory.Options{Dir: place(t), Bin: bin, TLS: true, Cells: []factory.Cell{
		{Name: "cell-01", Dynos: factory.Dynos{Stations: 1, Rate: 5}},
	}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := f.Close(false); err != nil {
			t.Error(err)
		}
	})
	n := newcomerTo(t, f, file, "15s")
	config := filepath.Join(n.dir, "agent.yaml")
	if out, err := n.run("", "andon-agent", "run", "--config", config); err == nil || !strings.Contains(err.Error(), "has not enrolled yet") {
		t.Errorf("without a certificate: %q, %v", out, err)
	}
	log := func() string { return process.Tail(filepath.Join(n.dir, "andon-broker.log"), 5) }
	eventually(t, "the service listens", func() bool { return strings.Contains(log(), "registrar listens") }, func() any { return log() })
	if out := n.enrol(); !strings.Contains(out, "enrolled as node austin-line1/cell-09") || !strings.Contains(out, "url: "+n.service) {
		t.Errorf("enrolling wrote\n%s", out)
	}
	n.agent = n.child("andon-agent", "run", "--config", config)
	n.arriving("with the first certificate")

	eventually(t, "the certificate is renewed", func() bool {
		return strings.Contains(n.get("/metrics"), "andon_certificate_renewals_total{result=\"ok\"}") &&
			!strings.Contains(n.get("/metrics"), "andon_certificate_renewals_total{result=\"ok\"} 0")
	}, func() any { return n.get("/readyz") })
	n.cutOff()
	n.arriving("with the renewed certificate")

	n.must("", "andon-broker", "ca", "revoke", "--dir", n.authority, "node austin-line1/cell-09")
	n.cutOff()
	eventually(t, "the cell is refused, and says so", func() bool {
		text := n.get("/readyz")
		return strings.Contains(text, "does not accept our certificate") && strings.Contains(text, "enrol with a new token")
	}, func() any { return n.get("/readyz") })
	had := n.stored()
	eventually(t, "it keeps what it reads", func() bool {
		return !strings.Contains(n.get("/metrics"), "\nandon_buffer_rows 0\n")
	}, func() any { return n.get("/metrics") })
	if now := n.stored(); now != had {
		t.Errorf("%d rows arrived of a cell that is revoked", now-had)
	}
	n.enrol()
	n.arriving("with the next certificate")
	eventually(t, "everything is stored", func() bool { return n.stored() >= units*cycles }, func() any { return n.stored() })
	eventually(t, "nothing is left at the cell", func() bool { return strings.Contains(n.get("/metrics"), "\nandon_buffer_rows 0\n") }, func() any { return n.get("/readyz") })
	if now := n.stored(); now != units*cycles {
		t.Errorf("%d rows are stored, of %d", now, units*cycles)
	}
	n.expectServed()
}

// expectServed checks the list of what was revoked as the service gives it to brokers.
func (n *newcomer) expectServed() {
	n.t.Helper()
	pool := x509.NewCertPool()
	ca, err := os.ReadFile(filepath.Join(n.authority, "ca.crt"))
	if err != nil || !pool.AppendCertsFromPEM(ca) {
		n.t.Fatalf("the authority's certificate: %v", err)
	}
	tr := &http.Transport{TLSClientConfig: &tls.Config{RootCAs: pool}, DisableKeepAlives: true}
	resp, err := (&http.Client{Transport: tr}).Get(n.service + "/v1/crl")
	if err != nil {
		n.t.Fatal(err)
	}
	defer resp.Body.Close()
	served, err := io.ReadAll(resp.Body)
	kept, err2 := os.ReadFile(filepath.Join(n.authority, "revoked.crl"))
	if err != nil || err2 != nil || !bytes.Equal(served, kept) {
		n.t.Errorf("served is %s, %v; kept %s, %v", served, err, kept, err2)
	}
}
