package buffer

import (
	"errors"
	"fmt"
	"time"
)

// Close writes everything held to disk, marks the epoch as closed, and releases the
// folder. It takes as long as the disk does, and where that is full the policy applies as
// before. On an error the epoch is not marked, and the next Open finds it as after a crash:
// what was in memory only is a hole in it, or is read again where it came with a cursor. It
// may be called again; all other methods return ErrClosed or nothing from then on.
func (b *Buffer) Close() error {
	b.closeOnce.Do(func() {
		b.endFlusher()
		b.closeErr = b.shut()
		b.late.wait()
	})
	return b.closeErr
}

// endFlusher makes all other methods return ErrClosed, and waits until the flusher is gone.
func (b *Buffer) endFlusher() {
	b.mu.Lock()
	b.closed = true
	b.mu.Unlock()
	close(b.stop)
	<-b.done
}

// shut is the end of Close, when the flusher is gone.
func (b *Buffer) shut() error {
	b.disk.Lock()
	defer b.disk.Unlock()
	b.m.detach(b)
	err := b.writeRest()
	b.mu.Lock()
	ep := b.x.current()
	l := ep.link
	l.ended, l.next = EndClosed, ep.next
	if b.full {
		b.full = false
		close(b.space)
	}
	b.catchUpLocked()
	if b.detached != nil {
		defer b.mu.Unlock()
		return wrap("close buffer", b.lostAtEndLocked())
	}
	b.mu.Unlock()
	if err == nil {
		b.mendChain(time.Now(), true) // the last flush may have found space again
		if err = b.step("close"); err == nil {
			err = b.chain.end(l)
		}
	}
	b.reading.Lock()
	defer b.reading.Unlock()
	return wrap("close buffer", errors.Join(err, b.handles.close(), b.chain.close()))
}

// idleFlushes is how many flushes in a row at the end may write nothing: the first that finds
// no space frees the ballast, and one that makes room writes the loss records only.
const idleFlushes = 4

// writeRest writes what is in memory, and goes on where there is no space for as long as that
// makes some. An error says what is left.
func (b *Buffer) writeRest() error {
	var err error
	least := ^uint64(0)
	for idle := 0; idle <= idleFlushes; idle++ {
		err = b.flush(true)
		b.mu.Lock()
		left, detached := b.x.unwritten.Records+uint64(len(b.losses)), b.detached != nil
		b.mu.Unlock()
		if left == 0 || detached || err != nil && !noSpace(err) {
			break
		}
		if left < least {
			least, idle = left, 0
		}
	}
	return errors.Join(err, b.tellRest())
}

// tellRest notes how far the positions go of what could not be written, so that the collector
// is told of a hole and not of an epoch that ends before it. It returns how much that is.
func (b *Buffer) tellRest() error {
	b.mu.Lock()
	n, l, next := b.x.unwritten, b.x.current().link, uint64(0)
	for _, e := range b.x.queue {
		if e.stage != gone && !e.bound && e.cursor == nil && e.key.Epoch == l.id {
			next = max(next, e.key.Position+1) // with a cursor it is no loss: it comes again under another name
		}
	}
	detached, told := b.detached != nil, next <= b.noted
	b.mu.Unlock()
	if n.Records == 0 || detached {
		return nil
	}
	if !told {
		b.writeNext(l, next)
	}
	return fmt.Errorf("%d records with %d readings were not written", n.Records, n.Rows)
}
