package buffer

import (
	"crypto/rand"
	"errors"
	"fmt"
	"maps"
	"strings"
	"time"

	"github.com/oklog/ulid/v2"
	bolterrors "go.etcd.io/bbolt/errors"

	"andon.internal/shared/ranges"
)

const (
	fileSuffix   = ".db"
	sealedSuffix = ".sealed.db"
	tmpSuffix    = ".tmp"
	maxDeletes   = 20_000 // records in one transaction
)

// commit writes the plan to the active file, or to a new one when that fails.
func (b *Buffer) commit(p *plan) error {
	return b.onActive(func(f *file) error { return b.write(f, p) })
}

// onActive runs a transaction in the active file. When that fails it is given up and
// another one tried, unless the disk is full.
func (b *Buffer) onActive(transact func(f *file) error) error {
	for attempt := 0; ; {
		f, err := b.activeFile()
		if err != nil {
			return err
		}
		if err = transact(f); err == nil || noSpace(err) {
			return err
		}
		if errors.Is(err, bolterrors.ErrMaxSizeReached) && !f.fresh {
			b.crowded(f) // it was not written at all
			continue
		}
		b.seal(f, err)
		if attempt++; attempt == 3 {
			return err
		}
	}
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
	c := change{epoch: p.epoch, next: p.next, cursors: map[string]cursor{}}
	b.mu.Lock()
	if !f.home {
		// The active file takes over all cursors, so that those before it can be unlinked.
		maps.Copy(c.cursors, b.cursors)
	}
	c.deletes = f.deletes(maxDeletes)
	b.mu.Unlock()
	for _, e := range p.entries {
		if e.cursor != nil {
			c.cursors[e.label] = *e.cursor
		} else {
			c.puts = append(c.puts, e.envelope())
		}
	}

	out, err := b.apply(f, &c)
	if err != nil {
		return err
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.appliedLocked(f, &c, &out)
	for _, e := range p.entries {
		b.x.written(f, e, b.o.MaxMemory/2)
	}
	maps.Copy(b.cursors, c.cursors)
	f.home = true
	for i := range c.puts {
		b.m.stored.Add(float64(c.puts[i].size()))
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
func (b *Buffer) apply(f *file, c *change) (outcome, error) {
	db, err := b.handles.acquire(f.handle)
	if err != nil {
		return outcome{}, err
	}
	defer b.handles.release(f.handle)
	if err := b.step("write"); err != nil {
		return outcome{}, err
	}
	start := time.Now()
	out, err := c.apply(db, &b.scratch, int(b.o.maxFileBytes()))
	if err == nil {
		err = b.step("written")
	}
	if err != nil {
		if !noSpace(err) && !errors.Is(err, bolterrors.ErrMaxSizeReached) {
			b.doubt(f, c)
		}
		return out, fmt.Errorf("write %s: %w", f.name, err)
	}
	b.m.commits.WithLabelValues().Observe(time.Since(start).Seconds())
	b.m.written.Add(float64(out.written))
	return out, nil
}

// doubt notes that the records of a transaction that failed may be in the file.
func (b *Buffer) doubt(f *file, c *change) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for i := range c.puts {
		k := c.puts[i].key
		f.holding(k.Epoch).doubt.Add(k.Position, k.Position+1)
	}
}

// appliedLocked brings the index up to date with a transaction, but for its records.
func (b *Buffer) appliedLocked(f *file, c *change, out *outcome) {
	f.fresh, f.size = false, out.size
	f.full = f.full && len(c.deletes) == 0
	for e, set := range c.deletes {
		h := f.holding(e)
		b.x.change(h, func() { h.gone -= h.dead.RemoveSet(set) })
	}
	for e, t := range out.tallies {
		h := f.holding(e)
		b.x.change(h, func() { h.tally = t })
		if t.records == 0 {
			delete(f.holds, e)
		}
	}
}

// deletes returns at most limit positions that are to be deleted from the file.
func (f *file) deletes(limit uint64) map[Epoch]ranges.Set {
	if f.sealed {
		return nil
	}
	out := map[Epoch]ranges.Set{}
	for e, h := range f.holds {
		var some ranges.Set
		for _, r := range h.dead.Ranges() {
			n := min(limit, r.To-r.From)
			some.Add(r.From, r.From+n)
			if limit -= n; limit == 0 {
				break
			}
		}
		if !some.Empty() {
			out[e] = some
		}
	}
	return out
}

// activeFile returns the file that takes the next transaction: the one that took the
// last, while it has room; else a new one, or, near the limit of the disk, the old one
// that has the most.
func (b *Buffer) activeFile() (*file, error) {
	b.mu.Lock()
	f := b.active
	if f != nil && (f.sealed || !b.hasRoom(f)) {
		f = nil
	}
	b.mu.Unlock()
	if f != nil {
		return f, nil
	}
	b.retire()
	if f = b.reusable(); f != nil {
		_, err := b.handles.acquire(f.handle)
		if errors.Is(err, errDamaged) {
			b.damagedFile(f, err)
			f = nil
		} else if err != nil {
			return nil, fmt.Errorf("%s: %w", f.name, err)
		}
	}
	if f == nil {
		if err := b.step("create"); err != nil {
			return nil, err
		}
		name := ulid.MustNew(ulid.Now(), rand.Reader).String() + fileSuffix
		handle, err := b.handles.create(b.path(name))
		if err != nil {
			return nil, fmt.Errorf("create record file: %w", err)
		}
		f = &file{handle: handle, name: name, holds: map[Epoch]*holding{}, fresh: true}
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if f.fresh {
		b.x.files = append(b.x.files, f)
	}
	b.active = f
	return f, nil
}

// hasRoom reports whether a file takes another transaction: it has not reached its
// size, or an eighth of it was freed.
func (b *Buffer) hasRoom(f *file) bool {
	return !f.full && (f.size < b.o.fillBytes() || f.size-f.space() >= b.o.RotateBytes/8)
}

// reusable returns an old file with room when another new one would not fit the limit
// of the disk.
func (b *Buffer) reusable() *file {
	b.mu.Lock()
	defer b.mu.Unlock()
	if size, _ := b.x.sizes(); size+b.o.RotateBytes <= b.o.MaxDisk {
		return nil
	}
	var best *file
	for _, f := range b.x.files {
		if !f.sealed && b.hasRoom(f) && (best == nil || f.size-f.space() > best.size-best.space()) {
			best = f
		}
	}
	return best
}

// retire ends the use of the active file for new records, and notes what it holds in
// case it is found damaged at a later start.
func (b *Buffer) retire() {
	f := b.active
	if f == nil {
		return
	}
	b.mu.Lock()
	b.active = nil
	f.home = false
	held := f.live()
	keep := make(map[string]bool, len(b.x.files))
	for _, other := range b.x.files {
		keep[other.name] = true
	}
	b.mu.Unlock()
	b.handles.release(f.handle)
	b.chainFailed(b.chain.note(f.name, held, keep))
}

// live returns what the file holds of each epoch.
func (f *file) live() map[Epoch]ranges.Set {
	out := make(map[Epoch]ranges.Set, len(f.holds))
	for e, h := range f.holds {
		if !h.live.Empty() {
			out[e] = h.live.Clone()
		}
	}
	return out
}

// seal ends all writing to a file after a write or sync error: whether its pages are
// on disk is not known any more, and asking again would not tell. What was committed
// before stays readable. A file that never took a transaction is removed.
func (b *Buffer) seal(f *file, err error) {
	b.log.Error("record file is not written any more", "file", f.name, "error", err)
	b.mu.Lock()
	f.sealed = true
	wasActive := b.active == f
	if wasActive {
		b.active = nil
	}
	fresh := f.fresh
	b.mu.Unlock()
	if wasActive {
		b.handles.release(f.handle)
	}
	if fresh && b.unlink(f) {
		return
	}
	b.freeze(f)
}

// freeze closes a sealed file under a name that tells the next start.
func (b *Buffer) freeze(f *file) {
	name := f.name
	if !strings.HasSuffix(name, sealedSuffix) {
		name = strings.TrimSuffix(name, fileSuffix) + sealedSuffix
	}
	b.handles.freeze(f.handle, b.path(name))
	b.mu.Lock()
	f.name = name
	b.mu.Unlock()
}
