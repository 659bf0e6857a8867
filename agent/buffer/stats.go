package buffer

import "time"

// Stats returns figures about the buffer. It does not touch the disk. The rows and
// bytes of a file whose records are partly acknowledged are estimates until the
// deletes are written.
func (b *Buffer) Stats() Stats {
	b.mu.Lock()
	defer b.mu.Unlock()
	x := &b.x
	s := Stats{
		Unwritten: int(x.unwritten.Records), MemoryBytes: x.memory, DiskLimit: b.o.MaxDisk, Files: len(x.files),
		Full: b.full, NoSpace: b.cramped > 0, LostRows: b.lost.Rows, LostRecords: b.lost.Records, InPlace: len(b.inPlace), WriteError: b.writeErr, ChainError: b.chainErr, Detached: b.detached,
	}
	s.UnreadableRecords, s.Unreadable = x.unreadable()
	now := time.Now()
	if b.sealedLatelyLocked(now) {
		s.SealError = b.sealErr
	}
	for _, ep := range x.epochs {
		n := ep.held.Len()
		s.Records += n
		if n == 0 || s.OldestAge != 0 {
			continue
		}
		if at, ok := ep.marks.at(ep.held.Ranges()[0].From); ok {
			s.OldestAge = max(now.Sub(at), 1)
		}
	}
	s.Records += b.unmovedRecordsLocked()
	s.Rows, s.Bytes = x.unwritten.Rows, x.unwritten.Bytes
	for _, f := range x.files {
		s.DiskBytes += f.size
		if f.sealed {
			s.Sealed++
		}
		for _, h := range f.holds {
			if n := h.live.Len(); n > 0 && h.tally.Records > 0 {
				part := float64(n) / float64(h.tally.Records)
				s.Rows += uint64(part*float64(h.tally.Rows) + 0.5)
				s.Bytes += uint64(part*float64(h.tally.Bytes) + 0.5)
			}
		}
	}
	if !b.writeSince.IsZero() {
		s.Overdue = now.Sub(b.writeSince)
	}
	for _, e := range x.queue {
		age := now.Sub(e.appended)
		if age <= s.Overdue { // nor is what came later
			break
		}
		if e.stage == queued && e.cursor == nil {
			s.Overdue = max(s.Overdue, age-b.lingerOf(e))
		}
	}
	return s
}

// Written is what a buffer has taken and written since Open.
type Written struct {
	Taken  int64 // bytes of the records that were appended
	Stored int64 // bytes of the records that were written to disk, as stored; one that was acknowledged before is none
	Device int64 // bytes of the pages that were written for that, for deletes and for the chain, about
}

// Written returns what was taken and written since Open. It does not wait for the
// disk, and may be called after Close.
func (b *Buffer) Written() Written {
	w := Written{Taken: b.taken.Load(), Stored: b.stored.Load(), Device: b.device.Load()}
	b.mu.Lock()
	c := b.chain
	b.mu.Unlock()
	if c != nil {
		w.Device += c.written.Load()
	}
	return w
}
