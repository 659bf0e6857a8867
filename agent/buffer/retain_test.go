package buffer_test

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"andon.internal/agent/buffer"
)

func TestRetain(t *testing.T) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		o := buffer.Options{Dir: dir, Retain: time.Hour}
		b := open(t, o)
		appendAt(t, b, 0, items(0, 1, 2, 3, 4, 5), nil)
		<-b.Changed()
		_ = b.Ack(b.Epoch(), set(0, 5))
		wantLane(t, b, buffer.Backlog, "5:5")
		if ep := b.Chain()[0]; ep.Held.String() != "[5,6)" || ep.Retained.String() != "[0,5)" {
			t.Errorf("held are %v, retained %v", ep.Held, ep.Retained)
		}
		if n := b.Stats().Records; n != 1 {
			t.Errorf("%d records are held, want 1", n)
		}
		time.Sleep(30 * time.Minute)
		if n := b.Requeue(b.Epoch(), set(1, 3)); n != 2 {
			t.Errorf("Requeue = %d, want 2", n)
		}
		if n := b.Requeue(b.Epoch(), set(1, 3)); n != 0 {
			t.Errorf("second Requeue = %d, want 0", n)
		}
		wantLane(t, b, buffer.Backlog, "1:1 2:2 5:5")
		_ = b.Ack(b.Epoch(), set(1, 2))
		time.Sleep(45 * time.Minute)
		synctest.Wait()
		if n := b.Requeue(b.Epoch(), set(0, 100)); n != 1 { // the rest expired 15 minutes ago
			t.Errorf("after 75 minutes Requeue = %d, want 1", n)
		}
		wantLane(t, b, buffer.Backlog, "1:1 2:2 5:5")
		epoch := b.Epoch()
		_ = b.Ack(epoch, set(2, 3))
		closeChecked(t, b)
		b = open(t, o) // what was retained is held again, and the sync acknowledges it again
		if n := b.Requeue(epoch, set(0, 10)); n != 0 {
			t.Errorf("after a restart Requeue = %d", n)
		}
		wantLane(t, b, buffer.Backlog, "1:1 2:2 5:5")
	})
}

// TestRetainMakesRoom: what is kept beyond its acknowledgement never makes a new
// record wait.
func TestRetainMakesRoom(t *testing.T) {
	o := fullOptions(t)
	o.Retain = time.Hour
	b := open(t, o)
	for i := range 2000 {
		for {
			_, err := b.Append([]buffer.Item{{Data: payload(i, 10_000), Rows: 1}}, &buffer.Cursor{Name: "r"})
			if err == nil {
				break
			}
			if !errors.Is(err, buffer.ErrFull) {
				t.Fatal(err)
			}
			ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
			if err := b.WaitSpace(ctx); err != nil {
				t.Fatalf("record %d: %v: %+v", i, err, b.Stats())
			}
			cancel()
		}
		for _, s := range all(t, b, buffer.Backlog) {
			_ = b.Ack(s.Epoch, set(s.Position, s.Position+1))
		}
		// It holds about 280; what waits to be written takes the place of some.
		if n := b.Chain()[0].Retained.Len(); i > 400 && n < 100 {
			t.Fatalf("after record %d, %d are retained", i, n)
		}
	}
	if st := b.Stats(); st.DiskBytes > o.MaxDisk+o.RotateBytes {
		t.Errorf("%d bytes on disk, more than %d", st.DiskBytes, o.MaxDisk)
	}
	if n := b.Requeue(b.Epoch(), set(0, 2000)); n < 100 {
		t.Errorf("%d records are retained", n)
	}
}

// TestRetainGivesUpLittle: records that were acknowledged together are not given up
// together for the first that wants their room.
func TestRetainGivesUpLittle(t *testing.T) {
	o := fullOptions(t)
	o.Retain = time.Hour
	b := open(t, o)
	for i := range 400 {
		appendAt(t, b, uint64(i), []buffer.Item{{Data: payload(i, 10_000)}}, nil)
		if i%10 == 9 {
			written(t, b)
		}
		if i == 199 {
			_ = b.Ack(b.Epoch(), set(0, 200))
		}
		if n := b.Chain()[0].Retained.Len(); n > 0 && n < 200 {
			if n < 150 {
				t.Errorf("%d of 200 are retained after record %d", n, i)
			}
			return
		}
	}
	t.Error("nothing was given up")
}

// TestNothingIsRetainedWithoutADisk: what is acknowledged in memory is gone, and nothing is
// remembered of it.
func TestNothingIsRetainedWithoutADisk(t *testing.T) {
	b, err := buffer.OpenDetached(buffer.Options{Dir: t.TempDir(), Retain: time.Hour}, errNoDisk)
	if err != nil {
		t.Fatal(err)
	}
	defer b.Close()
	for i := range uint64(10_000) {
		appendAt(t, b, i, items(int(i)), nil)
		_ = b.Ack(b.Epoch(), set(i, i+1))
	}
	if n := buffer.Retained(b); n > 0 {
		t.Errorf("%d portions are remembered", n)
	}
}
