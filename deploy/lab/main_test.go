package lab_test

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"andon.internal/lab/cmapss"
	"andon.internal/lab/factory"
	"andon.internal/lab/registry"
)

// bin is the folder of the real binaries, built once.
var bin string

func TestMain(m *testing.M) {
	os.Exit(buildAndRun(m))
}

func buildAndRun(m *testing.M) int {
	var err error
	if bin, err = os.MkdirTemp("", "andon-bin-"); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer os.RemoveAll(bin)
	for _, module := range []string{"../../agent", "../../broker", "../../collector", "."} {
		cmd := exec.Command("go", "build", "-o", bin+"/", "./cmd/...")
		cmd.Dir = module
		cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
		if out, err := cmd.CombinedOutput(); err != nil {
			fmt.Fprintf(os.Stderr, "build %s: %v\n%s", module, err, out)
			return 1
		}
	}
	return m.Run()
}

// place gives a test a temporary folder that labs use too, and checks at the end
// that nothing is left in it.
func place(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "andon-test-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	return dir
}

func expectNothingLeft(t *testing.T, dir string) {
	t.Helper()
	left, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range left {
		t.Errorf("left behind: %s", filepath.Join(dir, e.Name()))
	}
	var running []string
	eventually(t, "no process is left", func() bool {
		running = processesWith(t, dir)
		return len(running) == 0
	}, func() any { return running })
}

// processesWith returns the command lines of processes that name the folder.
func processesWith(t *testing.T, dir string) []string {
	t.Helper()
	paths, err := filepath.Glob("/proc/[0-9]*/cmdline")
	if err != nil {
		t.Fatal(err)
	}
	var out []string
	for _, path := range paths {
		if b, err := os.ReadFile(path); err == nil && strings.Contains(string(b), dir) {
			out = append(out, strings.ReplaceAll(string(b), "\x00", " "))
		}
	}
	return out
}

// eventually waits for what other processes do.
func eventually(t *testing.T, what string, ok func() bool, state func() any) {
	t.Helper()
	for end := time.Now().Add(2 * time.Minute); !ok(); time.Sleep(20 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("never: %s; now: %v", what, state())
		}
	}
}

// output collects what a program writes.
type output struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (o *output) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.b.Write(p)
}

func (o *output) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.b.String()
}

// program is andon-lab running in the background.
type program struct {
	cmd  *exec.Cmd
	out  *output // standard output and standard error
	done chan error
}

func command(dir string, args ...string) *exec.Cmd {
	cmd := exec.Command(filepath.Join(bin, "andon-lab"), args...)
	cmd.Env = append(os.Environ(), "TMPDIR="+dir)
	// A group of its own, so that a signal to it reaches nobody else, and an end
	// with the test.
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	return cmd
}

// up starts a lab and returns when it says that it is up.
func up(t *testing.T, dir string, args ...string) *program {
	t.Helper()
	cmd := command(dir, append([]string{"up"}, args...)...)
	p := &program{cmd: cmd, out: &output{}, done: make(chan error, 1)}
	pipe, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	cmd.Stderr = p.out
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Kill() // ended already, unless the test failed
		if t.Failed() {
			t.Logf("the lab wrote:\n%s", p.out)
		}
	})
	isUp := make(chan struct{})
	go func() {
		lines := bufio.NewScanner(pipe)
		for once := false; lines.Scan(); {
			fmt.Fprintln(p.out, lines.Text())
			if !once && strings.Contains(lines.Text(), "Ctrl-C here") {
				once = true
				close(isUp)
			}
		}
		p.done <- cmd.Wait()
	}()
	select {
	case <-isUp:
	case err := <-p.done:
		t.Fatalf("the lab ended: %v\n%s", err, p.out)
	case <-time.After(time.Minute):
		t.Fatalf("the lab is not up after a minute:\n%s", p.out)
	}
	return p
}

// end waits for the program's end.
func (p *program) end(t *testing.T) {
	t.Helper()
	select {
	case err := <-p.done:
		if err != nil {
			t.Errorf("the lab ended with %v", err)
		}
	case <-time.After(time.Minute):
		t.Error("the lab has not ended within a minute")
	}
}

// lab runs a command to its end and returns what it wrote.
func lab(t *testing.T, dir string, args ...string) (string, error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute)
	defer cancel()
	cmd := command(dir, args...)
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	stop := context.AfterFunc(ctx, func() { _ = cmd.Process.Kill() })
	defer stop()
	if err := cmd.Wait(); err != nil {
		return out.String(), fmt.Errorf("andon-lab %s: %w: %s", strings.Join(args, " "), err, errs.String())
	}
	return out.String(), nil
}

func mustLab(t *testing.T, dir string, args ...string) string {
	t.Helper()
	out, err := lab(t, dir, args...)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// status is what `andon-lab status --json` writes.
type status struct {
	Lab registry.Entry
	factory.Status
}

func readStatus(t *testing.T, dir string, args ...string) status {
	t.Helper()
	var s status
	if err := json.Unmarshal([]byte(mustLab(t, dir, append([]string{"status", "--json"}, args...)...)), &s); err != nil {
		t.Fatal(err)
	}
	return s
}

func (s *status) process(t *testing.T, name string) factory.Process {
	t.Helper()
	for _, p := range s.Processes {
		if p.Name == name {
			return p
		}
	}
	t.Fatalf("no process %s in %+v", name, s)
	return factory.Process{}
}

func alive(pid int) bool { return !errors.Is(syscall.Kill(pid, 0), syscall.ESRCH) }

// engines writes a generated file and returns its path. change may alter its lines.
func engines(t *testing.T, dir string, spec cmapss.Spec, change func(lines []string) []string) string {
	t.Helper()
	var b bytes.Buffer
	if err := cmapss.Generate(&b, spec); err != nil {
		t.Fatal(err)
	}
	text := b.String()
	if change != nil {
		text = strings.Join(change(strings.SplitAfter(text, "\n")), "")
	}
	path := filepath.Join(dir, "engines.txt")
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	return path
}

// expectNoSharedMemory checks that a postmaster left no System V segment.
func expectNoSharedMemory(t *testing.T, postmaster int) {
	t.Helper()
	b, err := os.ReadFile("/proc/sysvipc/shm")
	if err != nil {
		t.Fatalf("this test, like PostgreSQL, needs a kernel with System V shared memory: %v", err)
	}
	for line := range strings.Lines(string(b)) {
		// key shmid perms size cpid ...
		if f := strings.Fields(line); len(f) > 4 && f[4] == strconv.Itoa(postmaster) {
			t.Errorf("shared memory is left behind: %s", line)
		}
	}
}
