package lab_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"andon.internal/lab/chaos"
)

// TestChaos is a short round with a fault of every kind. `make chaos` does more.
func TestChaos(t *testing.T) {
	if testing.Short() {
		t.Skip("starts a factory in namespaces and on loop devices")
	}
	if os.Geteuid() != 0 {
		t.Fatal("this test needs root: it makes network namespaces and loop devices")
	}
	dir := place(t)
	file := filepath.Join(place(t), "rounds.jsonl")
	out, err := lab(t, dir, "chaos", "--seed", "3", "--rounds", "1", "--span", "10s",
		"--faults", "power-cell,half-open-up,kill-collector,pause-broker,postgres-immediate", "--resume", file)
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	rounds, err := chaos.Load(file)
	if err != nil {
		t.Fatal(err)
	}
	if len(rounds) != 1 || !rounds[0].OK() || rounds[0].Readings < 500 || rounds[0].Safe == 0 || len(rounds[0].Faults) != 5 {
		t.Errorf("rounds %+v\n%s", rounds, out)
	}
	expectNothingLeft(t, dir)
}

// TestChaosIsInterrupted: a signal leaves no namespace, mount or folder.
func TestChaosIsInterrupted(t *testing.T) {
	if testing.Short() {
		t.Skip("starts a factory in namespaces and on loop devices")
	}
	if os.Geteuid() != 0 {
		t.Fatal("this test needs root: it makes network namespaces and loop devices")
	}
	dir := place(t)
	cmd, out := command(dir, "chaos", "--seed", "3", "--span", "20s", "--faults", "link-down,slow-link"), &output{}
	cmd.Stdout, cmd.Stderr = out, out
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = cmd.Process.Kill() }) // ended already, unless the test failed
	eventually(t, "it strikes", func() bool { return strings.Contains(out.String(), "strike") }, func() any { return out.String() })
	if err := cmd.Process.Signal(syscall.SIGINT); err != nil {
		t.Fatal(err)
	}
	if err := cmd.Wait(); err == nil || !strings.Contains(out.String(), "interrupted") {
		t.Errorf("it ends with %v, want a failure that says why:\n%s", err, out.String())
	}
	expectNothingLeft(t, dir)
	left, err := filepath.Glob(fmt.Sprintf("/run/netns/andon-chaos-%d-*", cmd.Process.Pid))
	if err != nil || len(left) > 0 {
		t.Errorf("left behind: %v, %v", left, err)
	}
}

func TestChaosNamesFaults(t *testing.T) {
	dir := place(t)
	out := mustLab(t, dir, "chaos", "--list")
	for _, f := range chaos.Faults {
		if !strings.Contains(out, f.Name) || !strings.Contains(out, f.Expected) {
			t.Errorf("--list lacks %s", f.Name)
		}
	}
	if _, err := lab(t, dir, "chaos", "--faults", "gremlins"); err == nil || !strings.Contains(err.Error(), "--list names them") {
		t.Errorf("a fault that is none: %v", err)
	}
}
