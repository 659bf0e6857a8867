package buffer_test

import (
	"fmt"
	"io/fs"
	"path/filepath"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"andon.internal/agent/buffer"
)

// pouredWithoutSpace opens a buffer, pours n records into it, and appends some more while
// writes of record files find no space, as long as the answer says so.
func pouredWithoutSpace(t *testing.T, o *buffer.Options, n, more int) (*buffer.Buffer, *atomic.Bool) {
	t.Helper()
	var full atomic.Bool
	o.SetStep(func(name string) error {
		if full.Load() && name == "write" {
			return &fs.PathError{Op: "write", Path: "record file", Err: syscall.ENOSPC}
		}
		return nil
	})
	b, err := buffer.Open(*o)
	if err != nil {
		t.Fatal(err)
	}
	pour(t, b, 1, n)
	full.Store(true)
	for i := range more {
		appendAt(t, b, uint64(n+i), one(n+i+1), nil)
	}
	return b, &full
}

// one is a reading of a source that cannot be read again.
func one(id int) []buffer.Item {
	return []buffer.Item{{Data: payload(id, 10_000), Label: "u", Rows: 2, First: int64(id) + 1, Last: int64(id) + 2}}
}

// wantClosed checks that each position of a buffer that was closed is held or told, and
// which record is the newest.
func wantClosed(t *testing.T, o buffer.Options, newest int) {
	t.Helper()
	b := open(t, o)
	x, ch := taleOf(t, b), b.Chain()[0]
	known := x.held.Clone()
	known.AddSet(x.told)
	if !known.Equal(set(0, ch.Next)) || ch.Ended != buffer.EndClosed || x.ids[len(x.ids)-1] != newest {
		t.Errorf("held or told are %v of [0,%d), ended %v, the newest is %d of %d", known, ch.Next, ch.Ended, x.ids[len(x.ids)-1], newest)
	}
}

// TestCloseWithoutSpace: what is in memory when the buffer is closed takes the place of the
// oldest, as it would have a moment later, and each position is held or told.
func TestCloseWithoutSpace(t *testing.T) {
	for _, waiting := range []int{1, 20} {
		t.Run(fmt.Sprint(waiting), func(t *testing.T) {
			o := policyOptions(t, buffer.DropOldest)
			o.Linger = 100 * time.Millisecond
			b, full := pouredWithoutSpace(t, &o, 250, waiting)
			within(t, "a write found no space", func() bool { return b.Stats().NoSpace })
			full.Store(false)
			if err := b.Close(); err != nil {
				t.Error(err)
			}
			wantClosed(t, o, 250+waiting)
		})
	}
}

// TestCloseFindsNoSpace: where the writes at the end are the first that find none, they have
// what the ballast leaves.
func TestCloseFindsNoSpace(t *testing.T) {
	root := mounted(t, 48<<20)
	o := small(filepath.Join(root, "buffer"))
	o.Linger = time.Hour
	b, err := buffer.Open(o)
	if err != nil {
		t.Fatal(err)
	}
	within(t, "there is ballast", func() bool { return exists(filepath.Join(o.Dir, "ballast")) })
	for id := 1; id <= 200; id++ {
		appendAt(t, b, uint64(id)-1, one(id), nil)
		if id%20 == 0 {
			within(t, "so much is not to linger", func() bool { return b.Stats().MemoryBytes < 600_000 })
		}
	}
	occupy(t, root, 0)
	if b.Stats().Unwritten == 0 {
		t.Fatal("nothing is in memory only")
	}
	if err := b.Close(); err != nil {
		t.Error(err)
	}
	wantClosed(t, o, 200)
}

// TestCloseThatLoses: what cannot be written is an error, and a hole in an epoch that was not
// closed: the collector books what is below its end.
func TestCloseThatLoses(t *testing.T) {
	for _, policy := range []buffer.Policy{buffer.DropOldest, buffer.DropNewest} {
		t.Run(policy.String(), func(t *testing.T) {
			o := policyOptions(t, policy)
			b, full := pouredWithoutSpace(t, &o, 50, 10)
			if err := b.Close(); err == nil {
				t.Error("Close returns nil, and 10 records are nowhere")
			}
			full.Store(false)
			b = open(t, o)
			if ch := b.Chain()[0]; ch.Ended != buffer.EndUnclean || ch.Next < 60 {
				t.Errorf("the epoch ended %v at %d, want unclean, at 60 or behind", ch.Ended, ch.Next)
			}
		})
	}
}
