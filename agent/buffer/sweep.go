package buffer

import (
	"errors"
	"log/slog"
	"slices"
	"time"

	"andon.internal/agent/buffer/internal/format"
	"andon.internal/shared/ranges"
)

// Ack deletes the given positions of an epoch: they are not given out again by this
// process. Ranges may overlap, repeat, or name positions already gone or never used.
// The deletes reach the disk with the next write, or within a second; a crash before
// that only causes a record to be given out again. It returns ErrClosed after Close.
func (b *Buffer) Ack(e Epoch, s ranges.Set) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.closed {
		return ErrClosed
	}
	ep := b.x.byID[e]
	if ep == nil {
		return nil
	}
	retain := b.o.Retain > 0 && b.detached == nil // of what is in memory only nothing is left
	got, unwritten := b.x.ack(ep, s, retain)
	if got.Empty() {
		return nil
	}
	ep.acked.AddSet(got)
	now := time.Now()
	b.lastAck = now
	if retain {
		b.retainLocked(e, got, now)
	}
	b.deadLocked(now)
	b.m.acked.Add(float64(got.Len()))
	b.m.ackedEarly.Add(float64(unwritten))
	b.easeLocked()
	return nil
}

// deadLocked sets the time at which deletes are written if they do not ride with
// something else before.
func (b *Buffer) deadLocked(now time.Time) {
	if b.deadDue.IsZero() {
		b.deadDue = now.Add(deleteWait)
		b.wake()
	}
}

// retainLocked remembers until when acknowledged positions are kept, in portions that
// are small beside the whole.
func (b *Buffer) retainLocked(e Epoch, got ranges.Set, now time.Time) {
	if n := len(b.retained); n > 0 {
		last := &b.retained[n-1]
		if last.epoch == e && now.Before(last.at) && last.set.Len() < max(64, b.x.byID[e].kept/64) {
			last.set.AddSet(got)
			return
		}
	}
	b.retained = append(b.retained, retained{at: now.Add(b.o.Retain / 256), epoch: e, set: got})
}

// expireOldLocked ends the keeping of what was retained long enough.
func (b *Buffer) expireOldLocked(now time.Time) {
	for len(b.retained) > 0 && !b.retained[0].at.Add(b.o.Retain).After(now) {
		b.expireLocked(maxPosition)
	}
}

// expireAtOnce is how many retained records are given up at once where room is wanted.
const expireAtOnce = 16

// expireLocked ends the keeping of at most limit of the oldest retained records; false
// when there are none. All that were acknowledged at about one time are one entry, so
// that a busy buffer must not give up an entry whole: it would keep next to nothing.
func (b *Buffer) expireLocked(limit uint64) bool {
	if len(b.retained) == 0 {
		return false
	}
	r := &retained{epoch: b.retained[0].epoch}
	for left := &b.retained[0].set; limit > 0 && !left.Empty(); {
		part, _ := left.Next(0)
		part.To = min(part.To, part.From+limit)
		limit -= left.Remove(part.From, part.To)
		r.set.Add(part.From, part.To)
	}
	if b.retained[0].set.Empty() {
		b.retained = b.retained[1:]
	}
	if ep := b.x.byID[r.epoch]; ep != nil {
		for _, f := range b.x.files {
			if h := f.holds[r.epoch]; h != nil {
				b.x.change(h, func() {
					for _, part := range r.set.Ranges() {
						n := cut(&h.kept, part, &h.dead)
						h.gone += n
						ep.kept -= n
					}
				})
			}
		}
	}
	b.deadLocked(time.Now())
	return true
}

