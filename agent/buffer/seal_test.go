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
	"time"

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
