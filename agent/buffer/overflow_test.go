package buffer_test

import (
	"errors"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"andon.internal/agent/buffer"
	"andon.internal/shared/ranges"
)

// notes counts the notes of rejected appends that reach the chain file, and fails them
// while told to.
type notes struct {
	n       atomic.Int64
	failing atomic.Bool
}

func (c *notes) step(name string) error {
	if name != "note" && name != "mend" {
		return nil
	}
	if c.failing.Load() {
		return errors.New("the disk fails, as it was told to")
	}
	c.n.Add(1)
	return nil
}

// fullBuffer is a buffer that has been without room for so long that it closes a loss
// about twice in a minute only, in a bubble of fake time.
func fullBuffer(t *testing.T, dir string) (*buffer.Buffer, *notes) {
	t.Helper()
	o, c := fullOptions(t), &notes{}
	o.Dir, o.Linger = dir, 100*time.Millisecond
	o.SetStep(c.step)
	b := open(t, o)
	fill(t, b)
	reject(t, b, 40*time.Second, 100*time.Millisecond)
	time.Sleep(2 * time.Second)
	synctest.Wait()
	c.n.Store(0)
	return b, c
}

// reject appends what finds no room, every step for d, and returns the position behind
// the last.
func reject(t *testing.T, b *buffer.Buffer, d, step time.Duration) (next uint64) {
	t.Helper()
	for end := time.Now().Add(d); time.Now().Before(end); time.Sleep(step) {
		first, err := b.Append(items(1, 2), nil)
		if err != nil || !b.Stats().Full {
			t.Fatalf("append at %d: %v, %+v", first, err, b.Stats())
		}
		next = first + 2
	}
	synctest.Wait()
	return next
}

// leftBy returns options for what a crash would leave now.
func leftBy(t *testing.T, dir string) buffer.Options {
	t.Helper()
	o := fullOptions(t)
	if err := image(dir, o.Dir); err != nil {
		t.Fatal(err)
	}
	return o
}

// told opens what a crash would leave now and returns the end of the epoch as the next
// birth tells it. Of the positions below, each is a record that is held or will be
// booked as lost; those that a loss record names are among the latter.
func told(t *testing.T, dir string) uint64 {
	t.Helper()
	o := leftBy(t, dir)
	var next uint64
	for range 2 { // the second start changes nothing
		b, err := buffer.Open(o)
		if err != nil {
			t.Fatal(err)
		}
		ep := b.Chain()[0]
		lost := set(0, ep.Next)
		lost.RemoveSet(ep.Held)
		for _, s := range all(t, b, buffer.Backlog) {
			if s.Class != buffer.Loss {
				continue
			}
			l, err := buffer.DecodeLoss(s.Data)
			if err != nil {
				t.Fatal(err)
			}
			named := ranges.Of(ranges.Range{From: l.From, To: l.To})
			if named.Intersect(lost).Len() != l.To-l.From {
				t.Errorf("the loss record at %d names [%d,%d), the birth %v", s.Position, l.From, l.To, lost)
			}
		}
		if next != 0 && next != ep.Next || ep.Ended != buffer.EndUnclean {
			t.Errorf("the epoch ended (%d) at %d, before at %d", ep.Ended, ep.Next, next)
		}
		next = ep.Next
		closeChecked(t, b)
	}
	return next
}

// TestOverflowOutlivesCrash: of positions that found no room, a crash leaves at most
// those of the last second untold, and of a stretch that ended before that none. It
// takes no write for each of them.
func TestOverflowOutlivesCrash(t *testing.T) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		b, c := fullBuffer(t, dir)
		for range 4 {
			before := reject(t, b, 10*time.Second, 10*time.Millisecond)
			after := reject(t, b, time.Second, 10*time.Millisecond)
			if got := told(t, dir); got < before || got > after {
				t.Errorf("after a crash positions below %d are told, want %d to %d", got, before, after)
			}
		}
		if n := c.n.Load(); n < 40 || n > 45 {
			t.Errorf("%d notes in 44 seconds", n)
		}
		next := reject(t, b, time.Second, 10*time.Millisecond)
		time.Sleep(time.Second)
		synctest.Wait()
		n := c.n.Load()
		if got := told(t, dir); got != next {
			t.Errorf("after a crash positions below %d are told, want %d", got, next)
		}
		time.Sleep(time.Second)
		if c.n.Load() != n {
			t.Error("what is noted is noted again")
		}
	})
}

// TestRareOverflowOutlivesCrash: where appends find no room now and then, each is noted
// within the linger.
func TestRareOverflowOutlivesCrash(t *testing.T) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		b, _ := fullBuffer(t, dir)
		for range 3 {
			next := reject(t, b, time.Millisecond, 100*time.Millisecond)
			if got := told(t, dir); got != next {
				t.Errorf("after a crash positions below %d are told, want %d", got, next)
			}
			time.Sleep(2 * time.Second)
		}
	})
}

// TestOverflowNoteFails: it is tried again, and all of the chain file is written then.
func TestOverflowNoteFails(t *testing.T) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		b, c := fullBuffer(t, dir)
		c.failing.Store(true)
		next := reject(t, b, 3*time.Second, 100*time.Millisecond)
		c.failing.Store(false)
		time.Sleep(time.Second)
		synctest.Wait()
		if got := told(t, dir); got != next || c.n.Load() != 2 {
			t.Errorf("after a crash positions below %d are told, want %d; %d notes", got, next, c.n.Load())
		}
	})
}

// TestOverflowInTheNextEpoch: its notes count from its own beginning.
func TestOverflowInTheNextEpoch(t *testing.T) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		b, _ := fullBuffer(t, dir)
		reject(t, b, 5*time.Second, time.Millisecond)
		if err := b.NewEpoch(positions(all(t, b, buffer.Backlog)...)); err != nil { // all of them stay in the old epoch
			t.Fatal(err)
		}
		next := reject(t, b, time.Second, 10*time.Millisecond)
		time.Sleep(time.Second)
		synctest.Wait()
		c := open(t, leftBy(t, dir))
		if got := c.Chain()[1]; got.Next != next || got.Ended != buffer.EndUnclean {
			t.Errorf("the second epoch ended (%d) at %d, want %d", got.Ended, got.Next, next)
		}
	})
}
