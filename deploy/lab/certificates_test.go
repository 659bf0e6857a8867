package lab_test

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"andon.internal/lab/factory"
)

// TestWithCertificates runs a whole factory in TLS, with certificates made by the commands
// that a plant would use: readings arrive, viewers see them, and whoever has no
// certificate, or a revoked one, sees nothing. A connected cell whose certificate is revoked
// is out, and back with a new one.
func TestWithCertificates(t *testing.T) {
	if testing.Short() {
		t.Skip("starts a factory")
	}
	t.Parallel()
	f, err := factory.Start(t.Context(), factory.Options{Dir: place(t), Bin: bin, TLS: true, Cells: []factory.Cell{
		{Name: "cell-01", Dynos: factory.Dynos{Stations: 2, Rate: 5}},
		{Name: "cell-02", Group: "austin-line2", Dynos: factory.Dynos{Stations: 2, First: 3, Rate: 5}},
	}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := f.Close(false); err != nil {
			t.Error(err)
		}
	})
	expectMoreRows(t, f.DSN(), "cell-01")
	expectMoreRows(t, f.DSN(), "cell-02")

	dir := f.Certificates()
	authority := func(args ...string) {
		t.Helper()
		args = append([]string{"ca", args[0], "--dir", dir}, args[1:]...)
		if out, err := exec.Command(filepath.Join(bin, "andon-broker"), args...).CombinedOutput(); err != nil {
			t.Fatalf("andon-broker %q: %v: %s", args, err, out)
		}
	}
	_, port, _ := strings.Cut(f.Status(t.Context()).Broker, ":")
	listen := func(more ...string) (string, error) {
		ctx, cancel := context.WithTimeout(t.Context(), 15*time.Second)
		defer cancel()
		args := append([]string{"-h", "127.0.0.1", "-p", port, "-t", "spBv1.0/austin-line1/#", "-C", "3", "-W", "10", "-F", "%t"}, more...)
		out, err := exec.CommandContext(ctx, "mosquitto_sub", args...).CombinedOutput()
		return string(out), err
	}
	file := func(name string) string { return filepath.Join(dir, name) }
	authority("issue", "--viewer", "ann", "--out", dir)
	ann := []string{"--cafile", file("ca.crt"), "--cert", file("ann.crt"), "--key", file("ann.key")}
	if out, err := listen(ann...); err != nil || !strings.Contains(out, "spBv1.0/austin-line1/DDATA/cell-01/") {
		t.Errorf("a viewer sees %q, %v", out, err)
	}
	if out, err := listen(); err == nil {
		t.Errorf("without TLS: %q", out)
	}
	if out, err := listen("--cafile", file("ca.crt")); err == nil {
		t.Errorf("without a certificate: %q", out)
	}
	authority("revoke", "viewer ann")
	eventually(t, "the revoked certificate is refused", func() bool {
		_, err := listen(ann...)
		return err != nil
	}, func() any { return nil })
	expectMoreRows(t, f.DSN(), "cell-01")

	// A cell that is connected loses its connection, and comes back with a new certificate.
	authority("revoke", "node austin-line2/cell-02")
	eventually(t, "the session of the revoked cell ends", func() bool {
		m, err := f.Metrics(t.Context(), factory.Broker)
		return err == nil && m[`andon_broker_expelled_total{reason="revoked"}`] > 0
	}, func() any { return nil })
	fresh := t.TempDir()
	authority("issue", "--node", "cell-02", "--group", "austin-line2", "--out", fresh)
	for _, name := range []string{"cell-02.key", "cell-02.crt"} {
		if err := os.Rename(filepath.Join(fresh, name), file(name)); err != nil {
			t.Fatal(err)
		}
	}
	expectMoreRows(t, f.DSN(), "cell-02")
}
