package buffer

import "time"

// The positions of the current epoch live on in what is written under them, and in the
// count that every transaction in a record file carries. Two kinds need more: those that a
// damaged file takes with it, and those of rejected appends, of which nothing is written
// until their loss is closed. For these the open epoch's link in the chain file says that
// positions below its next were assigned. What a crash left there, and no file holds, the
// collector books as lost when the epoch is next told in a birth.

const (
	noteAhead = 4096        // positions assigned before they are noted again
	noteEvery = time.Second // between two notes of rejected appends
)

// noteNext notes in the chain file, in its step, that positions below next were
// assigned: with the first one, and then before a record is written that is more than
// noteAhead beyond what was noted. So when a damaged file takes the highest position
// with it, it is known up to noteAhead.
func (b *Buffer) noteNext(e Epoch, next uint64) {
	b.mu.Lock()
	l, noted := b.x.current().link, b.noted
	b.mu.Unlock()
	if l.id != e || next == 0 || noted > 0 && next <= noted+noteAhead {
		return
	}
	b.writeNext(l, next)
}

// rejectedLocked says that positions of the current epoch below next were used up by
// appends that found no room. They are to be noted within the linger, like a record
// that found some; but while they go on coming, one note a second has to do.
func (b *Buffer) rejectedLocked(next uint64, now time.Time) {
	if b.rejected <= b.noted {
		b.noteDue = now.Add(b.o.Linger)
		if again := b.lastNote.Add(noteEvery); again.After(b.noteDue) {
			b.noteDue = again
		}
		b.wake()
	}
	b.rejected = next
}

// noteDueLocked returns when rejected positions must be noted; zero when all are.
func (b *Buffer) noteDueLocked() time.Time {
	if b.rejected <= b.noted {
		return time.Time{}
	}
	return b.noteDue
}

// noteRejected notes the rejected positions in the chain file when that is due, or at
// once. It is called with disk held.
func (b *Buffer) noteRejected(now time.Time, all bool) {
	b.mu.Lock()
	l, next := b.x.current().link, b.rejected
	due := b.noteDueLocked()
	wanted := !due.IsZero() && (all || !due.After(now))
	if wanted {
		b.lastNote, b.noteDue = now, now.Add(noteEvery) // where it fails, it is tried again then
	}
	b.mu.Unlock()
	if wanted {
		b.writeNext(l, next)
	}
}

// writeNext writes the note into the open epoch's link.
func (b *Buffer) writeNext(l link, next uint64) {
	l.next = next
	err := b.step("note")
	if err == nil {
		err = b.chain.end(l)
	}
	if b.chainFailed(err); err == nil {
		b.mu.Lock()
		b.noted = next
		b.mu.Unlock()
	}
}
