package buffer_test

import (
	"bytes"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"andon.internal/agent/buffer"
)

// failsAt is a step of the disk that fails while others do not.
func failsAt(step string) func(name string) error {
	return func(name string) error {
		if name == step {
			return syscall.EIO
		}
		return nil
	}
}

// TestSalvageThatFails: a damaged file that cannot be salvaged, or whose records cannot be
// used, stays, nothing of it is told lost, somebody is told of the file, and the next start
// brings what was in it.
func TestSalvageThatFails(t *testing.T) {
	for _, step := range []string{"salvage", "adopt"} {
		t.Run(step, func(t *testing.T) {
			o, _, path := crashed(t)
			rewrite(t, path, breakFreeList)
			o.SetStep(failsAt(step))
			b := open(t, o)
			within(t, "all is told", func() bool { return buffer.OpenLosses(b) == 0 })
			wantLane(t, b, buffer.Backlog, "")
			if aside, _ := filepath.Glob(path + ".damaged-*"); len(aside) > 0 {
				t.Errorf("set aside: %v", aside)
			}
			wantInPlace(t, b, path, "cannot be salvaged")
			closeChecked(t, b)
			o.SetStep(nil)
			b = open(t, o)
			wantLane(t, b, buffer.Backlog, "0:0 1:1 2:2")
			wantCursor(t, b, "replay", "two")
			if n := b.Stats().InPlace; n != 0 {
				t.Errorf("%d files are told to be in place", n)
			}
		})
	}
}

// wantInPlace checks that the buffer tells of the one damaged file that has its name still.
func wantInPlace(t *testing.T, b *buffer.Buffer, path, why string) {
	t.Helper()
	if n := b.Stats().InPlace; n != 1 {
		t.Errorf("%d files are told to be in place, want 1", n)
	}
	for _, f := range b.Inventory().Files {
		if f.Err != nil {
			if f.Name != filepath.Base(path) || f.Size == 0 || !errors.Is(f.Err, buffer.ErrDamaged) || !strings.Contains(f.Err.Error(), why) {
				t.Errorf("told of %+v", f)
			}
			return
		}
	}
	t.Error("no file is told to be damaged")
}

// TestSetAsideFails: a damaged file that cannot be renamed does not stop the start, somebody
// is told of it, and its records come once, however often the agent starts: what was saved of
// it before is not saved again.
func TestSetAsideFails(t *testing.T) {
	o, _, path := crashed(t)
	rewrite(t, path, breakFreeList)
	o.SetStep(failsAt("aside"))
	for range 5 {
		reg := prometheus.NewRegistry()
		o.Metrics = buffer.NewMetrics(reg)
		b := open(t, o)
		wantLane(t, b, buffer.Backlog, "0:0 1:1 2:2")
		wantInPlace(t, b, path, "cannot be set aside")
		if n := counters(t, reg)["andon_buffer_damaged_files_in_place"]; n != 1 {
			t.Errorf("the metric says %v", n)
		}
		closeChecked(t, b)
		saved := 0
		for _, file := range recordFiles(t, o.Dir) {
			data, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			if file != path && bytes.Contains(data, payload(1, 100)) {
				saved++
			}
		}
		if saved != 1 {
			t.Errorf("record 1 was saved in %d files", saved)
		}
	}
	o.SetStep(nil)
	b := open(t, o)
	wantLane(t, b, buffer.Backlog, "0:0 1:1 2:2")
	if aside, _ := filepath.Glob(path + ".damaged-*"); len(aside) != 1 || b.Stats().InPlace != 0 {
		t.Errorf("set aside: %v, %d in place", aside, b.Stats().InPlace)
	}
}

// TestChildrenTakeTooLong: the time for which all children of a start are waited for has an
// end; the files behind that are looked at here.
func TestChildrenTakeTooLong(t *testing.T) {
	o := small(t.TempDir())
	o.RotateBytes = 256 << 10
	b := open(t, o)
	for i := range 200 {
		appendAt(t, b, uint64(i), []buffer.Item{{Data: payload(i, 10_000)}}, nil)
		if i%10 == 0 {
			written(t, b)
		}
	}
	written(t, b)
	files := b.Stats().Files
	if err := buffer.Abandon(b); err != nil {
		t.Fatal(err)
	}
	var text bytes.Buffer
	o.Logger = slog.New(slog.NewTextHandler(&text, nil))
	o.Child = childCommand("child-hang")
	o.SetChildLimit(3 * time.Second)
	o.SetChildrenLimit(1500 * time.Millisecond) // the first takes a second longer than that
	b, err := buffer.Open(o)
	if err != nil {
		t.Fatal(err)
	}
	said := text.String() // by Open, before the flusher says anything
	if n := strings.Count(said, "no time is left"); files < 5 || n != files-1 {
		t.Errorf("%d of %d files were looked at here:\n%s", n, files, said)
	}
	wantIDs(t, b, 0, 200)
	closeChecked(t, b)
}
