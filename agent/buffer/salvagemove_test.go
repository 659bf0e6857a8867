package buffer_test

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"

	"andon.internal/agent/buffer"
	"andon.internal/shared/ranges"
)

// TestMoveOutOfDamagedFile: a move that was cut off goes on with what is salvaged of a
// damaged file, and is run again as long as that file may be salvaged again: each record
// has one name only.
func TestMoveOutOfDamagedFile(t *testing.T) {
	o := small(t.TempDir())
	cutOffMove(t, &o)
	path := recordFiles(t, o.Dir)[0]
	rewrite(t, path, breakFreeList)
	for range 2 {
		b, err := buffer.Open(o)
		if err != nil {
			t.Fatal(err)
		}
		within(t, "all is told", func() bool { return buffer.OpenLosses(b) == 0 })
		wantLane(t, b, buffer.Backlog, "0:0 1:1 2:2 3:3")
		if err := buffer.Abandon(b); err != nil {
			t.Fatal(err)
		}
		// As if the crash had come before the file was set aside.
		aside, _ := filepath.Glob(path + ".damaged-*")
		if len(aside) != 1 {
			t.Fatalf("set aside: %v", aside)
		}
		if err := os.Rename(aside[0], strings.Split(aside[0], ".damaged-")[0]); err != nil {
			t.Fatal(err)
		}
	}
}

// crashesInMove is a step at which everything ends when a new epoch has begun, before a record
// is moved to it.
func crashesInMove() func(name string) error {
	var down atomic.Bool
	return func(name string) error {
		if down.Load() || name == "end" {
			down.Store(true)
			return errors.New("crash")
		}
		return nil
	}
}

// cutOff begins an epoch with a buffer whose step is that of crashesInMove.
func cutOff(t *testing.T, b *buffer.Buffer) {
	t.Helper()
	if err := b.NewEpoch(ranges.Set{}); err == nil {
		t.Fatal("the crash did not come")
	}
	if err := buffer.Abandon(b); err != nil {
		t.Fatal(err)
	}
}

// cutOffMove fills a buffer with four records and crashes on the way of all of them to a new
// epoch, before the first is copied. It returns the old one.
func cutOffMove(t *testing.T, o *buffer.Options) (old buffer.Epoch) {
	t.Helper()
	o.SetStep(crashesInMove())
	b, err := buffer.Open(*o)
	if err != nil {
		t.Fatal(err)
	}
	for i := range 4 {
		appendAt(t, b, uint64(i), []buffer.Item{{Data: payload(i, 10_000), Rows: 1}}, nil)
	}
	written(t, b)
	old = b.Epoch()
	cutOff(t, b)
	o.SetStep(nil)
	return old
}
