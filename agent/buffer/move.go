package buffer

import (
	"time"

	"andon.internal/agent/buffer/internal/format"
	"andon.internal/shared/ranges"
)

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

// Moving reports whether records wait to be copied into another epoch, and the disk takes
// that. They are held by no epoch until then, and become visible in their order, but behind
// what was appended since.
func (b *Buffer) Moving() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return len(b.moves) > 0 && b.failures == 0
}

// finishMoves ends the moves under way. It is called with disk held.
func (b *Buffer) finishMoves() error {
	for {
		if more, err := b.moveSome(); !more || err != nil {
			return err
		}
	}
}

// moveSome copies some of what is left of the moves under way, in one transaction; or, where
// all of one is copied, deletes it where it was, and ends that move. It reports whether
// there is more to do. It is called with disk held.
func (b *Buffer) moveSome() (more bool, err error) {
	b.mu.Lock()
	if len(b.moves) == 0 {
		b.mu.Unlock()
		return false, nil
	}
	m, ep := b.moves[0], b.x.current()
	c := format.Change{Epoch: ep.id, Next: ep.next}
	from := b.unmovedLocked(m)
	b.mu.Unlock()
	if len(from) > 0 {
		return true, b.copyMoved(m, &c, from)
	}
	if err := b.endMove(m); err != nil {
		return true, err
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	return len(b.moves) > 0, nil
}

// unmovedLocked returns some positions that are still to be copied, as many as make a
// transaction. Those that were copied before a crash are let go of.
func (b *Buffer) unmovedLocked(m *move) []uint64 {
	var out []uint64
	var size int64
	rank := m.rank(m.at)
	for _, r := range m.set.Ranges() {
		for p := max(r.From, m.at); p < r.To; p, rank = p+1, rank+1 {
			f := b.x.where(Key{Epoch: m.from, Position: p})
			if f == nil {
				continue
			}
			if b.x.where(Key{Epoch: m.to, Position: rank}) != nil {
				b.x.bury(Key{Epoch: m.from, Position: p})
				continue
			}
			out = append(out, p)
			t := f.holds[m.from].tally
			if size += int64(t.Bytes / max(t.Records, 1)); size >= b.o.maxBatch() || len(out) == maxItems {
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

// copyMoved copies records in one transaction.
func (b *Buffer) copyMoved(m *move, c *format.Change, from []uint64) error {
	keys := make([]Key, len(from))
	for i, p := range from {
		keys[i] = Key{Epoch: m.from, Position: p}
	}
	rename := func(v *format.Envelope) {
		v.Key, v.Moved = Key{Epoch: m.to, Position: m.rank(v.Key.Position)}, true
	}
	return b.copySome(c, keys, rename, func(f *file, k, as Key) {
		b.x.bury(k)
		f.holding(as.Epoch).live.Add(as.Position, as.Position+1)
		b.x.byID[as.Epoch].held.Add(as.Position, as.Position+1)
		m.at = k.Position + 1
		b.deadLocked(time.Now()) // a long move does not take the space twice
		b.shedAt = nil           // it may lie before that
		b.signalChanged()
	})
}

// unmovedRecordsLocked returns how many records wait to be copied into another epoch.
func (b *Buffer) unmovedRecordsLocked() (n uint64) {
	for _, m := range b.moves {
		for _, f := range b.x.files {
			if h := f.holds[m.from]; h != nil {
				n += h.live.Intersect(m.set).Len()
			}
		}
	}
	return n
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
	left := len(b.inPlace) > 0
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
	b.signalChanged()
	if !left {
		b.chainFailed(b.chain.moved(m)) // without it the next start finds nothing left to move
	}
	return nil
}
