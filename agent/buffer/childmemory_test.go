package buffer_test

import (
	"log/slog"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"testing"

	"andon.internal/agent/buffer"
)

// TestChildOfLargeFile: the memory that a child may take is enough for a file of 64 MiB,
// to check and to salvage it, and the first to be killed is the child.
func TestChildOfLargeFile(t *testing.T) {
	const size = 20_000
	log := &lines{}
	o := buffer.Options{Dir: filepath.Join(t.TempDir(), "d"), MaxDisk: 1 << 30, Child: childCommand("child-score"), Logger: slog.New(slog.NewTextHandler(log, nil))}
	b := open(t, o)
	records := 0
	for n := 0; n < 50<<20; {
		list := make([]buffer.Item, 0, 100)
		for range 100 {
			list = append(list, buffer.Item{Data: payload(records, size), Rows: 1})
			n += size + 100
			records++
		}
		appendAt(t, b, uint64(records-100), list, nil)
		written(t, b)
	}
	path := buffer.ActivePath(b)
	for _, damage := range []func([]byte){func([]byte) {}, breakFreeList} {
		if err := buffer.Abandon(b); err != nil {
			t.Fatal(err)
		}
		rewrite(t, path, damage)
		b = open(t, o)
		if n := b.Stats().Records; n != uint64(records) {
			t.Errorf("%d records are there, want %d", n, records)
		}
	}
	if aside, _ := filepath.Glob(filepath.Join(o.Dir, "*.damaged-*")); len(aside) != 1 {
		t.Errorf("set aside: %v", aside)
	}
	if text := log.String(); strings.Contains(text, "in a process of its own") {
		t.Errorf("the child did not do: %s", text)
	}
}

// lines is what is logged.
type lines struct {
	mu   sync.Mutex
	text strings.Builder
}

func (l *lines) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(p)
}

func (l *lines) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.String()
}

// TestChildFitsTheUnit: what systemd grants the agent is enough for it and a child, and the
// end of a child is not the agent's.
func TestChildFitsTheUnit(t *testing.T) {
	unit, err := os.ReadFile("../../deploy/edge/andon-agent.service")
	if err != nil {
		t.Fatal(err)
	}
	m := regexp.MustCompile(`(?m)^MemoryMax=(\d+)M$`).FindSubmatch(unit)
	if m == nil {
		t.Fatal("the unit has no MemoryMax in MiB")
	}
	if most, err := strconv.Atoi(string(m[1])); err != nil || most<<20 < 2*buffer.ChildMemory {
		t.Errorf("MemoryMax is %d MiB, %v; a child may take %d", most, err, buffer.ChildMemory>>20)
	}
	if !strings.Contains(string(unit), "\nOOMPolicy=continue\n") {
		t.Error("the agent is stopped when a child is killed for its memory")
	}
}
