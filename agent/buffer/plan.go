package buffer

import (
	"slices"
	"time"

	"andon.internal/shared/broken"
)

// plan is what one transaction writes.
type plan struct {
	entries []*entry
	epoch   Epoch
	next    uint64 // positions of epoch below it were assigned
	more    bool   // there is more for another one
	alarms  bool   // it has alarms, and no others because of them
}

// leastInBatch is what a record takes of a batch at least: in memory a small one is mostly
// what bbolt keeps of it until the transaction ends.
const leastInBatch = 1 << 10

// planLocked takes what is to be written from the queue: nothing when nothing is due;
// else what is due and what soon will be. While nothing is being acknowledged, that
// is everything, since all of it will have to be written. Records with a cursor are
// not parted from it. Where files cannot grow, the first plan has the alarms, if there are any: there
// may be space for these, and none for what waits already. New ones do not hold that up again.
func (b *Buffer) planLocked(now time.Time, all, first bool) plan {
	ep := b.x.current()
	p := plan{epoch: ep.id, next: ep.next}
	due := b.writeDueLocked(now)
	if !all && (due.IsZero() || due.After(now)) {
		return p
	}
	all = all || b.pressedLocked() || now.Sub(b.lastAck) > deleteWait
	soon := now.Add(-b.o.Linger / 2)
	var size int64
	rest := b.x.queue[:0]
	together := false // the last one taken and the next belong to one cursor
	p.alarms = first && b.cramped > 0 && slices.ContainsFunc(b.x.queue, (*entry).comesFirst)
	for i, e := range b.x.queue {
		if size >= b.batchLocked() && !together {
			p.more = true
			rest = append(rest, b.x.queue[i:]...)
			break
		}
		switch {
		case e.stage == gone:
		case b.waitsLocked(e), p.alarms && (e.bound || e.class == Bulk):
			p.more = true
			rest = append(rest, e)
		case all || e.ahead || e.class != Bulk || !e.appended.After(soon):
			e.stage = writing
			p.entries = append(p.entries, e)
			size += int64(max(e.size, leastInBatch))
			together = e.bound && e.cursor == nil
		default:
			rest = append(rest, e)
		}
	}
	clear(b.x.queue[len(rest):])
	b.x.queue = rest
	if !p.more {
		b.alarmDue = time.Time{}
	}
	return p
}

// takeBack puts what could not be written in the queue again.
func (b *Buffer) takeBack(p *plan) {
	if broken.Is(broken.EarlyMemory) {
		return
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, e := range p.entries {
		if e.acked {
			// It is not needed any more, and whether it is in a file that is not used any
			// more does not matter: its name would be known again.
			b.x.unwritten.Sub(e.tally())
			b.x.memory -= e.cost
			e.stage, e.data, e.packed = gone, nil, nil
			b.x.settleLoss(e)
			continue
		}
		e.stage = queued
		b.x.queue = append(b.x.queue, e)
	}
	slices.SortFunc(b.x.queue, func(a, c *entry) int {
		if a.serial < c.serial {
			return -1
		}
		return 1
	})
	b.catchUpLocked()
}
