package lab_test

import (
	"context"
	"net"
	"os/exec"
	"strings"
	"testing"
	"time"

	"andon.internal/lab/factory"
)

// TestMosquittoSubSeesTheTopics has a client that is not ours listen at the broker, as
// the demo's guide says.
func TestMosquittoSubSeesTheTopics(t *testing.T) {
	if testing.Short() {
		t.Skip("starts a factory")
	}
	t.Parallel()
	f, err := factory.Start(t.Context(), factory.Options{
		Dir: place(t), Bin: bin,
		Cells: []factory.Cell{{Name: "cell-01", Dynos: factory.Dynos{Stations: 4, Rate: 10}}},
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := f.Close(false); err != nil {
			t.Error(err)
		}
	})
	_, port, err := net.SplitHostPort(f.Status(t.Context()).Broker)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	out, err := exec.CommandContext(ctx, "mosquitto_sub", "-p", port, "-t", "spBv1.0/#", "-F", "%t %l", "-C", "40").CombinedOutput()
	if err != nil {
		t.Fatalf("mosquitto_sub (Debian: mosquitto-clients): %v\n%s", err, out)
	}
	for _, want := range []string{
		"spBv1.0/STATE/andon ", "spBv1.0/austin-line1/DDATA/cell-01/dyno-01-0001 ", "spBv1.0/austin-line1/NCMD/cell-01 ",
	} {
		if !strings.Contains(string(out), want) {
			t.Errorf("40 messages without %q:\n%s", want, out)
		}
	}
	if n := strings.Count(string(out), "\n"); n != 40 {
		t.Errorf("%d lines, want 40:\n%s", n, out)
	}
}
