package buffer

import (
	"errors"
	"fmt"
	"log/slog"
	"time"
)

// A buffer without a folder keeps records in memory, as one does whose disk fails: as many
// as fit, and then Options.Policy lets older ones go for them. Its epoch is in no chain
// file. That is safe, because its id is random and only this process has it: whatever
// starts after it, or beside it, has another, so that no position of it can be used
// twice. A crash takes the whole epoch, and then no later start tells how it ended: what
// was not acknowledged of it stays open in the ledger, where the audit shows it.

// ErrDetached is wrapped where something needs the folder that is not in use: see
// [OpenDetached].
var ErrDetached = errors.New("the buffer has no disk")

// OpenDetached returns a buffer that does not use o.Dir, which cannot be used because of
// cause, until [Buffer.Attach] does. It gives records out without their being on disk, also
// where Options.WriteAhead is set: the database is the only safe place that there is. What a
// cursor was, it does not know: [Buffer.Cursor] gives an error that wraps ErrDetached, as
// does Append with one. Close loses what is still held then, and says how much.
func OpenDetached(o Options, cause error) (*Buffer, error) {
	o, err := o.withDefaults()
	if err != nil {
		return nil, err
	}
	if cause == nil {
		cause = ErrDetached
	}
	b := newBuffer(o)
	b.x.addEpoch(newEpoch(b.newLink()))
	b.detached = cause
	b.log.Error("the buffer has no disk; records are kept in memory", "folder", o.Dir, "memory_limit", o.MaxMemory, "error", cause)
	b.m.attach(b)
	go b.run()
	return b, nil
}

// Attach takes the folder into use, as Open does, and with it what an earlier process left
// there. The epoch goes on, behind all of those in the chain, whose file has its header
// before Attach returns; what is held is written from then on. It does nothing where the
// folder is in use already. On an error everything is as before. It may take as long as an
// Open does, and nobody waits for it but the caller.
func (b *Buffer) Attach() error {
	b.attaching.Lock()
	defer b.attaching.Unlock()
	b.mu.Lock()
	closed, detached := b.closed, b.detached != nil
	b.mu.Unlock()
	if closed {
		return ErrClosed
	}
	if !detached {
		return nil
	}
	err := b.attach()
	if err != nil {
		err = fmt.Errorf("open buffer %s: %w", b.o.Dir, err)
		b.mu.Lock()
		if b.detached != nil {
			b.detached = err
		}
		b.mu.Unlock()
	}
	return err
}

// attach opens the folder as another buffer, and takes all that this one then has.
func (b *Buffer) attach() error {
	d := newBuffer(b.o)
	d.late = b.late // Close waits for it
	if err := d.open(); err != nil {
		return err
	}
	err := d.writeErr // a loss or a move could not be written: it is not to be relied on yet
	// A loss that is still open is in no queue, and would be d's alone. A flush may find another one.
	for left := len(d.x.files) + 1; err == nil && len(d.x.queue)+len(d.losses) > 0; left-- {
		if err = d.flush(true); err == nil && left == 0 {
			err = errors.New("what is lost there cannot be written")
		}
	}
	if err == nil {
		err = b.takeOver(d)
	}
	if err != nil {
		return errors.Join(err, d.handles.close(), d.chain.close())
	}
	return nil
}

