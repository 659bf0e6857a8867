package buffer

import (
	"time"

	"andon.internal/shared/ranges"
)

// NewEpoch ends the current epoch and begins a new one. Records of the current epoch
// whose positions are not in sent move into it and get new positions, in their order, and
// say so from then on (Stored.Moved); the others keep their names. It is for a resumed
// machine snapshot, whose collector names positions that this epoch has not assigned.
// What was given out and not sent is moved too: it is to be read again. What is on disk is
// held back, and moved behind NewEpoch, beside what is written: see [Buffer.Moving]. On an
// error the old epoch goes on, unless [Buffer.Epoch] says otherwise.
//
// A crash at any moment neither loses nor doubles: which record gets which new name
// is on disk before the first is written under it.
func (b *Buffer) NewEpoch(sent ranges.Set) error {
	b.disk.Lock()
	defer b.disk.Unlock()
	b.mu.Lock()
	closed := b.closed
	b.mu.Unlock()
	if closed {
		return ErrClosed
	}
	if err := b.flush(true); err != nil {
		return wrap("begin an epoch", err)
	}
	b.mu.Lock()
	old := b.x.current()
	m := &move{from: old.id, set: b.onDiskLocked(old)}
	m.set.RemoveSet(sent)
	l := b.newLink()
	m.to, m.seq = l.id, l.seq
	if b.detached != nil { // nothing is on disk, and nothing can be
		defer b.mu.Unlock()
		b.switchLocked(old, newEpoch(l), m, sent)
		b.moves = nil
		return nil
	}
	ended := b.endedLocked(old, m, sent)
	b.mu.Unlock()

	if err := b.step("begin"); err != nil {
		return wrap("begin an epoch", err)
	}
	if err := b.chain.begin(l, []link{ended}, nil, m); err != nil {
		return wrap("begin an epoch", err)
	}
	b.mu.Lock()
	b.switchLocked(old, newEpoch(l), m, sent)
	changed := old.link != ended
	ended = old.link
	b.mu.Unlock()
	b.log.Warn("a new epoch begins", "records_moved", m.set.Len())
	if err := b.step("end"); err != nil {
		return wrap("begin an epoch", err)
	}
	if changed { // something was appended, or was lost, while the chain was written
		b.chainFailed(b.chain.end(ended))
	}
	return nil
}

// endedLocked returns the header of an epoch that a move ends. It is in one transaction with the
// move: where it ended otherwise, the collector would book as lost what comes under other names.
func (b *Buffer) endedLocked(ep *epoch, m *move, sent ranges.Set) link {
	stays := ep.held.Clone()
	stays.RemoveSet(m.set)
	for _, e := range b.x.queue {
		if p := e.key.Position; e.cursor == nil && e.stage != gone && e.key.Epoch == ep.id && !sent.Contains(p) {
			stays.Remove(p, p+1)
		}
	}
	l := ep.link
	l.ended, l.next = EndClosed, max(min(sent.End(), ep.next), stays.End())
	return l
}

// onDiskLocked returns the held positions of an epoch that are in a file, also of such as are
// hidden behind others that wait for space, and those under which a move brings what it cannot
// read yet.
func (b *Buffer) onDiskLocked(ep *epoch) (out ranges.Set) {
	held := ep.held.Clone()
	for _, e := range ep.hidden {
		held.Add(e.key.Position, e.key.Position+1)
	}
	for _, f := range b.x.files {
		if h := f.holds[ep.id]; h != nil {
			out.AddSet(h.live.Intersect(held))
		}
		for _, m := range b.moves {
			h := f.holds[m.from]
			if h == nil {
				continue
			}
			for _, r := range h.live.Intersect(m.set).Ranges() {
				for p := r.From; p < r.To; p++ {
					if k := b.lastNameLocked(Key{Epoch: m.from, Position: p}); k.Epoch == ep.id {
						out.Add(k.Position, k.Position+1)
					}
				}
			}
		}
	}
	return out
}

// switchLocked makes the new epoch current. What waits in memory gets a new name at
// once, what is on disk when it is copied.
func (b *Buffer) switchLocked(old, ep *epoch, m *move, sent ranges.Set) {
	now := time.Now()
	b.closeDueLossesLocked(now, true)
	b.moves = append(b.moves, m)
	b.movedAt = now
	b.wake()
	old.held.RemoveSet(m.set)
	for p, e := range old.mem {
		switch {
		case !m.set.Contains(p):
		case e.stage == queued: // its file was set aside just now
			delete(old.mem, p)
			e.key, e.moved = Key{Epoch: ep.id, Position: m.rank(p)}, true
			ep.mem[e.key.Position] = e
			ep.held.Add(e.key.Position, e.key.Position+1)
		default:
			b.x.drop(old, e)
		}
	}
	for _, k := range old.marks.list {
		ep.marks.put(m.rank(k.position), k.at)
	}
	ep.next = m.set.Len()
	for i := range b.told {
		if at := &b.told[i].at; at.Epoch == old.id && m.set.Contains(at.Position) {
			*at = Key{Epoch: m.to, Position: m.rank(at.Position)}
		}
	}
	old.hidden = nil
	for _, e := range b.x.queue {
		p := e.key.Position
		if e.cursor != nil || e.stage == gone || e.key.Epoch != old.id || sent.Contains(p) {
			continue
		}
		old.held.Remove(p, p+1)
		delete(old.mem, p)
		was := e.key
		e.key, e.moved = Key{Epoch: ep.id, Position: ep.next}, true
		if e.class == Loss {
			b.renameToldLocked(was, e.key)
		}
		ep.marks.add(ep.next, e.appended, b.o.markStep())
		ep.next++
		ep.mem[e.key.Position] = e
		ep.hidden = append(ep.hidden, e)
	}
	old.link = b.endedLocked(old, m, sent)
	b.moveSparesLocked(m, ep.next)
	b.x.addEpoch(ep)
	b.noted, b.rejected = 0, 0
	if b.x.show(ep) {
		b.signalChanged()
	}
}
