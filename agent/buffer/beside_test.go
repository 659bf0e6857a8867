package buffer_test

import (
	"errors"
	"sync/atomic"
	"testing"

	"andon.internal/agent/buffer"
	"andon.internal/shared/ranges"
)

// beside appends a record when a transaction begins that takes nothing from memory, and
// counts those that begin from then on until it is on disk.
type beside struct {
	buffer       *buffer.Buffer
	looks        atomic.Bool
	above        int64 // while the files are larger than that
	appended     atomic.Bool
	transactions atomic.Int64
	fail         atomic.Bool // the next transaction fails
}

func (s *beside) step(name string) error {
	if name != "write" {
		return nil
	}
	if s.fail.CompareAndSwap(true, false) {
		return errors.New("the disk fails, as it was told to")
	}
	if !s.looks.Load() {
		return nil
	}
	switch st := s.buffer.Stats(); {
	case s.appended.Load() && st.Unwritten > 0:
		s.transactions.Add(1)
	case s.appended.Load():
		s.looks.Store(false) // it is on disk
	case st.Unwritten == 0 && st.DiskBytes > s.above:
		s.appended.Store(true)
		_, err := s.buffer.Append(items(1_000_000), nil)
		return err
	}
	return nil
}

// wait waits until all is over, and says when the record waited for more than a transaction
// that was under way, and deletes.
func (s *beside) wait(t *testing.T, what string, over func() bool) {
	t.Helper()
	within(t, what, over)
	written(t, s.buffer)
	if n := s.transactions.Load(); n == 0 || n > 3 {
		t.Errorf("%d transactions until what was appended meanwhile is on disk", n)
	}
}

// TestAppendBesideAMove: what is appended while a backlog is moved to a new epoch is on disk
// in its time, and NewEpoch does not wait for the backlog.
func TestAppendBesideAMove(t *testing.T) {
	var s beside
	o := small(t.TempDir())
	o.WriteAhead = true // it is due at once
	o.SetStep(s.step)
	s.buffer = open(t, o)
	pour(t, s.buffer, 0, 150)
	s.looks.Store(true)
	if err := s.buffer.NewEpoch(ranges.Set{}); err != nil {
		t.Fatal(err)
	}
	if n := s.buffer.Stats().Records; n < 150 {
		t.Errorf("%d records are held while they are moved, want 150", n)
	}
	s.wait(t, "all is moved", func() bool { return !s.buffer.Moving() })
	if list := all(t, s.buffer, buffer.Backlog); len(list) != 151 || list[0].Epoch != s.buffer.Epoch() {
		t.Errorf("%d records, want 151", len(list))
	}
}

// TestAppendBesideAnEvacuation: likewise while what a sealed file holds is copied.
func TestAppendBesideAnEvacuation(t *testing.T) {
	var s beside
	o := small(t.TempDir())
	o.WriteAhead = true
	o.MaxDisk = 8 << 20
	s.above = o.MaxDisk
	o.SetStep(s.step)
	b := open(t, o)
	s.buffer = b
	const n = 480
	for id := 0; id < n; id += 80 {
		pour(t, b, id, 80)
		s.fail.Store(true) // that file is sealed
	}
	var acked ranges.Set
	for p := uint64(0); p < n; p += 2 {
		acked.Add(p, p+1)
	}
	if err := b.Ack(b.Epoch(), acked); err != nil {
		t.Fatal(err)
	}
	s.looks.Store(true)
	for id := n; !s.appended.Load(); id++ {
		pour(t, b, id, 1)
	}
	s.wait(t, "the files are within their limit", func() bool { return b.Stats().DiskBytes <= o.MaxDisk })
}

// TestBatchOfCopies: how much one transaction copies is bounded by what the records have, also
// where large ones lie together beside many small ones.
func TestBatchOfCopies(t *testing.T) {
	o := small(t.TempDir())
	var b *buffer.Buffer
	var looks atomic.Bool
	var most atomic.Int64
	var before int64 // the flusher's, while looks is set
	o.SetStep(func(name string) error {
		if name == "write" && looks.Load() {
			now := b.Written().Device
			most.Store(max(most.Load(), now-before))
			before = now
		}
		return nil
	})
	b = open(t, o)
	large := make([]buffer.Item, 30)
	for i := range large {
		large[i].Data = payload(i, 15_000)
	}
	for i := range large {
		appendAt(t, b, uint64(i), large[i:i+1], nil)
	}
	written(t, b)
	const n = 1030
	for id := len(large); id < n; id += 10 {
		appendAt(t, b, uint64(id), items(id, id+1, id+2, id+3, id+4, id+5, id+6, id+7, id+8, id+9), nil)
	}
	written(t, b)
	if n := len(recordFiles(t, o.Dir)); n != 1 {
		t.Fatalf("%d files, want 1", n)
	}
	before = b.Written().Device
	looks.Store(true)
	newEpoch(t, b, ranges.Set{})
	looks.Store(false)
	if got, batch := most.Load(), o.RotateBytes/16; got == 0 || got > 3*batch { // its pages and those of the tree
		t.Errorf("one transaction wrote %d bytes, with batches of %d", got, batch)
	}
	wantIDs(t, b, 0, n)
}
