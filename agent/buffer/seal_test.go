package buffer_test

import (
	"context"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"andon.internal/agent/buffer"
)

// TestNoteOutlivesSeal: what a file held when it was full is known also where it was
// sealed later, and other files became full after that.
func TestNoteOutlivesSeal(t *testing.T) {
	o, epoch := filled(t, 60, 10_000)
	first := recordFiles(t, o.Dir)[0]
	flip(t, o.Dir, 1, 10_000)
	b := open(t, o)
	all(t, b, buffer.Backlog) // finds the damage, and seals the file
	sealed := strings.TrimSuffix(first, ".db") + ".sealed.db"
	if _, err := os.Stat(sealed); err != nil {
		t.Fatal(err)
	}
	for i := range 60 {
		if _, err := b.Append([]buffer.Item{{Data: payload(i, 10_000)}}, nil); err != nil {
			t.Fatal(err)
		}
		if i%10 == 0 {
			written(t, b)
		}
	}
	_ = b.Ack(epoch, set(45, 50)) // in another file: would be told lost if nothing were known of this one
	held := b.Chain()[0].Held
	closeChecked(t, b)
	rewrite(t, sealed, zero)
	b = open(t, o)
	left := b.Chain()[0].Held
	lost := held.Len() - left.Len() + 1
	if n := b.Stats().LostRecords; n != lost {
		t.Errorf("%d records are lost, want %d", n, lost)
	}
	if _, loss := withLoss(t, b); loss.Epoch != epoch || loss.From != 0 || loss.To != lost || !left.Contains(lost) {
		t.Errorf("the loss is %+v; %v was held, %v is left", loss, held, left)
	}
}

// TestSealedFromBothSides: the flusher gives a file up because a write failed, while a
// reader gives it up because of a record. Where the two touch the same memory, the race
// detector tells: they meet in the file system only, which it does not take for an order.
func TestSealedFromBothSides(t *testing.T) {
	o, epoch := filled(t, 3, 10_000)
	flip(t, o.Dir, 1, 10_000)
	met := filepath.Join(t.TempDir(), "met")
	exists := func(pattern string) bool {
		list, err := filepath.Glob(pattern)
		return err == nil && len(list) > 0
	}
	var broken, failed atomic.Bool
	o.SetStep(func(name string) error {
		if name == "written" && broken.Swap(false) {
			return errors.New("the disk fails, as it was told to")
		}
		return nil
	})
	o.Logger = slog.New(handler(func(r slog.Record) {
		if r.Message != "record file is not written any more" {
			return
		}
		if err := os.WriteFile(met, nil, 0o600); err != nil {
			failed.Store(true)
		}
		for end := time.Now().Add(10 * time.Second); !exists(filepath.Join(o.Dir, "*.sealed.db")); time.Sleep(time.Millisecond) {
			if time.Now().After(end) {
				failed.Store(true)
				return
			}
		}
		time.Sleep(10 * time.Millisecond) // for what the reader does behind the new name
	}))
	b := open(t, o)
	broken.Store(true)
	appendAt(t, b, 0, items(7), nil)
	for !exists(met) && !t.Failed() {
		time.Sleep(time.Millisecond)
	}
	if _, ok, err := b.Get(buffer.Key{Epoch: epoch, Position: 1}); ok || err != nil {
		t.Errorf("the damaged record is given out: %v, %v", ok, err)
	}
	written(t, b)
	within(t, "the loss is told", func() bool { return len(all(t, b, buffer.Backlog)) == 4 })
	wantLane(t, b, buffer.Backlog, "0:0 2:2 0:7 1:loss damaged[1,2)")
	if failed.Load() {
		t.Error("the two did not meet")
	}
}

// handler is a slog.Handler of one function.
type handler func(slog.Record)

func (h handler) Enabled(context.Context, slog.Level) bool { return true }

func (h handler) Handle(_ context.Context, r slog.Record) error {
	h(r)
	return nil
}
func (h handler) WithAttrs([]slog.Attr) slog.Handler { return h }
func (h handler) WithGroup(string) slog.Handler      { return h }

// TestAFailingSyncIsTold: also where the next file takes what this one did not, as a counter and
// for five minutes.
func TestAFailingSyncIsTold(t *testing.T) {
	o := small(t.TempDir())
	reg := prometheus.NewRegistry()
	o.Metrics = buffer.NewMetrics(reg)
	var fail atomic.Bool
	o.SetStep(func(name string) error {
		if name == "written" && fail.Swap(false) {
			return errors.New("the sync fails, as it was told to")
		}
		return nil
	})
	synctest.Test(t, func(t *testing.T) {
		b := open(t, o)
		appendAt(t, b, 0, items(0), nil)
		written(t, b)
		fail.Store(true)
		appendAt(t, b, 1, items(1), nil)
		written(t, b)
		if st := b.Stats(); st.SealError == nil || st.Sealed != 1 || st.WriteError != nil {
			t.Errorf("stats %+v", st)
		}
		if m := counters(t, reg); m["andon_buffer_write_failures_total"] != 1 || m["andon_buffer_sealed_files"] != 1 {
			t.Errorf("metrics %v", m)
		}
		time.Sleep(6 * time.Minute)
		if st := b.Stats(); st.SealError != nil || st.Sealed != 1 {
			t.Errorf("six minutes later: %+v", st)
		}
	})
}

// TestSyncsThatKeepFailing: where every other sync fails, the disk does not fill with files
// that are given up, and nothing is lost.
func TestSyncsThatKeepFailing(t *testing.T) {
	o := small(t.TempDir())
	var syncs atomic.Int64
	o.SetStep(func(name string) error {
		if name == "written" && syncs.Add(1)%2 == 0 {
			return errors.New("the sync fails, as it was told to")
		}
		return nil
	})
	synctest.Test(t, func(t *testing.T) {
		b := open(t, o)
		const seconds = 100
		for i := range 10 * seconds {
			appendAt(t, b, uint64(i), items(i), nil)
			time.Sleep(100 * time.Millisecond)
		}
		if st := b.Stats(); st.Files < 10 || st.Files > seconds/2 {
			t.Errorf("after %d s: %+v", seconds, st)
		}
		written(t, b)
		wantIDs(t, b, 0, 10*seconds)
	})
}

// TestCloseBehindFailingSyncs: a sync that fails at the end, and not for the first time, has the
// next file tried at once, since nothing comes later.
func TestCloseBehindFailingSyncs(t *testing.T) {
	o := small(t.TempDir())
	o.Linger = time.Hour
	var fail atomic.Bool
	o.SetStep(func(name string) error {
		if name == "written" && fail.Swap(false) {
			return errors.New("the sync fails, as it was told to")
		}
		return nil
	})
	b := open(t, o)
	alarm := items(0)
	alarm[0].Class = buffer.Alarm
	fail.Store(true)
	appendAt(t, b, 0, alarm, nil)
	written(t, b)
	appendAt(t, b, 1, items(1), nil)
	fail.Store(true)
	if err := b.Close(); err != nil || b.Stats().Sealed == 0 {
		t.Fatalf("Close: %v; %+v", err, b.Stats())
	}
	wantIDs(t, open(t, o), 0, 2)
}
