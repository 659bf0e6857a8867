package buffer_test

import (
	"io/fs"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"andon.internal/agent/buffer"
)

// TestSpaceAgainForAll: files that took nothing while the disk had no space are written
// again when it has.
func TestSpaceAgainForAll(t *testing.T) {
	o := small(t.TempDir())
	o.RotateBytes = 256 << 10
	var full atomic.Bool
	var writes atomic.Int64
	o.SetStep(func(name string) error {
		if full.Load() && name == "write" && writes.Add(1)%2 == 1 { // the next file takes it
			return &fs.PathError{Op: "write", Path: "record file", Err: syscall.ENOSPC}
		}
		return nil
	})
	synctest.Test(t, func(t *testing.T) {
		b := open(t, o)
		pour(t, b, 1, 100)
		full.Store(true)
		for n := 0; buffer.FullFiles(b) == 0; n++ {
			if _, err := b.Append(items(n), nil); err != nil || n == 100 {
				t.Fatalf("after %d appends, %v, no file is marked", n, err)
			}
			time.Sleep(20 * time.Millisecond)
		}
		full.Store(false)
		time.Sleep(time.Minute)
		synctest.Wait()
		if n := buffer.FullFiles(b); n != 0 || b.Stats().NoSpace {
			t.Errorf("with space again %d files take nothing; %+v", n, b.Stats())
		}
	})
}

// TestNoSpaceInOneFile: that the deletes of one file find no space does not keep others from
// being unlinked.
func TestNoSpaceInOneFile(t *testing.T) {
	o := small(t.TempDir())
	o.RotateBytes = 256 << 10
	b := open(t, o)
	next := func(from int) int { // until another file is written
		path := buffer.ActivePath(b)
		for i := from; ; i++ {
			appendAt(t, b, uint64(i), []buffer.Item{{Data: payload(i, 10_000)}}, nil)
			if written(t, b); buffer.ActivePath(b) != path && path != "" {
				return i
			}
			path = buffer.ActivePath(b)
		}
	}
	appendAt(t, b, 0, items(0), nil)
	written(t, b)
	first := buffer.ActivePath(b)
	inFirst := next(1)
	second := buffer.ActivePath(b)
	inSecond := next(inFirst + 1)
	restore := replaceFD(t, first, "/dev/full")
	defer restore()
	_ = b.Ack(b.Epoch(), set(1, uint64(inSecond))) // of the first file one is left
	within(t, "the second file is unlinked", func() bool { return !exists(second) })
	if !exists(first) {
		t.Errorf("%s is gone, though a record in it is held", first)
	}
}

// TestFreshFileIsListedOnce: a new file in which the first write finds no space is tried again,
// and counts once.
func TestFreshFileIsListedOnce(t *testing.T) {
	o := small(t.TempDir())
	o.RotateBytes = 256 << 10
	var made, full atomic.Bool
	o.SetStep(func(name string) error {
		if made.Load() && name == "create" {
			full.Store(true)
		}
		if full.Load() && name == "write" {
			return &fs.PathError{Op: "write", Path: "record file", Err: syscall.ENOSPC}
		}
		return nil
	})
	b := open(t, o)
	appendAt(t, b, 0, []buffer.Item{{Data: payload(0, 10_000)}}, nil)
	written(t, b)
	made.Store(true)
	next := uint64(1)
	for ; !b.Stats().NoSpace; next++ { // until a second file is made
		appendAt(t, b, next, []buffer.Item{{Data: payload(int(next), 10_000)}}, nil)
		within(t, "it is written, or finds no space", func() bool { st := b.Stats(); return st.Unwritten == 0 || st.NoSpace })
	}
	full.Store(false)
	_ = b.Ack(b.Epoch(), set(1, next))
	within(t, "the first file has room", func() bool { return dead(b) == 0 })
	made.Store(false)
	full.Store(true)
	appendAt(t, b, next, items(int(next)), nil)
	within(t, "both have been tried", func() bool { return b.Stats().WriteError != nil })
	if files := b.Inventory().Files; len(files) > 2 {
		t.Errorf("of 2 files %d are listed: %+v", len(files), files)
	}
	full.Store(false)
	written(t, b)
}
