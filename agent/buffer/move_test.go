package buffer_test

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"andon.internal/agent/buffer"
	"andon.internal/shared/ranges"
)

func TestNewEpoch(t *testing.T) {
	o := small(t.TempDir())
	b := open(t, o)
	appendAt(t, b, 0, items(0, 1, 2, 3, 4, 5), nil)
	written(t, b)
	first := b.Epoch()
	// 0 and 3 were sent, 0 is acknowledged; 1 was only given out, and 6 is in memory only.
	for _, p := range []uint64{0, 1, 3} {
		if _, ok, err := b.Get(buffer.Key{Epoch: first, Position: p}); !ok || err != nil {
			t.Fatal(ok, err)
		}
	}
	_ = b.Ack(first, set(0, 1))
	appendAt(t, b, 6, items(6), nil)
	newEpoch(t, b, ranges.Of(ranges.Range{From: 0, To: 1}, ranges.Range{From: 3, To: 4}))
	if b.Epoch() == first {
		t.Fatal("the epoch is the same")
	}
	if got, want := (epochNames{}).text(t, b), "1<- closed 4 [3,4); 2<1 open 5 [0,5)"; got != want {
		t.Errorf("the chain is %s, want %s", got, want)
	}
	wantLane(t, b, buffer.Backlog, "3:3 0:1 1:2 2:4 3:5 4:6")
	appendAt(t, b, 5, items(7), &buffer.Cursor{Name: "c", Data: []byte("x")})
	within(t, "the new record is visible", func() bool { return len(all(t, b, buffer.Backlog)) == 7 })
	wantLane(t, b, buffer.Live, "0:1 1:2 2:4 3:5 4:6 5:7")
	closeChecked(t, b)
	b = open(t, o)
	wantLane(t, b, buffer.Backlog, "3:3 0:1 1:2 2:4 3:5 4:6 5:7")
}

// newEpoch begins a new epoch, and waits until what is on disk is in it.
func newEpoch(t *testing.T, b *buffer.Buffer, sent ranges.Set) {
	t.Helper()
	if err := b.NewEpoch(sent); err != nil {
		t.Fatal(err)
	}
	moved(t, b)
}

func moved(t *testing.T, b *buffer.Buffer) {
	t.Helper()
	within(t, "all is moved", func() bool { return !b.Moving() })
}

// wantMoved compares which records say that they were moved.
func wantMoved(t *testing.T, b *buffer.Buffer, want ...int) {
	t.Helper()
	var got []int
	for _, s := range all(t, b, buffer.Backlog) {
		if id, ok := idOf(s.Data); ok && s.Moved {
			got = append(got, id)
		}
	}
	if slices.Sort(got); !slices.Equal(got, want) {
		t.Errorf("moved are %v, want %v", got, want)
	}
}

// TestMovedIsSaid: a record that NewEpoch gave its name says so, from memory and from
// disk, after restarts and further moves; no other record does.
func TestMovedIsSaid(t *testing.T) {
	o := small(t.TempDir())
	var b *buffer.Buffer
	during := 3
	o.SetStep(func(name string) error {
		if name == "begin" && b != nil && during > 0 { // it finds no time to be written
			if _, err := b.Append(items(during), nil); err != nil {
				t.Error(err)
			}
			during = 0
		}
		return nil
	})
	b = open(t, o)
	appendAt(t, b, 0, items(0, 1), nil)
	written(t, b)
	appendAt(t, b, 2, items(2), nil)
	if _, ok, err := b.Get(buffer.Key{Epoch: b.Epoch(), Position: 0}); !ok || err != nil {
		t.Fatal(ok, err)
	}
	newEpoch(t, b, set(0, 1))
	if during != 0 {
		t.Fatal("nothing was appended meanwhile")
	}
	wantLane(t, b, buffer.Backlog, "0:0 0:1 1:2 2:3")
	wantMoved(t, b, 1, 2, 3)
	appendAt(t, b, 3, items(4), nil)
	written(t, b)
	wantMoved(t, b, 1, 2, 3)
	closeChecked(t, b)

	b = open(t, o)
	wantMoved(t, b, 1, 2, 3)
	appendAt(t, b, 0, items(5, 6), nil)
	written(t, b)
	newEpoch(t, b, ranges.Set{})
	wantMoved(t, b, 1, 2, 3, 5, 6)
	newEpoch(t, b, set(0, 5)) // all were sent
	wantMoved(t, b, 1, 2, 3, 5, 6)
	closeChecked(t, b)
	b = open(t, o)
	wantMoved(t, b, 1, 2, 3, 5, 6)
}

