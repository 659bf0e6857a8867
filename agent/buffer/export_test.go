package buffer

import (
	"errors"
	"fmt"
	"log/slog"
	"sync/atomic"
	"time"

	bolt "go.etcd.io/bbolt"

	"andon.internal/agent/buffer/internal/format"
	"andon.internal/agent/buffer/internal/salvage"
	"andon.internal/shared/ranges"
)

// MaxIslands is about how many pieces policy Thin leaves.
const MaxIslands = maxIslands

// SetStep makes the buffer call fn before each step that reaches the disk.
func (o *Options) SetStep(fn func(name string) error) { o.step = fn }

// Abandon lets go of the buffer as a crash does: nothing more is written.
func Abandon(b *Buffer) error {
	var err error
	b.closeOnce.Do(func() {
		b.endFlusher()
		b.disk.Lock()
		defer b.disk.Unlock()
		b.reading.Lock()
		defer b.reading.Unlock()
		err = errors.Join(b.handles.close(), b.chain.close())
	})
	return err
}

// ActivePath returns the path of the file that is written, or "".
func ActivePath(b *Buffer) string {
	b.disk.Lock()
	defer b.disk.Unlock()
	if b.active == nil {
		return ""
	}
	return b.active.path
}

// CountDirSyncs counts how often the folder is synced for a new name of a file.
func CountDirSyncs(b *Buffer) *atomic.Int64 {
	b.handles.mu.Lock()
	defer b.handles.mu.Unlock()
	n := &atomic.Int64{}
	b.handles.syncDir = func(dir string) error { n.Add(1); return syncDir(dir) }
	return n
}

// Mapped returns how many record files are open.
func Mapped(b *Buffer) int {
	b.handles.mu.Lock()
	defer b.handles.mu.Unlock()
	return len(b.handles.open)
}

// Ranges returns how many ranges the index keeps.
func Ranges(b *Buffer) int {
	b.mu.Lock()
	defer b.mu.Unlock()
	n := 0
	for _, ep := range b.x.epochs {
		n += len(ep.held.Ranges()) + len(ep.mem)
	}
	for _, f := range b.x.files {
		for _, h := range f.holds {
			n += len(h.live.Ranges()) + len(h.dead.Ranges())
		}
	}
	return n
}

// Check compares the buffer's memory with itself and with its files.
func Check(b *Buffer) error {
	b.disk.Lock()
	defer b.disk.Unlock()
	b.mu.Lock()
	defer b.mu.Unlock()
	x := &b.x
	var errs []error
	fail := func(format string, args ...any) { errs = append(errs, fmt.Errorf(format, args...)) }

	var used, memory, cache int64
	var unwritten tally
	ahead := 0
	for _, e := range x.queue {
		if e.stage == gone {
			continue
		}
		if e.stage != queued {
			fail("position %d in the queue is at stage %d", e.key.Position, e.stage)
		}
		memory += e.cost
		if e.ahead {
			ahead++
		}
		if e.cursor == nil {
			unwritten.Add(e.tally())
			if ep := x.byID[e.key.Epoch]; ep == nil || ep.mem[e.key.Position] != e {
				fail("position %d in the queue is not in its epoch", e.key.Position)
			}
		}
	}
	live := 0
	for _, e := range x.cached {
		if e.stage == stored {
			memory += e.cost
			cache += e.cost
			live++
		}
	}
	onDisk := map[Epoch]*ranges.Set{}
	listed := map[*file]bool{}
	for _, f := range x.files {
		if listed[f] {
			fail("%s is listed twice", f.name)
		}
		listed[f] = true
		for e, h := range f.holds {
			used += h.occupied()
			if onDisk[e] == nil {
				onDisk[e] = &ranges.Set{}
			}
			onDisk[e].AddSet(h.live)
			if h.gone != h.dead.Len() {
				fail("%s: %d gone, %d dead", f.name, h.gone, h.dead.Len())
			}
		}
		if err := b.checkFile(f); err != nil {
			fail("%s: %w", f.name, err)
		}
	}
	for _, ep := range x.epochs {
		all := ranges.Set{}
		if s := onDisk[ep.id]; s != nil {
			all = s.Clone()
		}
		for p, e := range ep.mem {
			if e.stage == queued {
				all.Add(p, p+1)
			}
		}
		for _, m := range b.moves {
			if m.from == ep.id {
				all.RemoveSet(m.set)
			}
		}
		want := ep.held.Clone()
		for _, e := range ep.hidden {
			want.Add(e.key.Position, e.key.Position+1)
		}
		if !all.Equal(want) {
			fail("epoch %x holds %v, files and memory %v", ep.id[10:], want, all)
		}
		if want.End() > ep.next {
			fail("epoch %x holds %v beyond %d", ep.id[10:], want, ep.next)
		}
	}
	if used != x.used || memory != x.memory || cache != x.cacheSize || live != x.inCache || unwritten != x.unwritten || ahead != x.aheadQueued {
		fail("used %d of %d, memory %d of %d, cache %d of %d (%d of %d), unwritten %+v of %+v, ahead %d of %d",
			x.used, used, x.memory, memory, x.cacheSize, cache, x.inCache, live, x.unwritten, unwritten, x.aheadQueued, ahead)
	}
	return errors.Join(errs...)
}

