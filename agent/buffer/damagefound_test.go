package buffer_test

import (
	"errors"
	"os"
	"sync/atomic"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"andon.internal/agent/buffer"
)

// TestDamageThatTwoFind: the uplink and the flusher read at once, and both find a file damaged. It
// is set aside and told once, and counts once in what is used and retained.
func TestDamageThatTwoFind(t *testing.T) {
	o, epoch := filled(t, 60, 10_000)
	reg := prometheus.NewRegistry()
	o.Retain, o.Metrics = time.Hour, buffer.NewMetrics(reg)
	b := open(t, o)
	_ = b.Ack(epoch, set(1, 50)) // of the first file some is retained, and all but the first
	if err := os.Truncate(recordFiles(t, o.Dir)[0], 8192); err != nil {
		t.Fatal(err)
	}
	if n := buffer.FindDamaged(b, buffer.Key{Epoch: epoch}, 2); n != 2 {
		t.Fatalf("%d find it damaged", n)
	}
	within(t, "the loss is told", func() bool { return buffer.OpenLosses(b) == 0 })
	if err := buffer.Check(b); err != nil {
		t.Error(err)
	}
	if m := counters(t, reg); m["andon_buffer_damaged_files_total"] != 1 || b.Stats().LostRecords != 1 {
		t.Errorf("metrics %v, stats %+v", m, b.Stats())
	}
	retained := b.Chain()[0].Retained.Len()
	if n := b.Requeue(epoch, set(0, 60)); n == 0 || n != retained {
		t.Errorf("%d of %d retained records are held again", n, retained)
	}
	if kept := buffer.Kept(b, epoch); kept != 0 {
		t.Errorf("%d records count as retained, and none is", kept)
	}
}

// TestDamagedCopy: a record that two files have, because a sync failed when the first had it, and
// that does not read back from that one, is given out from the other, and the first file is not
// kept for it.
func TestDamagedCopy(t *testing.T) {
	o := small(t.TempDir())
	var fail atomic.Bool
	o.SetStep(func(name string) error {
		if name == "written" && fail.Swap(false) {
			return errors.New("the sync fails, as it was told to")
		}
		return nil
	})
	b := open(t, o)
	epoch := b.Epoch()
	appendAt(t, b, 0, one(0), nil)
	written(t, b)
	fail.Store(true)
	appendAt(t, b, 1, one(1), nil)
	written(t, b)
	closeChecked(t, b)
	flip(t, o.Dir, 1, 10_000)
	b = open(t, o)
	if st := b.Stats(); st.Files != 2 || st.Sealed != 1 {
		t.Fatalf("stats %+v", st)
	}
	wantLane(t, b, buffer.Backlog, "0:0 1:1")
	_ = b.Ack(epoch, set(0, 1))
	within(t, "the first file is gone", func() bool { return b.Stats().Files == 1 })
	wantLane(t, b, buffer.Backlog, "1:1")
	if st := b.Stats(); st.LostRecords != 0 {
		t.Errorf("stats %+v", st)
	}
}
