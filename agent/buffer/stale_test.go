package buffer_test

import (
	"os"
	"testing"

	"andon.internal/agent/buffer"
)

// TestDeletedWhileItIsRead: a record that was acknowledged and deleted after it was looked for
// is no damage, and its file is written on.
func TestDeletedWhileItIsRead(t *testing.T) {
	b := open(t, small(t.TempDir()))
	appendAt(t, b, 0, items(0, 1), nil)
	written(t, b)
	err := buffer.ReadLate(b, buffer.Key{Epoch: b.Epoch()}, func() {
		_ = b.Ack(b.Epoch(), set(0, 1))
		within(t, "it is deleted", func() bool { return dead(b) == 0 })
	})
	if st := b.Stats(); err == nil || st.Sealed != 0 || st.LostRecords != 0 {
		t.Errorf("reading says %v; stats %+v", err, st)
	}
	wantLane(t, b, buffer.Backlog, "1:1")
}

// TestCachedOfAFileThatIsSetAside: what memory still has of it is written to another one.
func TestCachedOfAFileThatIsSetAside(t *testing.T) {
	o := small(t.TempDir())
	b := open(t, o)
	pour(t, b, 0, 450) // into several files, so that the first is not open any more
	first := recordFiles(t, o.Dir)[0]
	rewrite(t, first, zero)
	if _, ok, err := b.Get(buffer.Key{Epoch: b.Epoch(), Position: 60}); ok || err != nil {
		t.Fatalf("it reads what is not there: %v", err)
	}
	written(t, b)
	within(t, "the loss is told", func() bool { return buffer.OpenLosses(b) == 0 })
	lost, epoch := b.Stats().LostRecords, b.Epoch()
	closeChecked(t, b)
	b = open(t, o)
	x := taleOf(t, b)
	known := x.held.Clone()
	known.AddSet(x.told)
	if next := b.Chain()[0].Next; !known.Equal(set(0, next)) || x.told.Len() != lost {
		t.Errorf("%d are lost; held %v, told %v of epoch %x", lost, x.held, x.told, epoch)
	}
	if !x.held.Contains(0) || x.ids[0] != 0 {
		t.Errorf("held is %v", x.held)
	}
}

// TestALossWhileTheFolderIsTaken: what a move that goes on then finds damaged is told by the
// process that takes the folder into use.
func TestALossWhileTheFolderIsTaken(t *testing.T) {
	o := small(t.TempDir())
	old := cutOffMove(t, &o)
	flip(t, o.Dir, 2, 10_000)
	b, err := buffer.OpenDetached(o, os.ErrPermission)
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := b.Close(); err != nil {
			t.Error(err)
		}
	}()
	if err := b.Attach(); err != nil {
		t.Fatal(err)
	}
	_, loss := withLoss(t, b)
	if loss.Epoch != old || loss.From != 2 || loss.To != 3 {
		t.Errorf("the loss is %+v", loss)
	}
}
