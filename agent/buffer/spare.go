package buffer

import (
	"encoding/binary"
	"slices"
	"time"
)

// spare names records of class Bulk that are let go of last, as those of class Alarm are:
// the positions [from, to) of an epoch, as far as they have the label.
type spare struct {
	epoch    Epoch
	label    string
	from, to uint64
}

const (
	maxSpares     = 256
	sparesVersion = 1
	// sparesCursor is the name under which they are kept on disk, as a cursor is. No cursor
	// of a source begins like it.
	sparesCursor = "\x00spares"
)

// Spare has records that were appended before be let go of last, as if they were of class
// Alarm: those of this epoch that have the label and were appended within age, at most
// [Options.LiveAge] and a little more. It is for what came before an alarm, and waits for
// nothing; what it says is on disk with the next write. The latest 256 calls count.
func (b *Buffer) Spare(label string, age time.Duration) {
	now := time.Now()
	b.mu.Lock()
	defer b.mu.Unlock()
	ep := b.x.current()
	s := spare{ep.id, clipLabel(label), ep.marks.since(now.Add(-age), b.o.markStep()), ep.next}
	if b.closed || s.from >= s.to {
		return
	}
	b.spares = slices.DeleteFunc(b.spares, b.spentLocked)
	for i := range b.spares {
		if o := &b.spares[i]; o.epoch == s.epoch && o.label == s.label && o.to >= s.from {
			o.to = s.to
			b.noteSparesLocked()
			return
		}
	}
	b.spares = append(b.spares, s)
	b.spares = b.spares[max(0, len(b.spares)-maxSpares):]
	b.noteSparesLocked()
}

// spentLocked reports whether nothing is held any more of what s names.
func (b *Buffer) spentLocked(s spare) bool {
	ep := b.x.byID[s.epoch]
	if ep == nil {
		return true
	}
	r, ok := ep.held.Next(s.from)
	return len(ep.hidden) == 0 && (!ok || r.From >= s.to)
}

// sparedLocked reports whether a record is one of those.
func (b *Buffer) sparedLocked(k Key, label string) bool {
	return slices.ContainsFunc(b.spares, func(s spare) bool {
		return s.from <= k.Position && k.Position < s.to && s.label == label && s.epoch == k.Epoch
	})
}

// moveSparesLocked names what an epoch's records are called in the one that they move to.
// Those that waited in memory come last in that.
func (b *Buffer) moveSparesLocked(m *move, next uint64) {
	var moved []spare
	for _, s := range b.spares {
		if s.epoch != m.from {
			continue
		}
		to := m.rank(s.to)
		if s.to > m.set.End() {
			to = next
		}
		moved = append(moved, spare{m.to, s.label, m.rank(s.from), to})
	}
	if len(moved) > 0 {
		b.spares = append(b.spares, moved...)
		b.spares = b.spares[max(0, len(b.spares)-maxSpares):]
		b.noteSparesLocked()
	}
}

// noteSparesLocked takes them to the disk. While the disk takes nothing, one note waits.
func (b *Buffer) noteSparesLocked() {
	data := []byte{sparesVersion}
	for i := range b.spares {
		s := &b.spares[i]
		data = append(data, s.epoch[:]...)
		data = binary.AppendUvarint(data, s.from)
		data = binary.AppendUvarint(data, s.to)
		data = append(data, byte(len(s.label)))
		data = append(data, s.label...)
	}
	b.generation++
	c := cursor{Generation: b.generation, Data: data}
	for _, e := range b.x.queue {
		if e.cursor != nil && e.label == sparesCursor && e.stage == queued {
			b.x.memory += int64(len(c.Data) - len(e.cursor.Data))
			e.cost += int64(len(c.Data) - len(e.cursor.Data))
			e.cursor = &c
			return
		}
	}
	b.x.enqueueCursor(sparesCursor, c)
	b.wake()
}

// restoreSpares reads what an earlier process noted. What does not read back is not known
// any more: its records are let go of as others are.
func (b *Buffer) restoreSpares() {
	d := decoder{b: b.cursors[sparesCursor].Data}
	if len(d.b) == 0 || d.byte() != sparesVersion {
		return
	}
	for len(d.b) > 0 && len(b.spares) < maxSpares {
		var s spare
		copy(s.epoch[:], d.take(len(s.epoch)))
		s.from, s.to = d.uvarint(), d.uvarint()
		s.label = string(d.take(int(d.byte())))
		if d.bad {
			b.log.Warn("it is not known any more which records are kept longest", "read", len(b.spares))
			return
		}
		b.spares = append(b.spares, s)
	}
}
