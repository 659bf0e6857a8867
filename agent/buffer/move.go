package buffer

import (
	"errors"
	"maps"
	"time"

	"andon.internal/shared/ranges"
)

// NewEpoch ends the current epoch and begins a new one. Records of the current epoch
// that were never given out move into it and get new positions, in their order;
// the others keep their names. It is for a resumed machine snapshot, whose
// collector names positions that this epoch has not assigned. It must be called
// from the goroutine that calls Next and Get. On an error the old epoch goes on, or,
// where records could not be moved yet, they are held back and moved as soon as the
// disk lets it.
//
// A crash at any moment neither loses nor doubles: which record gets which new name
// is on disk before the first is written under it.
func (b *Buffer) NewEpoch() error {
	b.disk.Lock()
	defer b.disk.Unlock()
	b.mu.Lock()
	closed := b.closed
	b.mu.Unlock()
	if closed {
		return ErrClosed
	}
	if err := b.flush(true); err != nil {
		return wrap("begin an epoch", err)
	}
	b.mu.Lock()
	old := b.x.current()
	m := &move{from: old.id, set: b.x.onDisk(old)}
	m.set.RemoveSet(old.given)
	l := b.newLink()
	m.to, m.seq = l.id, l.seq
	b.mu.Unlock()

	if err := b.step("begin"); err != nil {
		return wrap("begin an epoch", err)
	}
	if err := b.chain.begin(l, nil, nil, m); err != nil {
		return wrap("begin an epoch", err)
	}
	b.mu.Lock()
	b.switchLocked(old, newEpoch(l), m)
	ended := old.link
	b.mu.Unlock()
	b.log.Warn("a new epoch begins", "records_moved", m.set.Len())
	if err := b.step("end"); err != nil {
		return wrap("begin an epoch", err)
	}
	b.chainFailed(b.chain.end(ended)) // without it the next start finds it unclean
	if err := b.finishMoves(); err != nil {
		b.failed(err, nil)
		return wrap("move records to the new epoch", err)
	}
	return nil
}

// onDisk returns the held positions of an epoch that are in a file.
func (x *index) onDisk(ep *epoch) ranges.Set {
	var out ranges.Set
	for _, f := range x.files {
		if h := f.holds[ep.id]; h != nil {
			out.AddSet(h.live.Intersect(ep.held))
		}
	}
	return out
}

// switchLocked makes the new epoch current. What waits in memory gets a new name at
// once, what is on disk when it is copied.
func (b *Buffer) switchLocked(old, ep *epoch, m *move) {
	now := time.Now()
	b.closeDueLossesLocked(now, true)
	b.moves = append(b.moves, m)
	old.held.RemoveSet(m.set)
	for p, e := range old.mem {
		if m.set.Contains(p) {
			b.x.drop(old, e)
		}
	}
	for _, k := range old.marks.list {
		ep.marks.put(m.rank(k.position), k.at)
	}
	ep.next = m.set.Len()
	old.hidden = nil
	for _, e := range b.x.queue {
		p := e.key.Position
		if e.cursor != nil || e.stage == gone || e.key.Epoch != old.id || old.given.Contains(p) {
			continue
		}
		old.held.Remove(p, p+1)
		delete(old.mem, p)
		e.key = Key{ep.id, ep.next}
		ep.marks.add(ep.next, e.appended, b.o.markStep())
		ep.next++
		ep.mem[e.key.Position] = e
		ep.hidden = append(ep.hidden, e)
	}
	old.ended = EndClosed
	old.next = max(old.given.End(), old.held.End())
	old.given = ranges.Set{}
	b.x.addEpoch(ep)
	b.noted, b.rejected = 0, 0
	if b.x.show(ep) {
		b.signalChanged()
	}
}

// resumeMove takes up a move that a crash cut off.
func (b *Buffer) resumeMove(m *move) {
	from, to := b.epochFor(m.from), b.epochFor(m.to)
	from.held.RemoveSet(m.set)
	to.next = max(to.next, m.set.Len())
	b.moves = append(b.moves, m)
}

// movingLocked returns how many positions of the range wait to be copied into another
// epoch. They are in no epoch's held set.
func (b *Buffer) movingLocked(e Epoch, r ranges.Range) uint64 {
	var n uint64
	for _, m := range b.moves {
		if m.from == e {
			n += m.set.Intersect(ranges.Of(r)).Len()
		}
	}
	return n
}

