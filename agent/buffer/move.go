package buffer

import (
	"sort"
	"time"

	"andon.internal/agent/buffer/internal/format"
	"andon.internal/shared/ranges"
)

// resumeMove takes up a move that a crash cut off.
func (b *Buffer) resumeMove(m *move) {
	from, to := b.epochFor(m.from), b.epochFor(m.to)
	from.held.RemoveSet(m.set)
	to.raise(m.set.Len())
	b.moves = append(b.moves, m)
	b.movedAt = time.Now()
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

// moveStall is how long a disk may take for a part of a move before nobody waits for it.
const moveStall = 10 * time.Second

// Moving reports whether records wait to be copied into another epoch, can be read, and the
// disk takes that. They are held by no epoch until then, and become visible in their order,
// but behind what was appended since: see Moved.
func (b *Buffer) Moving() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.failures == 0 && time.Since(b.movedAt) < moveStall && b.canMoveLocked()
}

// Moved counts how often records that were copied into another epoch became visible: whoever
// has read the backlog behind them is to begin anew.
func (b *Buffer) Moved() uint64 {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.moved
}

// canMoveLocked reports whether a move can go on now: something of one can be read, or the
// first is to be ended.
func (b *Buffer) canMoveLocked() bool {
	for i, m := range b.moves {
		if left, others := b.leftLocked(m); !left.Empty() || i == 0 && !others {
			return true
		}
	}
	return false
}

// leftLocked returns what is still to be copied of a move, and whether there are others that
// cannot be read now: the move waits for these, while the flusher goes on.
func (b *Buffer) leftLocked(m *move) (left ranges.Set, others bool) {
	var closed ranges.Set
	for _, f := range b.x.files {
		h := f.holds[m.from]
		if h == nil {
			continue
		}
		live := h.live.Intersect(m.set)
		if f.fault != nil {
			closed.AddSet(live)
			continue
		}
		newer := live.Intersect(h.newer)
		closed.AddSet(newer)
		live.RemoveSet(newer)
		left.AddSet(live)
	}
	closed.RemoveSet(left)
	return left, !closed.Empty()
}

// finishMoves ends the moves under way, but for what cannot be read now. It is called with
// disk held.
func (b *Buffer) finishMoves() error {
	for {
		if more, err := b.moveSome(); !more || err != nil {
			return err
		}
	}
}

// moveSome copies some of what is left of the moves under way, in one transaction; or, where
// all of the first is copied, deletes it where it was, and ends that move. It reports whether
// there is more that it can do. It is called with disk held.
func (b *Buffer) moveSome() (more bool, err error) {
	b.mu.Lock()
	ep := b.x.current()
	c := format.Change{Epoch: ep.id, Next: ep.next}
	for i, m := range b.moves {
		from, others := b.unmovedLocked(m)
		if len(from) > 0 {
			b.mu.Unlock()
			return true, b.copyMoved(m, &c, from)
		}
		if i == 0 && !others {
			b.mu.Unlock()
			if err := b.endMove(m); err != nil {
				return true, err
			}
			b.mu.Lock()
			break
		}
	}
	defer b.mu.Unlock()
	return b.canMoveLocked(), nil
}

// unmovedLocked returns some positions that are to be copied now, as many as make a
// transaction, and whether there are others that cannot be read. Those that were copied before
// a crash are let go of.
func (b *Buffer) unmovedLocked(m *move) (out []uint64, others bool) {
	var size int64
	left, others := b.leftLocked(m)
	for _, r := range left.Ranges() {
		rank := m.rank(r.From)
		for p := r.From; p < r.To; p, rank = p+1, rank+1 {
			if b.x.where(b.lastNameLocked(Key{Epoch: m.to, Position: rank})) != nil {
				b.x.bury(Key{Epoch: m.from, Position: p})
				continue
			}
			out = append(out, p)
			t := b.x.where(Key{Epoch: m.from, Position: p}).holds[m.from].tally
			if size += int64(t.Bytes / max(t.Records, 1)); size >= b.o.maxBatch() || len(out) == maxItems {
				return out, others
			}
		}
	}
	return out, others
}

// lastNameLocked returns under which name a move brings what is to be k: where a later one
// takes it further, that of the last, for k itself another life of this machine may have used.
func (b *Buffer) lastNameLocked(k Key) Key {
	for _, m := range b.moves {
		if m.from == k.Epoch && m.set.Contains(k.Position) {
			k = Key{Epoch: m.to, Position: m.rank(k.Position)}
		}
	}
	return k
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
		b.mu.Lock()
		defer b.mu.Unlock()
		v.Key, v.Moved = b.lastNameLocked(v.Key), true
	}
	return b.copySome(c, keys, rename, func(f *file, k, as Key) {
		b.x.bury(k)
		f.holding(as.Epoch).live.Add(as.Position, as.Position+1)
		b.x.byID[as.Epoch].held.Add(as.Position, as.Position+1)
		b.moved++
		b.movedAt = time.Now()
		b.deadLocked(b.movedAt) // a long move does not take the space twice
		b.shedAt = nil          // it may lie before that
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

// rank returns how many positions of the set are below p. It is called with mu held.
func (m *move) rank(p uint64) uint64 {
	list := m.set.Ranges()
	if m.below == nil {
		var n uint64
		for _, r := range list {
			m.below = append(m.below, n)
			n += r.To - r.From
		}
	}
	i := sort.Search(len(list), func(i int) bool { return list[i].From >= p }) - 1
	if i < 0 {
		return 0
	}
	return m.below[i] + min(list[i].To, p) - list[i].From
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
		if h := f.holds[m.from]; h != nil {
			for _, some := range []ranges.Set{h.live, h.bad, h.dead, h.doubt} {
				left = left || !some.Intersect(m.set).Empty()
			}
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
