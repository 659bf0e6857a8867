package buffer

import (
	"log/slog"
	"slices"
	"time"

	"andon.internal/shared/broken"
)

// run is the flusher: it writes what is due until Close.
func (b *Buffer) run() {
	defer close(b.done)
	timer := time.NewTimer(time.Hour)
	defer timer.Stop()
	for {
		b.mu.Lock()
		due := b.dueLocked(time.Now())
		b.mu.Unlock()
		if due.IsZero() {
			timer.Stop()
		} else {
			timer.Reset(time.Until(due))
		}
		select {
		case <-b.stop:
			return
		case <-b.kick:
		case <-timer.C:
		}
		b.disk.Lock()
		_ = b.flush(false) // noted, logged and tried again; see failedLocked
		b.disk.Unlock()
	}
}

// dueLocked returns when the flusher has something to do; zero when nothing waits.
func (b *Buffer) dueLocked(now time.Time) time.Time {
	var due time.Time
	if b.detached != nil {
		for _, open := range b.losses {
			if due.IsZero() || open.due.Before(due) {
				due = open.due
			}
		}
		return due
	}
	by := func(t time.Time) {
		if !t.IsZero() && (due.IsZero() || t.Before(due)) {
			due = t
		}
	}
	by(b.writeDueLocked(now))
	by(b.deadDue)
	if b.canMoveLocked() {
		by(now)
	}
	if !due.IsZero() && due.Before(b.retryAt) {
		due = b.retryAt
	}
	for _, open := range b.losses {
		by(open.due)
	}
	by(b.noteDueLocked())
	by(b.spaceDue)
	by(b.faultDueLocked())
	by(b.chainDue)
	if len(b.retained) > 0 {
		by(b.retained[0].at.Add(b.o.Retain))
	}
	return due
}

// writeDueLocked returns when the first unwritten record or cursor must be written.
func (b *Buffer) writeDueLocked(now time.Time) time.Time {
	for len(b.x.queue) > 0 && b.x.queue[0].stage == gone {
		b.x.queue = b.x.queue[1:]
	}
	if len(b.x.queue) == 0 {
		b.alarmDue = time.Time{}
		return time.Time{}
	}
	if b.x.aheadQueued > 0 || b.pressedLocked() {
		return now
	}
	due := b.x.queue[0].appended.Add(b.o.Linger)
	if !b.alarmDue.IsZero() && b.alarmDue.Before(due) {
		due = b.alarmDue
	}
	return due
}

// lingerOf returns how long a record may wait for others to be written with.
func (b *Buffer) lingerOf(e *entry) time.Duration {
	switch {
	case e.ahead:
		return 0
	case e.class == Alarm:
		return b.o.AlarmLinger
	}
	return b.o.Linger
}

// plan is what one transaction writes.
type plan struct {
	entries []*entry
	epoch   Epoch
	next    uint64 // positions of epoch below it were assigned
	more    bool   // there is more for another one
	alarms  bool   // it has alarms, and no others because of them
}

// flush writes what is due, or everything. It is called with disk held.
func (b *Buffer) flush(all bool) error {
	if b.idle(all) {
		return nil
	}
	now := time.Now()
	b.lookForSpace(now)
	if all { // whoever wants that has use for the chain file
		b.mendChain(now, true)
	}
	defer func() { // behind the records: an alarm does not wait for it
		b.mendChain(now, false)
		b.noteRejected(now, all)
		b.tryAgain(now)
	}()
	b.mu.Lock()
	b.closeDueLossesLocked(now, all)
	b.expireOldLocked(now)
	waiting := !all && now.Before(b.retryAt)
	last := b.x.serial // what comes later waits for the next flush
	b.mu.Unlock()
	if waiting {
		return nil
	}
	if err := b.writeAll(all, last); err != nil {
		if noSpace(err) {
			_ = b.sweep(false) // files of which nothing is needed any more give some
		}
		return err
	}
	if err := b.sweep(all); err != nil {
		b.failed(err, nil)
		return err
	}
	b.succeeded(last)
	return nil
}

// writeAll writes what is due, or everything, up to serial last, and goes on with what is to be
// copied.
func (b *Buffer) writeAll(all bool, last uint64) error {
	for moving := true; moving; { // what comes meanwhile does not wait for all of a move
		if err := b.writeDue(all, last); err != nil {
			return err
		}
		more, err := b.moveSome()
		if err != nil {
			b.failed(err, nil)
			return err
		}
		moving = more && all
	}
	if err := b.evacuateSome(); err != nil {
		b.failed(err, nil)
		return err
	}
	return nil
}

// writeDue writes what is due, or everything, up to serial last.
func (b *Buffer) writeDue(all bool, last uint64) error {
	for first, more := true, true; more; first = false {
		b.makeRoom(all)
		b.mu.Lock()
		p := b.planLocked(time.Now(), all, first)
		if len(p.entries) == 0 {
			b.mu.Unlock()
			return nil
		}
		b.writeSince = time.Now()
		b.mu.Unlock()
		err := b.commit(&p)
		b.mu.Lock()
		b.writeSince = time.Time{}
		b.mu.Unlock()
		if err != nil {
			b.failed(err, &p)
			return err
		}
		if more = p.more && (p.alarms || p.entries[len(p.entries)-1].serial < last); more {
			if err := b.sweep(false); err != nil {
				b.failed(err, nil)
				return err
			}
		}
	}
	return nil
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

// The time until the next attempt to write doubles.
const (
	retryMin = 100 * time.Millisecond
	retryMax = 5 * time.Second
)

// failed takes back what could not be written, and sets the time of the next attempt.
func (b *Buffer) failed(err error, p *plan) {
	if noSpace(err) {
		b.outOfSpace()
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if p != nil && !broken.Is(broken.EarlyMemory) {
		b.takeBackLocked(p)
		b.catchUpLocked()
	}
	b.writeErr = err
	b.retryWait = max(min(max(2*b.retryWait, retryMin), retryMax), b.sealWait)
	b.retryAt = time.Now().Add(b.retryWait)
	if b.failures++; b.failures == 1 {
		b.late.say(slog.LevelError, "cannot write to disk; records are kept in memory", "folder", b.o.Dir, "error", err)
	}
}

func (b *Buffer) takeBackLocked(p *plan) {
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
}

// succeeded ends the state of failed, unless what was due with the flush waits still: up to
// serial last.
func (b *Buffer) succeeded(last uint64) {
	b.mu.Lock()
	defer b.mu.Unlock()
	now := time.Now()
	if due := b.writeDueLocked(now); !due.IsZero() && !due.After(now) && b.x.queue[0].serial <= last {
		return
	}
	if b.failures > 0 {
		b.late.say(slog.LevelInfo, "disk takes writes again", "folder", b.o.Dir, "failures", b.failures)
	}
	b.failures, b.retryWait, b.retryAt, b.writeErr = 0, 0, time.Time{}, nil
}