// checkFile compares what the index says of a file with the file.
func (b *Buffer) checkFile(f *file) error {
	db, err := b.handles.acquire(f.handle)
	if err != nil {
		return err
	}
	defer b.handles.release(f.handle)
	found := format.Contents{Held: map[Epoch]*format.HeldIn{}, Next: map[Epoch]uint64{}, Cursors: map[string]cursor{}}
	if err := db.View(found.Read); err != nil {
		return err
	}
	for e, h := range f.holds {
		all := h.live.Clone()
		all.AddSet(h.kept)
		all.AddSet(h.dead)
		all.AddSet(h.bad)
		in := found.Held[e]
		if in == nil {
			in = &format.HeldIn{}
		}
		if f.sealed {
			// What a transaction that failed may have done is not counted.
			missing := h.live.Clone()
			if missing.RemoveSet(in.Set); !missing.Empty() {
				return fmt.Errorf("epoch %x: %v is not in the file", e[10:], missing)
			}
			delete(found.Held, e)
			continue
		}
		if !all.Equal(in.Set) || h.tally != in.Tally {
			return fmt.Errorf("epoch %x: %v %+v in memory, %v %+v in the file", e[10:], all, h.tally, in.Set, in.Tally)
		}
		delete(found.Held, e)
	}
	for e, in := range found.Held {
		if !in.Set.Empty() && !f.sealed {
			return fmt.Errorf("epoch %x: %v is in the file only", e[10:], in.Set)
		}
	}
	return db.View(func(tx *bolt.Tx) error {
		for err := range tx.Check() {
			return err
		}
		return nil
	})
}

// ChildMemory is how many bytes a child may take.
const ChildMemory = salvage.ChildMemory

// SetChildLimit sets how long a child may take.
func (o *Options) SetChildLimit(d time.Duration) { o.childLimit = d }

// SetChildrenLimit sets how long all children of a start may take.
func (o *Options) SetChildrenLimit(d time.Duration) { o.childrenLimit = d }

// EncodeLoss is the inverse of DecodeLoss.
func EncodeLoss(l LossInfo) []byte { return appendLoss(nil, &l) }

// CheckTree looks at the pages of a closed file.
func CheckTree(path string) error { return format.CheckTree(path) }

// FullFiles returns how many files are marked to take nothing more.
func FullFiles(b *Buffer) (n int) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, f := range b.x.files {
		if f.full {
			n++
		}
	}
	return n
}

// SetCramped has a buffer do as when its files cannot grow.
func SetCramped(b *Buffer) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.cramped, b.spaceDue = b.o.MaxDisk, time.Now().Add(time.Hour)
}

// LookForSpace has a buffer that found no space look at once whether there is some again.
func LookForSpace(b *Buffer) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.cramped > 0 {
		b.spaceDue = time.Now()
		b.wake()
	}
}

// OpenLosses returns how many losses are noted and not yet records.
func OpenLosses(b *Buffer) int {
	b.mu.Lock()
	defer b.mu.Unlock()
	return len(b.losses)
}

// Retained returns how many portions of what is retained are remembered.
func Retained(b *Buffer) int {
	b.mu.Lock()
	defer b.mu.Unlock()
	return len(b.retained)
}

// ReadLate reads a record as one does who looked up its file before meanwhile.
func ReadLate(b *Buffer, k Key, meanwhile func()) error {
	b.mu.Lock()
	f := b.x.where(k)
	b.mu.Unlock()
	meanwhile()
	_, err := b.read(f, k)
	if errors.Is(err, errDamaged) {
		b.damaged(f, k, err)
	}
	return err
}

// SayLate has a line logged as with the lock held.
func SayLate(b *Buffer, message string) { b.late.say(slog.LevelInfo, message) }

// LatestMove returns which positions the latest new epoch takes over from which, and what
// waits in memory under a name in it. It is for the step "end".
func LatestMove(b *Buffer) (from, to Epoch, set ranges.Set, waiting map[Key][]byte) {
	b.mu.Lock()
	defer b.mu.Unlock()
	m := b.moves[len(b.moves)-1]
	waiting = map[Key][]byte{}
	for p, e := range b.x.byID[m.to].mem {
		if e.class != Loss {
			waiting[Key{Epoch: m.to, Position: p}] = e.data
		}
	}
	return m.from, m.to, m.set.Clone(), waiting
}

// FindDamaged has n readers at once find the file of a record damaged, and returns how many did.
func FindDamaged(b *Buffer, k Key, n int) int {
	b.mu.Lock()
	f := b.x.where(k)
	b.mu.Unlock()
	var found []error
	for range n {
		if _, err := b.read(f, k); errors.Is(err, errDamagedFile) {
			found = append(found, err)
		}
	}
	for _, err := range found {
		b.damagedFile(f, err)
	}
	return len(found)
}

// Kept returns how many records of an epoch count as retained.
func Kept(b *Buffer, e Epoch) uint64 {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.x.byID[e].kept
}