// finishMoves copies what is left of the moves under way, deletes it where it was,
// and ends them. It is called with disk held.
func (b *Buffer) finishMoves() error {
	for {
		b.mu.Lock()
		var m *move
		var c change
		var from []uint64
		if len(b.moves) > 0 {
			m = b.moves[0]
			ep := b.x.current()
			c.epoch, c.next = ep.id, ep.next
			from = b.unmovedLocked(m)
		}
		b.mu.Unlock()
		var err error
		switch {
		case m == nil:
			return nil
		case len(from) > 0:
			err = b.moveSome(m, &c, from)
		default:
			err = b.endMove(m)
		}
		if err != nil {
			return err
		}
	}
}

// unmovedLocked returns some positions that are still to be copied, as many as make a
// transaction. Those that were copied before a crash are let go of.
func (b *Buffer) unmovedLocked(m *move) []uint64 {
	var out []uint64
	var size int64
	rank := m.rank(m.at)
	for _, r := range m.set.Ranges() {
		for p := max(r.From, m.at); p < r.To; p, rank = p+1, rank+1 {
			f := b.x.where(Key{m.from, p})
			if f == nil {
				continue
			}
			if b.x.where(Key{m.to, rank}) != nil {
				b.x.bury(Key{m.from, p})
				continue
			}
			out = append(out, p)
			t := f.holds[m.from].tally
			if size += int64(t.bytes / max(t.records, 1)); size >= b.o.maxBatch() || len(out) == maxItems {
				return out
			}
		}
	}
	return out
}

// bury lets go of a record everywhere.
func (x *index) bury(k Key) {
	x.byID[k.Epoch].held.Remove(k.Position, k.Position+1)
	for _, f := range x.files {
		if h := f.holds[k.Epoch]; h != nil {
			x.change(h, func() { h.gone += cut(&h.live, ranges.Range{From: k.Position, To: k.Position + 1}, &h.dead) })
		}
	}
}

// moveSome copies records in one transaction.
func (b *Buffer) moveSome(m *move, c *change, from []uint64) error {
	var moved []uint64
	for _, p := range from {
		k := Key{m.from, p}
		b.mu.Lock()
		f := b.x.where(k)
		b.mu.Unlock()
		if f == nil {
			continue
		}
		v, err := b.read(f, k)
		switch {
		case err == nil:
			v.key = Key{m.to, m.rank(p)}
			c.puts = append(c.puts, v)
			moved = append(moved, p)
		case errors.Is(err, errDamagedFile):
			b.damagedFile(f, err)
		case errors.Is(err, errDamaged):
			b.damaged(f, k, err)
		default:
			return err
		}
	}
	if len(moved) == 0 {
		return nil
	}
	return b.onActive(func(f *file) error {
		if c.home = !f.home; c.home {
			b.mu.Lock()
			c.cursors = maps.Clone(b.cursors)
			b.mu.Unlock()
		}
		out, err := b.apply(f, c)
		if err != nil {
			return err
		}
		b.mu.Lock()
		defer b.mu.Unlock()
		b.appliedLocked(f, c, &out)
		f.home = true
		to := b.x.byID[m.to]
		h := f.holding(m.to)
		for i, p := range moved {
			b.x.bury(Key{m.from, p})
			at := c.puts[i].key.Position
			h.live.Add(at, at+1)
			to.held.Add(at, at+1)
		}
		m.at = from[len(from)-1] + 1
		b.signalChanged()
		return nil
	})
}

// rank returns how many positions of the set are below p.
func (m *move) rank(p uint64) uint64 {
	var n uint64
	for _, r := range m.set.Ranges() {
		if r.From >= p {
			break
		}
		n += min(r.To, p) - r.From
	}
	return n
}

// endMove deletes what was copied where it still is, and notes the end. Where it
// cannot be deleted, because its file is not written any more, the next start goes
// through the move again, and through those that took it further, and ends at the
// same names.
func (b *Buffer) endMove(m *move) error {
	if err := b.step("endmove"); err != nil {
		return err
	}
	if err := b.sweep(true); err != nil {
		return err
	}
	if err := syncDir(b.o.Dir); err != nil { // files that were unlinked must not come back
		return err
	}
	b.mu.Lock()
	left := false
	for _, f := range b.x.files {
		if h := f.holds[m.from]; h != nil && !(h.dead.Intersect(m.set).Empty() && h.doubt.Intersect(m.set).Empty()) {
			left = true
		}
	}
	for _, before := range b.again {
		left = left || before.to == m.from
	}
	b.moves = b.moves[1:]
	if left {
		b.again = append(b.again, m)
	}
	b.mu.Unlock()
	if !left {
		b.chainFailed(b.chain.moved(m)) // without it the next start finds nothing left to move
	}
	return nil
}