// TestMovedIsSaidAgain: also what comes back because the database lacks it.
func TestMovedIsSaidAgain(t *testing.T) {
	o := small(t.TempDir())
	o.Retain, o.WriteAhead = time.Hour, true
	b := open(t, o)
	appendAt(t, b, 0, items(0, 1), nil)
	written(t, b)
	for range 2 { // what was moved is moved again
		newEpoch(t, b, ranges.Set{})
	}
	wantMoved(t, b, 0, 1)
	if err := b.Ack(b.Epoch(), set(0, 2)); err != nil {
		t.Fatal(err)
	}
	if n := b.Requeue(b.Epoch(), set(0, 2)); n != 2 {
		t.Fatalf("%d came back, want 2", n)
	}
	wantMoved(t, b, 0, 1)
}

// TestNewEpochWhileAppending: what comes meanwhile gets a name in one epoch or the
// other, and only one.
func TestNewEpochWhileAppending(t *testing.T) {
	b := open(t, small(t.TempDir()))
	var wg sync.WaitGroup
	stop := make(chan struct{})
	n := 0
	wg.Go(func() {
		for ; ; n++ {
			select {
			case <-stop:
				return
			case <-time.After(100 * time.Microsecond):
			}
			var c *buffer.Cursor
			if n%3 == 0 {
				c = &buffer.Cursor{Name: "c", Data: fmt.Append(nil, n)}
			}
			if _, err := b.Append(items(n), c); err != nil {
				if !errors.Is(err, buffer.ErrFull) {
					t.Error(err)
					return
				}
				n--
				_ = b.WaitSpace(t.Context())
			}
		}
	})
	for range 20 {
		time.Sleep(2 * time.Millisecond)
		if err := b.NewEpoch(ranges.Set{}); err != nil {
			t.Error(err)
		}
	}
	close(stop)
	wg.Wait()
	written(t, b)
	moved(t, b)
	wantIDs(t, b, 0, n)
}

// TestNewEpochAtEveryStep crashes before every step of a new epoch with records in
// several files, and in one that cannot be written. None is lost or doubled.
func TestNewEpochAtEveryStep(t *testing.T) {
	type shot struct{ dir, step string }
	var shots []shot
	var taking atomic.Bool
	root := t.TempDir()
	o := small(filepath.Join(root, "live"))
	o.RotateBytes = 256 << 10
	o.SetStep(func(name string) error {
		if !taking.Load() {
			return nil
		}
		s := shot{filepath.Join(root, fmt.Sprint(len(shots))), name}
		shots = append(shots, s)
		return image(o.Dir, s.dir)
	})
	b := open(t, o)
	m, first := newModel(), b.Epoch()
	for id := range 40 {
		var restore func()
		if id == 20 {
			restore = replaceFD(t, buffer.ActivePath(b), "/dev/null")
		}
		m.size[id], m.durable[id] = 10_000, true
		appendAt(t, b, uint64(id), []buffer.Item{{Data: payload(id, 10_000)}}, nil)
		written(t, b)
		if restore != nil {
			restore()
		}
	}
	read := func(b *buffer.Buffer, positions ...uint64) {
		for _, p := range positions {
			s, ok, err := b.Get(buffer.Key{Epoch: b.Epoch(), Position: p})
			if err != nil {
				t.Fatal(err)
			}
			if ok {
				if _, err := m.gave(s); err != nil {
					t.Error(err)
				}
			}
		}
	}
	read(b, 3, 17)
	taking.Store(true)
	for range 2 { // the second goes on where the first ended
		newEpoch(t, b, m.sent(b.Epoch()))
		read(b, 2, 30)
	}
	taking.Store(false)
	t.Log(len(shots), "steps")
	if len(shots) < 12 {
		t.Errorf("%d steps only", len(shots))
	}
	for _, s := range append(shots, shot{o.Dir, "none"}) {
		if s.step == "none" {
			closeChecked(t, b)
		}
		so := small(s.dir)
		so.RotateBytes = o.RotateBytes
		for start := range 2 { // and once more: what was resumed is not resumed again
			c, err := buffer.Open(so)
			if err != nil {
				t.Fatal(err)
			}
			if start == 0 && s.step != "none" {
				endsOfMoves(t, s.step, c.Chain(), first)
			}
			// The names of what was given out later than the image are not in it.
			mm := m.clone()
			if s.step != "none" {
				mm = newModel()
				mm.size, mm.durable = m.size, m.durable
			}
			if _, err := mm.verify(c); err != nil {
				t.Errorf("crash before %s: %v", s.step, err)
			}
			for _, r := range all(t, c, buffer.Backlog) {
				if r.Class != buffer.Loss && r.Moved != (r.Epoch != first) {
					t.Errorf("crash before %s: moved is %v of position %d of epoch %x", s.step, r.Moved, r.Position, r.Epoch)
				}
			}
			closeChecked(t, c)
		}
		if err := os.RemoveAll(s.dir); err != nil {
			t.Error(err)
		}
	}
}

