package buffer

import (
	"fmt"
	"time"
)

// Append gives the items the positions first, first+1, ... and takes them, all or
// none. They become visible to Next together, and the records of an epoch in the
// order of their positions. It does not wait for the disk.
//
// With a cursor the items are not given out before they and the cursor are on disk
// together, and ErrFull means that nothing was taken. Without one, items that find
// no room are kept where Options.Policy lets older ones go for them. What is not kept is
// named in a loss record, under the positions it used, and the error is nil. An item
// above Options.MaxRecord is treated in that way always.
// items may be empty: then only the cursor is stored.
//
// Any other error is the caller's: more than 4096 items, a class other than Bulk and
// Alarm, more bytes at once than could ever find room, a cursor out of bounds.
func (b *Buffer) Append(items []Item, c *Cursor) (first uint64, err error) {
	now := time.Now()
	b.mu.Lock()
	ahead := c != nil || b.aheadLocked()
	b.mu.Unlock()
	p := parcel{entries: make([]*entry, len(items)), items: items, limit: Bulk}
	if err := p.prepare(&b.o, now, ahead); err != nil {
		return 0, fmt.Errorf("append to buffer: %w", err)
	}
	if c != nil {
		p.limit = Bulk // what can wait takes none of the room that is kept for alarms
	}
	if c != nil && (c.Name == "" || c.Name == sparesCursor || len(c.Name) > maxLabelSize || len(c.Data) > maxCursorData) {
		return 0, fmt.Errorf("append to buffer: cursor %.40q with a name of %d bytes and data of %d", c.Name, len(c.Name), len(c.Data))
	}

	b.mu.Lock()
	defer b.mu.Unlock()
	if b.closed {
		return 0, ErrClosed
	}
	if c != nil && b.detached != nil {
		return 0, fmt.Errorf("append to buffer: %w: %w", ErrDetached, b.detached)
	}
	if c != nil && !b.names[c.Name] && len(b.names) >= maxCursors {
		return 0, fmt.Errorf("append to buffer: more than %d cursors", maxCursors)
	}
	if c != nil && len(items) > 0 && p.limit != Alarm && b.behindLocked(p.memory) {
		b.m.refused.Inc()
		return 0, ErrFull
	}
	if len(items) > 0 && !b.roomLocked(p.space, p.memory, p.limit) {
		b.setFullLocked()
		switch {
		case c != nil:
			b.m.refused.Inc()
			return 0, ErrFull
		case !b.ringLocked(p.space, p.memory, p.limit, now):
			return b.rejectLocked(items, now), nil
		}
	} else {
		b.closeLossLocked(ReasonOverflow, now)
	}
	ep := b.x.current()
	first = ep.next
	b.takeLocked(&p, now, ahead, c != nil)
	if c != nil {
		b.names[c.Name] = true
		b.generation++
		b.x.enqueueCursor(c.Name, cursor{Generation: b.generation, Data: append([]byte{}, c.Data...)})
	}
	if b.x.show(ep) {
		b.signalChanged()
	}
	if ahead || len(b.x.queue) <= len(p.entries) || p.limit == Alarm || b.pressedLocked() {
		b.wake()
	}
	return first, nil
}

// parcel is the items of one Append on their way in.
type parcel struct {
	items         []Item
	entries       []*entry // nil where the item is too large
	space, memory int64
	limit         Class // Alarm if any of them is
}

func (p *parcel) prepare(o *Options, now time.Time, ahead bool) error {
	if len(p.items) > maxItems {
		return fmt.Errorf("%w: %d items, the limit is %d", ErrTooLarge, len(p.items), maxItems)
	}
	for i := range p.items {
		it := &p.items[i]
		switch {
		case it.Class != Bulk && it.Class != Alarm:
			return fmt.Errorf("item of class %v", it.Class)
		case it.Rows < 0 || int64(it.Rows) > 1<<31-1:
			return fmt.Errorf("item of %d rows", it.Rows)
		case len(it.Data) > o.MaxRecord:
			continue
		}
		if it.Class == Alarm {
			p.limit = Alarm
		}
		e := newEntry(it, now, ahead)
		p.entries[i] = e
		p.space += int64(e.tally().Space)
		p.memory += e.cost
	}
	if most := max(p.memory, p.space); most > o.maxAppend() {
		return fmt.Errorf("%w: %d bytes, the limit is %d", ErrTooLarge, most, o.maxAppend())
	}
	return nil
}

// takeLocked gives the items their positions. What is too large for a record becomes
// a loss record behind them.
func (b *Buffer) takeLocked(p *parcel, now time.Time, ahead, bound bool) {
	ep := b.x.current()
	var large []LossInfo
	for i, e := range p.entries {
		it := &p.items[i]
		if e == nil {
			l := lossOf(ReasonOversize, Key{Epoch: ep.id, Position: ep.next}, it)
			ep.next++
			if n := len(large); n == 0 || !large[n-1].join(&l) {
				large = append(large, l)
			}
			continue
		}
		e.bound = bound
		b.x.enqueue(e, now, b.o.markStep())
		b.m.appended.Inc()
		b.taken.Add(int64(e.length))
		b.m.appendedRows.Add(float64(e.rows))
		if e.class == Alarm && b.alarmDue.IsZero() {
			b.alarmDue = now.Add(b.o.AlarmLinger)
		}
	}
	for i := range large {
		b.countLossLocked(&large[i], large[i].To-large[i].From)
		e := lossEntry(&large[i], now, ahead)
		e.bound = bound
		b.x.enqueue(e, now, b.o.markStep())
		b.rememberLocked(e.key, &large[i])
	}
}

// rejectLocked uses up the positions of items for which there is no room.
func (b *Buffer) rejectLocked(items []Item, now time.Time) (first uint64) {
	ep := b.x.current()
	if open := b.losses[ReasonOverflow]; open != nil && (open.info.Epoch != ep.id || open.info.To != ep.next) {
		b.closeLossLocked(ReasonOverflow, now)
	}
	first = ep.next
	for i := range items {
		l := lossOf(ReasonOverflow, Key{Epoch: ep.id, Position: ep.next}, &items[i])
		ep.next++
		b.noteLossLocked(&l, 1, now, false)
	}
	b.rejectedLocked(ep.next, now)
	return first
}
