package buffer

import (
	"slices"
	"time"
)

// dropQueuedLocked lets go of the oldest records of class Bulk that are in memory only,
// until enough says so: some at once, so that
// stretches are lost and not every other record. What belongs to a cursor stays, so that the cursor never stands
// before what is not there; so do alarms and what is spared, but with last. Loss records of what was dropped before are
// taken up into the new one, so that there is never more than a few of them.
func (b *Buffer) dropQueuedLocked(now time.Time, last bool, enough func() bool) {
	dropped := map[*entry]bool{}
	var losses []LossInfo
	for _, e := range b.x.queue {
		if enough() {
			break
		}
		ep := b.x.byID[e.key.Epoch]
		if e.stage != queued || e.cursor != nil || e.bound || ep == nil || ep.mem[e.key.Position] != e {
			continue
		}
		l := LossInfo{Epoch: e.key.Epoch, From: e.key.Position, To: e.key.Position + 1, Reason: ReasonOverflow}
		switch e.class {
		case Bulk, Alarm:
			if !last && (e.class == Alarm || b.sparedLocked(e.key, e.label)) {
				continue
			}
			l.Rows, l.First, l.Last = uint64(e.rows), e.first, e.last
			if e.label != "" {
				l.Labels = []string{e.label}
			}
			b.countLossLocked(&l, 1)
		case Loss:
			told, err := DecodeLoss(e.data)
			if err != nil || e.bury != nil || b.losses[ReasonOverflow] == nil && len(losses) == 0 || !l.absorb(&told) {
				continue
			}
		default:
			continue
		}
		b.x.drop(ep, e)
		ep.held.Remove(e.key.Position, e.key.Position+1)
		if e.ahead {
			b.x.aheadQueued--
		}
		losses = append(losses, l)
		dropped[e] = true
	}
	if len(dropped) == 0 {
		return
	}
	for _, ep := range b.x.epochs[max(0, len(b.x.epochs)-2):] { // before a loss record shows what is behind it
		ep.hidden = slices.DeleteFunc(ep.hidden, func(e *entry) bool { return dropped[e] })
	}
	b.x.queue = slices.DeleteFunc(b.x.queue, func(e *entry) bool { return e.stage == gone })
	for i := range losses {
		b.growLossLocked(&losses[i], now)
	}
	b.rejectedLocked(b.x.current().next, now)
}

// growLossLocked adds to the open loss of what overflowed, or opens one. It has been
// counted.
func (b *Buffer) growLossLocked(l *LossInfo, now time.Time) {
	open := b.losses[ReasonOverflow]
	if open != nil && !open.bury && (open.info.join(l) || l.From < open.info.To && open.info.absorb(l)) {
		open.records++
		return
	}
	b.noteCountedLossLocked(l, 1, now, false)
}

// absorb makes l tell also what o tells of the same epoch, where both are of records that
// found no room: of all positions from the first to the last of both. What of them was
// kept and comes after all counts as come. It reports whether it did.
func (l *LossInfo) absorb(o *LossInfo) bool {
	if l.Reason != ReasonOverflow || o.Reason != ReasonOverflow || l.Epoch != o.Epoch {
		return false
	}
	c := *o
	from, to := min(l.From, o.From), max(l.To, o.To)
	c.From, c.To = l.To, l.To+1 // so that it joins
	l.join(&c)
	l.From, l.To = from, to
	return true
}
