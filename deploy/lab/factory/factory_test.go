package factory_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"andon.internal/lab/factory"
)

// shortly is enough for what will never be ready.
const shortly = 500 * time.Millisecond

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// bin makes a folder of programs that are shell scripts.
func bin(t *testing.T, scripts map[string]string) string {
	t.Helper()
	dir := t.TempDir()
	for name, text := range scripts {
		if err := os.WriteFile(filepath.Join(dir, name), []byte("#!/bin/sh\n"+text+"\n"), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

func options(t *testing.T, bin string) factory.Options {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "lab")
	if err := os.Mkdir(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	return factory.Options{
		Dir: dir, Bin: bin,
		Cells: []factory.Cell{{Name: "cell-01", Replay: factory.Replay{File: "factory_test.go", Speed: "1"}}},
	}
}

func TestStartChecks(t *testing.T) {
	whole := map[string]string{"andon-agent": "", "andon-broker": "", "andon-collector": ""}
	for _, c := range []struct {
		name   string
		change func(*factory.Options)
		want   string
	}{
		{"no binaries", func(o *factory.Options) { o.Bin = filepath.Join(o.Bin, "none") }, "andon-agent"},
		{"no cells", func(o *factory.Options) { o.Cells = nil }, "at least one cell"},
		{"a bad name", func(o *factory.Options) { o.Cells[0].Name = "../x" }, "node id"},
		{"a name that is taken", func(o *factory.Options) { o.Cells[0].Name = "broker" }, "used twice"},
		{"no file", func(o *factory.Options) { o.Cells[0].Replay.File = "none.txt" }, "none.txt"},
		{"a folder for a file", func(o *factory.Options) { o.Cells[0].Replay.File = "." }, "is a folder"},
	} {
		t.Run(c.name, func(t *testing.T) {
			o := options(t, bin(t, whole))
			c.change(&o)
			f, err := factory.Start(t.Context(), o)
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("started %v, %v, want an error with %q", f, err, c.want)
			}
		})
	}
}

// TestStartFailsHalfWay fails at each step after PostgreSQL is up.
func TestStartFailsHalfWay(t *testing.T) {
	if testing.Short() {
		t.Skip("starts PostgreSQL")
	}
	stay := "trap 'exit 0' TERM; echo $$ > \"$3.pid\"; while :; do sleep 0.02; done"
	for _, c := range []struct {
		name, broker, collector, want string
		within                        time.Duration
	}{
		{"migrate", stay, `echo "cannot prepare" >&2; exit 1`, "cannot prepare", time.Minute},
		{"not ready", stay, `[ "$1" = migrate ] || { echo "no way" >&2; exit 7; }`, "start broker: not ready", shortly},
		{"broker exits", `echo "no broker today" >&2; exit 7`, `[ "$1" = migrate ]`, "no broker today", time.Minute},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			o := options(t, bin(t, map[string]string{"andon-agent": stay, "andon-broker": c.broker, "andon-collector": c.collector}))
			o.ReadyWithin = c.within
			_, err := factory.Start(t.Context(), o)
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Fatalf("error %v, want %q", err, c.want)
			}
			if _, err := os.Stat(filepath.Join(o.Dir, "postgres", "data")); err != nil {
				t.Errorf("data that may be of an earlier life is gone: %v", err)
			}
			if left := processesWith(t, o.Dir); len(left) > 0 {
				t.Errorf("left running: %v", left)
			}
		})
	}
}

// processesWith returns the command lines that name the folder.
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
