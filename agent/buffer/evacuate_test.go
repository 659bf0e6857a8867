package buffer_test

import (
	"errors"
	"slices"
	"sync/atomic"
	"testing"
	"testing/synctest"

	"andon.internal/agent/buffer"
)

// TestThinWithFailingDisk: files that are not written any more, because a write to them
// failed, do not pile up for the few records that policy Thin keeps in each.
func TestThinWithFailingDisk(t *testing.T) {
	o := policyOptions(t, buffer.Thin)
	const n, rounds = 60, 15
	synctest.Test(t, func(t *testing.T) {
		b := pouredWithFailures(t, &o, n, rounds)
		if err := buffer.Abandon(b); err != nil {
			t.Fatal(err)
		}
	})
	b := open(t, o)
	x := taleOf(t, b)
	known := x.held.Clone()
	known.AddSet(x.told)
	if next := b.Chain()[0].Next; !known.Equal(set(0, next)) {
		t.Errorf("held or told lost are %v, want [0,%d)", known, next)
	}
	if len(x.ids) < 60 || x.ids[len(x.ids)-1] != rounds*n || !slices.IsSorted(x.ids) || len(slices.Compact(x.ids)) != len(x.ids) {
		t.Errorf("%d records are held: %v", len(x.ids), x.ids)
	}
}

// TestLettingGoOfASealedFile: what a file holds is let go of whole where nothing can be
// deleted in it, and its loss waits to be written. It is not copied for ever.
func TestLettingGoOfASealedFile(t *testing.T) {
	o := policyOptions(t, buffer.DropOldest)
	synctest.Test(t, func(t *testing.T) { pouredWithFailures(t, &o, 60, 150) })
}

// pouredWithFailures opens a buffer and pours n records into it again and again, before each
// of which but the first a write fails, so that a file is sealed. It ends within its limit. A
// disk that fails so often has a buffer wait, so the clock is a bubble's.
func pouredWithFailures(t *testing.T, o *buffer.Options, n, rounds int) *buffer.Buffer {
	t.Helper()
	var fail atomic.Bool
	o.SetStep(func(name string) error {
		if name == "write" && fail.CompareAndSwap(true, false) {
			return errors.New("the disk fails, as it was told to")
		}
		return nil
	})
	b := open(t, *o)
	for i := range rounds {
		fail.Store(i > 0)
		pour(t, b, 1+i*n, n)
	}
	within(t, "the files are within their limit", func() bool { return b.Stats().DiskBytes <= o.MaxDisk+o.RotateBytes })
	return b
}