// takeOver puts what was found in the folder before what is in memory. The epoch that d
// began, as every Open does, ends; it has what d told of damaged files.
func (b *Buffer) takeOver(d *Buffer) error {
	b.disk.Lock()
	defer b.disk.Unlock()
	b.reading.Lock()
	defer b.reading.Unlock()
	b.mu.Lock()
	links, known := b.followLocked(d)
	closed := b.closed
	b.mu.Unlock()
	if closed {
		return ErrClosed
	}
	last := d.x.current()
	last.ended = EndClosed
	current := links[len(links)-1]
	if err := d.step("begin"); err != nil {
		return err
	}
	if err := d.chain.begin(current, append([]link{last.link}, links[:len(links)-1]...), known, nil); err != nil {
		return err
	}
	b.handles.adopt(d.handles)
	b.mu.Lock()
	if b.closed { // nobody is there any more who would write or close it
		b.mu.Unlock()
		return errors.Join(ErrClosed, b.handles.close())
	}
	defer b.mu.Unlock()
	for i, ep := range b.x.epochs {
		links[i].next, links[i].ended = ep.next, ep.ended
		ep.link = links[i]
	}
	b.noted = current.next
	b.x.follow(&d.x)
	b.chain, b.active, b.owner = d.chain, d.active, d.owner
	b.cursors, b.names, b.known, b.generation = d.cursors, d.names, d.known, d.generation
	b.moves, b.movedAt, b.again, b.inPlace = d.moves, d.movedAt, d.again, d.inPlace
	b.chainErr, b.chainDue, b.chainWait = d.chainErr, d.chainDue, d.chainWait
	b.told = append(d.told, b.told...)
	b.told = b.told[max(0, len(b.told)-maxRemembered):]
	b.spares = append(d.spares, b.spares...)
	b.spares = b.spares[max(0, len(b.spares)-maxSpares):]
	if len(b.spares) > len(d.spares) {
		b.noteSparesLocked() // what waits was counted by a counter of its own
	}
	b.lost.Add(d.lost)
	b.stored.Add(d.stored.Load())
	b.device.Add(d.device.Load())
	b.spaceDue, b.deadDue = d.spaceDue, d.deadDue
	b.detached = nil
	b.late.say(slog.LevelInfo, "the buffer has its disk now", "folder", b.o.Dir, "records_in_memory", b.x.unwritten.Records,
		"epochs", len(b.x.epochs))
	b.signalChanged()
	b.wake()
	return nil
}

// followLocked returns the links of the epochs in memory as they stand behind those of d,
// and the places in d's chain file of such as are there already, from an attempt that
// failed when it was written: they are taken out of d.
func (b *Buffer) followLocked(d *Buffer) (links []link, known []uint64) {
	kept := d.x.epochs[:0]
	for _, ep := range d.x.epochs {
		if b.x.byID[ep.id] != nil {
			known = append(known, ep.seq)
			delete(d.x.byID, ep.id)
			continue
		}
		if n := len(kept); n > 0 && ep.prev != kept[n-1].id && b.x.byID[ep.prev] != nil {
			ep.prev = kept[n-1].id
		}
		kept = append(kept, ep)
	}
	clear(d.x.epochs[len(kept):])
	d.x.epochs = kept
	last := d.x.current()
	prev, seq := last.id, last.seq
	for _, ep := range b.x.epochs {
		l := ep.link
		seq++
		l.prev, l.seq, l.next = prev, seq, ep.next
		links = append(links, l)
		prev = ep.id
	}
	return links, known
}

// follow puts the epochs and files of another index, of which nothing waits in memory,
// before those of x.
func (x *index) follow(d *index) {
	x.epochs = append(d.epochs, x.epochs...)
	for id, ep := range d.byID {
		x.byID[id] = ep
	}
	x.files = d.files
	x.used, x.doomed = d.used, x.doomed+d.doomed
	for _, e := range d.cached {
		if e.stage == stored {
			x.cached = append(x.cached, e)
			x.inCache++
			x.cacheSize += e.cost
			x.memory += e.cost
		}
	}
}

// aheadLocked reports whether a record is to be on disk before it is given out.
func (b *Buffer) aheadLocked() bool { return b.o.WriteAhead && b.detached == nil }

// idle is what a flush does without a disk: losses become records in memory.
func (b *Buffer) idle(all bool) (detached bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.detached == nil {
		return false
	}
	b.closeDueLossesLocked(time.Now(), all)
	return true
}

// lostAtEndLocked says what a buffer that never got a disk loses at its end.
func (b *Buffer) lostAtEndLocked() error {
	n := b.x.unwritten
	if n.Records == 0 {
		return nil
	}
	return fmt.Errorf("%d records with %d readings were in memory only and are lost: %w: %w", n.Records, n.Rows, ErrDetached, b.detached)
}
