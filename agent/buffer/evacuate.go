package buffer

import (
	"errors"
	"maps"
	"time"

	"andon.internal/agent/buffer/internal/format"
	"andon.internal/shared/ranges"
)

// evacuateSome copies what a sealed file still holds to the one that is written, while the
// files are larger than they may be: nothing can be deleted in a sealed file, so a few records
// that policy Thin keeps, or that outlive it as alarms do, would keep all of it on the disk. It
// runs one transaction at a time, so that what is to be written does not wait for all of them,
// and gives up what is only retained there. It is called with disk held.
func (b *Buffer) evacuateSome() error {
	b.mu.Lock()
	f := b.wastefulLocked()
	if f == nil {
		b.mu.Unlock()
		return nil
	}
	keys := b.heldInLocked(f)
	ep := b.x.current()
	c := format.Change{Epoch: ep.id, Next: ep.next}
	b.mu.Unlock()
	b.wake() // there may be more
	return b.copySome(&c, keys, func(*format.Envelope) {}, func(to *file, k, _ Key) { b.x.settleCopy(f, to, k) })
}

// wastefulLocked returns the sealed file with the most that nobody needs, where the files
// are too large and a quarter of it is such: what is copied is then less than what it frees.
// One whose records are all let go of, and waits for their loss to be on disk, is none, nor
// one of which something cannot be read.
func (b *Buffer) wastefulLocked() *file {
	if size, _ := b.x.sizes(); b.cramped > 0 || size <= b.o.MaxDisk || b.canMoveLocked() {
		return nil
	}
	var worst *file
	for _, f := range b.x.files {
		if f.sealed && f.holdsSome() && f.unreadable() == 0 && f.waste() >= f.size/4 && (worst == nil || f.waste() > worst.waste()) {
			worst = f
		}
	}
	return worst
}

// waste is how much of the file nobody needs.
func (f *file) waste() int64 {
	n := f.size
	for _, h := range f.holds {
		n -= h.occupied()
	}
	return n
}

// heldInLocked returns records that are live in a file and in no other, as many as make a
// transaction. The file lets go of those that another one has.
func (b *Buffer) heldInLocked(f *file) (keys []Key) {
	b.deadDue = time.Now() // to unlink it
	var size int64
	for e, h := range f.holds {
		if ep := b.x.byID[e]; ep != nil && !h.kept.Empty() {
			ep.kept -= min(ep.kept, h.kept.Len())
			b.x.change(h, func() { h.gone += h.kept.Len(); h.dead.AddSet(h.kept); h.kept = ranges.Set{} })
		}
		each := int64(h.tally.Bytes / max(h.tally.Records, 1))
		for _, r := range h.live.Clone().Ranges() {
			for p := r.From; p < r.To; p++ {
				if b.x.elsewhere(Key{Epoch: e, Position: p}, f) {
					b.x.change(h, func() { h.gone += cut(&h.live, ranges.Range{From: p, To: p + 1}, &h.dead) })
					continue
				}
				keys = append(keys, Key{Epoch: e, Position: p})
				if size += each; size >= b.o.maxBatch() || len(keys) == maxItems {
					return keys
				}
			}
		}
	}
	return keys
}

// elsewhere reports whether another file has a live record too.
func (x *index) elsewhere(k Key, than *file) bool {
	for _, f := range x.files {
		if h := f.holds[k.Epoch]; f != than && h != nil && h.live.Contains(k.Position) {
			return true
		}
	}
	return false
}

// settleCopy makes a record that was copied live in its new file. One that is not held any
// more, because it was acknowledged meanwhile, is to be deleted there too.
func (x *index) settleCopy(from, to *file, k Key) {
	at := ranges.Range{From: k.Position, To: k.Position + 1}
	h, copied, ep := from.holding(k.Epoch), to.holding(k.Epoch), x.byID[k.Epoch]
	x.change(h, func() { h.gone += cut(&h.live, at, &h.dead) })
	x.change(copied, func() {
		if ep != nil && ep.held.Contains(k.Position) {
			copied.live.Add(at.From, at.To)
		} else {
			copied.dead.Add(at.From, at.To)
			copied.gone++
		}
	})
}

// copySome copies records, under the names that rename gives them, into the active file in
// one transaction, and then calls settle for each, with the lock held. Those that do not
// read back are losses, and those that cannot be read now are passed over. It leaves out the
// last ones where they are more than a transaction takes: how many are given goes by the size
// that records of their file have on average.
func (b *Buffer) copySome(c *format.Change, keys []Key, rename func(v *format.Envelope), settle func(to *file, from, as Key)) error {
	var copied []Key
	var size int64
	for _, k := range keys {
		if size >= b.o.maxBatch() {
			break
		}
		b.mu.Lock()
		f := b.x.where(k)
		b.mu.Unlock()
		v, err := format.Envelope{}, errGone
		if f != nil {
			v, err = b.read(f, k)
		}
		switch {
		case err == nil:
			rename(&v)
			c.Puts = append(c.Puts, v)
			copied = append(copied, k)
			size += int64(max(v.Size(), leastInBatch))
		case errors.Is(err, errDamagedFile):
			b.damagedFile(f, err)
		case errors.Is(err, errDamaged):
			b.damaged(f, k, err)
		case errors.Is(err, errGone), errors.Is(err, ErrUnreadable): // the second is passed over now
		default:
			return err
		}
	}
	if len(copied) == 0 {
		return nil
	}
	return b.onActive(func(f *file) error {
		if c.Home = !f.home; c.Home {
			b.mu.Lock()
			c.Cursors = maps.Clone(b.cursors)
			b.mu.Unlock()
		}
		out, err := b.apply(f, c)
		if err != nil {
			return err
		}
		b.mu.Lock()
		defer b.mu.Unlock()
		b.appliedLocked(f, c, &out)
		f.home = true
		for i, k := range copied {
			settle(f, k, c.Puts[i].Key)
		}
		return nil
	})
}
