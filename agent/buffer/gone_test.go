package buffer_test

import (
	"path/filepath"
	"testing"

	"andon.internal/agent/buffer"
)

// TestGoneTellsShedAgain: a database that loses the record of what overflowed on disk is told that again.
func TestGoneTellsShedAgain(t *testing.T) {
	o := policyOptions(t, buffer.DropOldest)
	b := open(t, o)
	pour(t, b, 0, 1500)
	e := b.Epoch()
	x := taleOf(t, b)
	if len(x.losses) == 0 {
		t.Fatal("nothing was lost")
	}
	before := x.told.Clone()
	next := b.Chain()[0].Next
	_ = b.Ack(e, set(0, next))
	if n := b.Gone(e, set(0, next)); n == 0 {
		t.Fatal("nothing is gone")
	}
	within(t, "told", func() bool { return buffer.OpenLosses(b) == 0 })
	now := taleOf(t, b)
	lacks := before.Clone()
	lacks.RemoveSet(now.told)
	if !lacks.Empty() {
		t.Errorf("%d of %d positions that were told lost are not told again: %v", lacks.Len(), before.Len(), lacks)
	}
	closeChecked(t, b)
}

// TestGoneTellsOversizeAgain: the same for what was too large.
func TestGoneTellsOversizeAgain(t *testing.T) {
	o := small(filepath.Join(t.TempDir(), "buffer"))
	b := open(t, o)
	appendAt(t, b, 0, []buffer.Item{{Data: make([]byte, o.MaxRecord+1), Label: "u", Rows: 7, First: 1, Last: 2}}, nil)
	e := b.Epoch()
	_ = b.Ack(e, set(0, 2))
	b.Gone(e, set(0, 2))
	within(t, "told", func() bool { return buffer.OpenLosses(b) == 0 })
	var told string
	for _, s := range all(t, b, buffer.Backlog) {
		l, _ := buffer.DecodeLoss(s.Data)
		told += l.Reason + " "
	}
	if told != "oversize database " {
		t.Errorf("told is %q", told)
	}
	closeChecked(t, b)
}

// TestGoneTellsMovedAgain: the same after the record has moved.
func TestGoneTellsMovedAgain(t *testing.T) {
	o := small(filepath.Join(t.TempDir(), "buffer"))
	b := open(t, o)
	appendAt(t, b, 0, items(0, 1, 2), nil)
	old := b.Epoch()
	_ = b.Ack(old, set(0, 3))
	b.Gone(old, set(0, 2)) // a loss at 3
	newEpoch(t, b, set(0, 3))
	e := b.Epoch()
	_ = b.Ack(e, set(0, 1))
	b.Gone(e, set(0, 1))
	again := false
	for _, s := range all(t, b, buffer.Backlog) {
		l, err := buffer.DecodeLoss(s.Data)
		again = again || err == nil && l.Epoch == old && l.From == 0 && l.To == 2
	}
	if !again {
		t.Error("what it told is not told again")
	}
	closeChecked(t, b)
}
