package buffer

import (
	"log/slog"
	"time"
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
		_ = b.flush(false) // noted, logged and tried again; see failed
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
	err := b.writeAll(all, last)
	if err == nil {
		err = b.sweep(all)
	}
	if err == nil {
		b.succeeded(last)
		return nil
	}
	b.failed(err)
	if noSpace(err) {
		_ = b.sweep(false) // files of which nothing is needed any more give some
	}
	return err
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
			return err
		}
		moving = more && all
	}
	return b.evacuateSome()
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
			b.takeBack(&p)
			return err
		}
		if more = p.more && (p.alarms || p.entries[len(p.entries)-1].serial < last); more {
			if err := b.sweep(false); err != nil {
				return err
			}
		}
	}
	return nil
}

// The time until the next attempt to write doubles.
const (
	retryMin = 100 * time.Millisecond
	retryMax = 5 * time.Second
)

// failed notes an error of the disk, and sets the time of the next attempt.
func (b *Buffer) failed(err error) {
	if noSpace(err) {
		b.outOfSpace()
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.writeErr = err
	b.retryWait = max(min(max(2*b.retryWait, retryMin), retryMax), b.sealWait)
	b.retryAt = time.Now().Add(b.retryWait)
	if b.failures++; b.failures == 1 {
		b.late.say(slog.LevelError, "cannot write to disk; records are kept in memory", "folder", b.o.Dir, "error", err)
	}
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
