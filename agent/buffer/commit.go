package buffer

import (
	"errors"
	"fmt"
	"maps"
	"time"

	bolterrors "go.etcd.io/bbolt/errors"

	"andon.internal/agent/buffer/internal/format"
	"andon.internal/shared/broken"
	"andon.internal/shared/ranges"
)

const (
	fileSuffix   = ".db"
	sealedSuffix = ".sealed.db"
	tmpSuffix    = ".tmp"
)

// commit writes the plan to the active file, or to a new one when that fails.
func (b *Buffer) commit(p *plan) error {
	return b.onActive(func(f *file) error { return b.write(f, p) })
}

// onActive runs a transaction in the active file. When that fails it is given up and
// another one tried. Where the disk is full, each file that there is is tried.
func (b *Buffer) onActive(transact func(f *file) error) error {
	for attempt := 0; ; {
		f, err := b.activeFile()
		if err != nil {
			return err
		}
		if err = transact(f); err == nil {
			return nil
		}
		if noSpace(err) {
			if b.elsewhere(f) {
				continue
			}
			return err
		}
		if errors.Is(err, bolterrors.ErrMaxSizeReached) && !f.fresh {
			b.crowded(f) // it was not written at all
			continue
		}
		b.seal(f, err)
		if attempt++; attempt == 3 || b.sealedAgain() {
			return err
		}
	}
}

// sealedAgain reports whether the next attempt is to wait, because the file that was just given
// up is not the first in a while. At the end there is none later.
func (b *Buffer) sealedAgain() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.sealWait > 0 && !b.closed
}

// crowded ends the use of a file that has no place for what comes next.
func (b *Buffer) crowded(f *file) {
	b.mu.Lock()
	f.full = true
	b.mu.Unlock()
	b.retire()
}

// write runs one transaction in f: the plan, and what is to be deleted there.
func (b *Buffer) write(f *file, p *plan) error {
	c := format.Change{Epoch: p.epoch, Next: p.next, Cursors: map[string]cursor{}}
	b.mu.Lock()
	if c.Home = !f.home; c.Home {
		// The active file takes over all cursors, so that those before it can be unlinked.
		maps.Copy(c.Cursors, b.cursors)
	}
	c.Deletes = f.deletes(b.o.maxPages())
	b.mu.Unlock()
	for _, e := range p.entries {
		if e.cursor != nil {
			c.Cursors[e.label] = *e.cursor
		} else {
			c.Puts = append(c.Puts, e.envelope())
		}
	}

	believe := func() {
		for _, e := range p.entries {
			b.x.written(f, e, b.o.MaxMemory/4)
		}
	}
	if broken.Is(broken.EarlyMemory) {
		b.mu.Lock()
		believe()
		b.mu.Unlock()
	}
	out, err := b.apply(f, &c)
	if err != nil {
		return err
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.appliedLocked(f, &c, &out)
	if !broken.Is(broken.EarlyMemory) {
		believe()
	}
	maps.Copy(b.cursors, c.Cursors)
	f.home = true
	for i := range c.Puts {
		b.m.stored.Add(float64(c.Puts[i].Size()))
		b.stored.Add(int64(c.Puts[i].Size()))
	}
	if b.showAllLocked() {
		b.signalChanged()
	}
	b.easeLocked()
	return nil
}

// showAllLocked makes visible what may be. Only the two latest epochs can have
// hidden records.
func (b *Buffer) showAllLocked() bool {
	shown := false
	for _, ep := range b.x.epochs[max(0, len(b.x.epochs)-2):] {
		shown = b.x.show(ep) || shown
	}
	return shown
}

// apply runs one transaction in f.
func (b *Buffer) apply(f *file, c *format.Change) (format.Outcome, error) {
	db, err := b.acquire(f)
	if err != nil {
		return format.Outcome{}, err
	}
	defer b.handles.release(f.handle)
	c.Owner = b.owner
	b.prepare(f, c)
	if err := b.step("write"); err != nil {
		b.m.failures.Inc()
		return format.Outcome{}, err
	}
	db.AllocSize = int(b.o.growBytes(f.size))
	start := time.Now()
	out, err := c.Apply(db, &b.scratch, int(b.o.maxFileBytes()))
	if out.Stuck {
		b.handles.stick(f.handle)
	}
	if err == nil {
		err = b.step("written")
	}
	if err != nil {
		full := errors.Is(err, bolterrors.ErrMaxSizeReached) // which is no failure
		if !full {
			b.m.failures.Inc()
		}
		if !full && !noSpace(err) {
			b.doubt(f, c)
		}
		return out, fmt.Errorf("write %s: %w", f.name, err)
	}
	b.m.commits.WithLabelValues().Observe(time.Since(start).Seconds())
	b.m.written.Add(float64(out.Written))
	b.device.Add(out.Written)
	return out, nil
}

// doubt notes that the records of a transaction that failed may be in the file.
func (b *Buffer) doubt(f *file, c *format.Change) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for i := range c.Puts {
		k := c.Puts[i].Key
		f.holding(k.Epoch).doubt.Add(k.Position, k.Position+1)
	}
}

// appliedLocked brings the index up to date with a transaction, but for its records.
func (b *Buffer) appliedLocked(f *file, c *format.Change, out *format.Outcome) {
	f.fresh, f.size = false, out.Size
	f.full = f.full && len(c.Deletes) == 0
	for e, set := range c.Deletes {
		h := f.holding(e)
		h.newer.AddSet(out.Newer[e]) // goes with the file
		set.RemoveSet(out.Newer[e])
		b.x.change(h, func() { h.gone -= h.dead.RemoveSet(set) })
	}
	for e, t := range out.Tallies {
		h := f.holding(e)
		b.x.change(h, func() { h.tally = t })
		if t.Records == 0 {
			delete(f.holds, e)
		}
	}
}

// deletes returns positions that are to be deleted from the file, in about as many pages as are
// given at most.
func (f *file) deletes(pages uint64) map[Epoch]ranges.Set {
	if f.sealed {
		return nil
	}
	out := map[Epoch]ranges.Set{}
	for e, h := range f.holds {
		dead := h.dead
		if !h.newer.Empty() { // and cannot be deleted
			dead = dead.Clone()
			dead.RemoveSet(h.newer)
		}
		var some ranges.Set
		each, last := h.tally.PerPage(), uint64(maxPosition)
		for _, r := range dead.Ranges() {
			page := r.From / each
			if page != last {
				if pages == 0 {
					break
				}
				pages--
			}
			to := min(r.To, (page+pages+1)*each)
			some.Add(r.From, to)
			last = (to - 1) / each
			pages -= last - page
		}
		if !some.Empty() {
			out[e] = some
		}
	}
	return out
}
