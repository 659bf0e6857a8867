package buffer_test

import (
	"errors"
	"io/fs"
	"path/filepath"
	"strconv"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"andon.internal/agent/buffer"
	"andon.internal/shared/ranges"
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

// withoutSpace makes writes find no space, while the first says so, and counts the files that
// are made meanwhile.
func withoutSpace(o *buffer.Options) (full *atomic.Bool, made *atomic.Int64) {
	full, made = &atomic.Bool{}, &atomic.Int64{}
	o.SetStep(func(name string) error {
		switch {
		case full.Load() && name == "create":
			made.Add(1)
		case full.Load() && name == "write":
			return &fs.PathError{Op: "write", Path: "record file", Err: syscall.ENOSPC}
		}
		return nil
	})
	return full, made
}

// wantAnEnd waits until a write found no space, and checks that it did not make files for it
// again and again.
func wantAnEnd(t *testing.T, b *buffer.Buffer, made *atomic.Int64) {
	t.Helper()
	within(t, "the write ends", func() bool { return b.Stats().WriteError != nil || made.Load() > 20 })
	if made.Load() > 2 {
		t.Errorf("%d files were made", made.Load())
	}
}

// TestNoSpaceBehindAnUnlink: the space that unlinked files gave is taken by others. A write that
// finds none then ends.
func TestNoSpaceBehindAnUnlink(t *testing.T) {
	o := small(t.TempDir())
	o.RotateBytes = 256 << 10
	full, made := withoutSpace(&o)
	b := open(t, o)
	n := uint64(0)
	for ; b.Stats().Files < 5; n++ {
		appendAt(t, b, n, one(int(n)), nil)
		written(t, b)
	}
	full.Store(true)
	defer full.Store(false)
	appendAt(t, b, n, items(0), nil)
	within(t, "there is no space", func() bool { return b.Stats().NoSpace })
	_ = b.Ack(b.Epoch(), set((n-1)/2, n-1)) // two of the four that are full
	_ = b.Ack(b.Epoch(), set(n, n+1))
	within(t, "they are unlinked", func() bool { return b.Stats().Files == 3 && b.Stats().WriteError == nil })
	appendAt(t, b, n+1, items(1), nil)
	wantAnEnd(t, b, made)
}

// TestNoSpaceAndAFileThatDoesNotOpen: such a file is none that a write can turn to.
func TestNoSpaceAndAFileThatDoesNotOpen(t *testing.T) {
	o, _ := filled(t, 60, 10_000)
	full, made := withoutSpace(&o)
	b := open(t, o)
	reopen := closed(t, recordFiles(t, o.Dir)[0])
	if _, err := givenOut(t, b); err == nil {
		t.Error("the file opens")
	}
	full.Store(true)
	defer full.Store(false)
	appendAt(t, b, 0, items(1), nil)
	within(t, "there is no space", func() bool { return b.Stats().NoSpace })
	time.Sleep(300 * time.Millisecond) // and again, now that this is known
	wantAnEnd(t, b, made)
	reopen()
}

// TestAcknowledgedWithoutSpace: where what waits to be written finds no space, files of which
// nothing is needed any more give some.
func TestAcknowledgedWithoutSpace(t *testing.T) {
	root := mounted(t, 48<<20)
	b := open(t, small(filepath.Join(root, "buffer")))
	next := 0
	read := func() bool {
		_, err := b.Append(one(next), &buffer.Cursor{Name: "file", Data: []byte(strconv.Itoa(next))})
		if err == nil {
			next++
		} else if !errors.Is(err, buffer.ErrFull) {
			t.Fatal(err)
		}
		return err == nil
	}
	within(t, "much is on disk", func() bool { return read() && next > 500 })
	written(t, b)
	occupy(t, root, 0)
	last := time.Now()
	within(t, "the source has to wait", func() bool {
		if read() {
			last = time.Now()
		}
		return time.Since(last) > 2*time.Second
	})
	_ = b.Ack(b.Epoch(), b.Chain()[0].Held)
	before := next
	within(t, "the source goes on", func() bool { return read() && next > before+100 })
}

// TestNewEpochWithoutSpace: an alarm that is on disk before readings that waited for space there,
// and is given out behind them, moves into a new epoch.
func TestNewEpochWithoutSpace(t *testing.T) {
	o := policyOptions(t, buffer.DropOldest)
	o.WriteAhead = true
	b, full := pouredWithoutSpace(t, &o, 250, 20)
	defer closeChecked(t, b)
	if _, err := b.Append([]buffer.Item{{Class: buffer.Alarm, Data: payload(1, 300)}}, nil); err != nil {
		t.Fatal(err)
	}
	within(t, "a write found no space", func() bool { return b.Stats().NoSpace })
	time.Sleep(800 * time.Millisecond) // the next attempt is not at once: the epoch begins before that
	full.Store(false)
	if err := b.NewEpoch(ranges.Set{}); err != nil {
		t.Fatal(err)
	}
	within(t, "the alarm is given out", func() bool { return taleOf(t, b).alarms == 1 })
}