// Requeue makes positions that were acknowledged, but are retained (Options.Retain),
// held again, and returns how many there were. The others are passed over.
func (b *Buffer) Requeue(e Epoch, s ranges.Set) uint64 {
	b.mu.Lock()
	defer b.mu.Unlock()
	ep := b.x.byID[e]
	if ep == nil || b.closed {
		return 0
	}
	var back ranges.Set
	for _, f := range b.x.files {
		if h := f.holds[e]; h != nil {
			for _, r := range s.Ranges() {
				var part ranges.Set
				ep.kept -= cut(&h.kept, r, &part)
				h.live.AddSet(part)
				back.AddSet(part)
			}
		}
	}
	if back.Empty() {
		return 0
	}
	for i := range b.retained {
		if b.retained[i].epoch == e {
			b.retained[i].set.RemoveSet(back)
		}
	}
	ep.held.AddSet(back)
	b.signalChanged()
	return back.Len()
}

// sweep writes the deletes that did not ride with another write, unlinks files of
// which nothing is needed, and forgets epochs: once a second, or at once where the
// space is wanted. It is called with disk held.
func (b *Buffer) sweep(all bool) error {
	b.mu.Lock()
	size, dead := b.x.sizes()
	due := all || b.cramped > 0 && dead > 0 || !b.deadDue.IsZero() && !b.deadDue.After(time.Now()) ||
		size > b.diskLocked()/10*9 && dead > b.o.RotateBytes/8
	if due {
		b.deadDue = time.Time{}
	}
	files := slices.Clone(b.x.files)
	b.mu.Unlock()
	if seqs := b.forgettable(); len(seqs) > 0 {
		b.chainFailed(b.chain.forget(seqs))
	}
	if !due {
		return nil
	}
	var full error
	for _, f := range files {
		err := b.clean(f)
		if noSpace(err) { // in this file: another one may have, or can be unlinked, which gives some
			full, err = err, nil
		}
		if err != nil {
			b.mu.Lock()
			b.deadDue = time.Now()
			b.mu.Unlock()
			return err
		}
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.easeLocked(); full != nil {
		b.deadDue = time.Now()
	}
	return full
}

// clean deletes in one file what is to be deleted, or unlinks it.
func (b *Buffer) clean(f *file) error {
	for {
		b.mu.Lock()
		done := f.done() && f != b.active
		c := format.Change{Deletes: f.deletes(b.o.maxPages())}
		ep := b.x.current()
		c.Epoch, c.Next = ep.id, ep.next
		homeless := b.active == nil || b.active.sealed || !b.active.home
		later := f.fault != nil
		b.mu.Unlock()
		switch {
		case done && homeless:
			// Cursors and the next position live on in the active file.
			if err := b.commit(&plan{epoch: c.Epoch, next: c.Next}); err != nil {
				return err
			}
			continue
		case done:
			b.unlink(f)
			return nil
		case len(c.Deletes) == 0, later:
			return nil
		}
		out, err := b.apply(f, &c)
		switch {
		case err == nil:
		case errors.Is(err, errDamagedFile):
			b.damagedFile(f, err)
			return nil
		case errors.Is(err, ErrUnreadable), errors.Is(err, errGone): // the first is passed over now
			return nil
		default:
			if !noSpace(err) {
				b.seal(f, err)
			}
			return err
		}
		b.mu.Lock()
		b.appliedLocked(f, &c, &out)
		b.mu.Unlock()
	}
}

// unlink removes a file that is not the active one. It reports whether it could; the
// next sweep tries again.
func (b *Buffer) unlink(f *file) bool {
	err := b.step("unlink")
	if err == nil {
		err = b.handles.remove(f.handle)
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if err != nil {
		b.late.say(slog.LevelWarn, "cannot remove a record file", "file", f.name, "error", err)
		f.sealed = true
		return false
	}
	b.x.removeFile(f)
	return true
}

// chainFailed notes how a write to the chain file ended that can be done without for a while: see
// mendChain. It is called with disk held.
func (b *Buffer) chainFailed(err error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if err == nil {
		if b.chainErr != nil { // it takes again what earlier it did not take
			b.chainDue = time.Now()
			b.wake()
		}
		return
	}
	if b.chainErr == nil {
		b.late.say(slog.LevelError, "cannot write the chain of epochs", "error", err)
	}
	b.chainErr = err
	if b.chainDue.IsZero() {
		b.chainDue = time.Now().Add(chainRetryMin)
		b.wake()
	}
}
