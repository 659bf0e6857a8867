package process_test

import (
	"errors"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"go.uber.org/goleak"

	"andon.internal/lab/process"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// shell returns a process that runs a script; it is stopped at the end of the test.
func shell(t *testing.T, script string, spec process.Spec) *process.Process {
	t.Helper()
	spec.Name, spec.Path, spec.Args = "script", "/bin/sh", []string{"-c", script}
	if spec.Log == "" {
		spec.Log = filepath.Join(t.TempDir(), "log")
	}
	p := process.New(spec)
	t.Cleanup(func() {
		if err := p.Stop(); err != nil {
			t.Error(err)
		}
	})
	return p
}

func alive(pid int) bool { return syscall.Kill(pid, 0) == nil }

// eventually waits for what another process does, which no channel tells.
func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for end := time.Now().Add(10 * time.Second); !ok(); time.Sleep(2 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal("never: " + what)
		}
	}
}

func TestStopAsksFirst(t *testing.T) {
	dir := t.TempDir()
	log := filepath.Join(dir, "log")
	p := shell(t, `trap 'echo bye; exit 0' TERM; echo up; while :; do sleep 0.01; done`, process.Spec{Log: log})
	if err := p.Start(); err != nil {
		t.Fatal(err)
	}
	if s := p.Status(); s.State != process.Running || s.PID == 0 || s.Starts != 1 {
		t.Errorf("after start: %+v", s)
	}
	if err := p.Start(); !errors.Is(err, process.ErrRunning) {
		t.Errorf("second start: %v, want ErrRunning", err)
	}
	eventually(t, "the script is up", func() bool { return process.Tail(log, 1) == "up" })
	pid := p.Status().PID
	if err := p.Stop(); err != nil {
		t.Fatal(err)
	}
	if got := process.Tail(log, 1); got != "bye" {
		t.Errorf("last line %q, want that of a clean end", got)
	}
	if s := p.Status(); s.State != process.Stopped || s.PID != 0 || alive(pid) {
		t.Errorf("after stop: %+v, alive %v", s, alive(pid))
	}
}

// TestEnvironment: what is added is beside what the lab has.
func TestEnvironment(t *testing.T) {
	t.Setenv("ANDON_OF_THE_LAB", "lab")
	log := filepath.Join(t.TempDir(), "log")
	p := shell(t, `echo "$ANDON_OF_THE_LAB and $ANDON_OWN"; exec sleep 60`, process.Spec{Log: log, Env: []string{"ANDON_OWN=own"}})
	if err := p.Start(); err != nil {
		t.Fatal(err)
	}
	eventually(t, "it has both", func() bool {
		said, _ := os.ReadFile(log)
		return string(said) == "lab and own\n"
	})
}

func TestStopKillsWhatDoesNotListen(t *testing.T) {
	log := filepath.Join(t.TempDir(), "log")
	p := shell(t, `trap '' TERM; echo up; while :; do sleep 0.01; done`,
		process.Spec{Log: log, Grace: 20 * time.Millisecond})
	if err := p.Start(); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the script is up", func() bool { return process.Tail(log, 1) == "up" })
	pid := p.Status().PID
	if err := p.Stop(); err != nil {
		t.Fatal(err)
	}
	if alive(pid) {
		t.Error("still alive")
	}
}

func TestKillStaysDownAndTakesChildrenAlong(t *testing.T) {
	log := filepath.Join(t.TempDir(), "log")
	p := shell(t, `sleep 1000 & echo $!; wait`, process.Spec{Log: log, Backoff: time.Millisecond})
	if err := p.Kill(); !errors.Is(err, process.ErrDown) {
		t.Errorf("kill before start: %v, want ErrDown", err)
	}
	if err := p.Start(); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the child's id is written", func() bool { return process.Tail(log, 1) != "" })
	child, err := strconv.Atoi(strings.TrimSpace(process.Tail(log, 1)))
	if err != nil {
		t.Fatal(err)
	}
	if err := p.Kill(); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the child is gone", func() bool { return !running(child) })
	if s := p.Status(); s.State != process.Killed || s.Starts != 1 {
		t.Errorf("after kill: %+v", s)
	}
	if err := p.Start(); err != nil {
		t.Fatal(err)
	}
	if s := p.Status(); s.State != process.Running || s.Starts != 2 {
		t.Errorf("after the second start: %+v", s)
	}
}

// running is false also for a child that nobody has waited for yet.
func running(pid int) bool {
	b, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/stat")
	if err != nil {
		return false
	}
	_, rest, _ := strings.Cut(string(b), ") ")
	return !strings.HasPrefix(rest, "Z")
}

func TestCrashIsReportedAndRestarted(t *testing.T) {
	exits := make(chan process.Exit, 100)
	p := shell(t, `echo cause of death; exit 3`, process.Spec{
		Backoff: time.Millisecond,
		Report:  func(e process.Exit) { exits <- e },
	})
	if err := p.Start(); err != nil {
		t.Fatal(err)
	}
	e := <-exits
	if e.Cause == nil || !strings.Contains(e.Cause.Error(), "3") || e.Tail != "cause of death" || e.PID == 0 {
		t.Errorf("exit %+v", e)
	}
	last := <-exits
	if last.Restart <= e.Restart {
		t.Errorf("pauses %v then %v, want them to grow", e.Restart, last.Restart)
	}
	if err := p.Stop(); err != nil {
		t.Fatal(err)
	}
	if s := p.Status(); s.State != process.Stopped || s.Starts < 2 {
		t.Errorf("after stop: %+v", s)
	}
}

func TestStartOfNothing(t *testing.T) {
	p := process.New(process.Spec{Name: "ghost", Path: "/nonexistent/ghost", Log: filepath.Join(t.TempDir(), "log")})
	if err := p.Start(); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("start: %v, want that the file does not exist", err)
	}
	if s := p.Status(); s.State != process.Stopped {
		t.Errorf("after a start that was not: %+v", s)
	}
}