// endsOfMoves checks a chain that a crash left: the epochs before the one that it met have ended
// in order, the first at what was given out of it, or the collector would book as lost what was
// moved.
func endsOfMoves(t *testing.T, step string, chain []buffer.EpochState, first buffer.Epoch) {
	t.Helper()
	met := len(chain) - 2 // behind it is that of this start
	for i, ep := range chain[:met+1] {
		switch {
		case (ep.Ended == buffer.EndUnclean) != (i == met):
			t.Errorf("crash before %s: epoch %d of %d has ended as %v", step, i+1, met+1, ep.Ended)
		case i < met && ep.Epoch == first && ep.Next != 18:
			t.Errorf("crash before %s: the first epoch has ended at %d, want 18", step, ep.Next)
		}
	}
}

// TestNewEpochFails: where the chain cannot be written the old epoch goes on.
func TestNewEpochFails(t *testing.T) {
	o := small(t.TempDir())
	var fail atomic.Value // the step that fails
	fail.Store("")
	o.SetStep(func(name string) error {
		if name == fail.Load() {
			return errors.New("no disk")
		}
		return nil
	})
	b := open(t, o)
	appendAt(t, b, 0, items(0, 1), nil)
	written(t, b)
	first := b.Epoch()
	fail.Store("begin")
	if err := b.NewEpoch(ranges.Set{}); err == nil || b.Epoch() != first {
		t.Errorf("NewEpoch: %v", err)
	}
	fail.Store("write") // before there is something to write
	appendAt(t, b, 2, items(2), nil)
	if err := b.NewEpoch(ranges.Set{}); err == nil || b.Epoch() != first {
		t.Errorf("NewEpoch: %v", err)
	}
	fail.Store("")
	within(t, "the disk is back", func() bool { return b.Stats().WriteError == nil && b.Stats().Unwritten == 0 })
	wantLane(t, b, buffer.Backlog, "0:0 1:1 2:2")
	appendAt(t, b, 3, items(3), nil)
	fail.Store("endmove")
	if err := b.NewEpoch(set(0, 3)); err != nil || b.Epoch() == first {
		t.Errorf("NewEpoch: %v", err)
	}
	within(t, "the move fails", func() bool { return b.Stats().WriteError != nil })
	if b.Moving() {
		t.Error("it is waited for a move that the disk does not take")
	}
	fail.Store("")
	within(t, "the disk is back", func() bool { return b.Stats().WriteError == nil })
	moved(t, b)
	wantLane(t, b, buffer.Backlog, "0:0 1:1 2:2 0:3")
}
