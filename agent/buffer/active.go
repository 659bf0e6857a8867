package buffer

import (
	"crypto/rand"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/oklog/ulid/v2"

	"andon.internal/shared/ranges"
)

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
	for f = b.reusable(); f != nil; f = b.reusable() {
		_, err := b.acquire(f)
		if err == nil {
			break
		}
		if errors.Is(err, errDamagedFile) {
			b.damagedFile(f, err)
		} else if !errors.Is(err, ErrUnreadable) { // such a file is passed over now
			return nil, fmt.Errorf("%s: %w", f.name, err)
		}
	}
	made := f == nil
	if made {
		if err := b.step("create"); err != nil {
			b.m.failures.Inc()
			return nil, err
		}
		name := ulid.MustNew(ulid.Now(), rand.Reader).String() + fileSuffix
		handle, err := b.handles.create(b.path(name))
		if err != nil {
			b.m.failures.Inc()
			return nil, fmt.Errorf("create record file: %w", err)
		}
		f = &file{handle: handle, name: name, holds: map[Epoch]*holding{}, fresh: true}
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if made {
		b.x.files = append(b.x.files, f)
	}
	b.active = f
	return f, nil
}

// hasRoom reports whether a file takes another transaction: it has not reached its
// size, or an eighth of it was freed; where files cannot grow, some was, or there is
// no such file.
func (b *Buffer) hasRoom(f *file) bool {
	if b.cramped > 0 && !(f == b.active && f.size < b.o.fillBytes() && !slices.ContainsFunc(b.x.files, b.hasFreed)) {
		return b.hasFreed(f)
	}
	return !f.full && (f.size < b.o.fillBytes() || f.size-f.space() >= b.o.RotateBytes/8)
}

// hasFreed reports whether a file takes a small transaction without growing.
func (b *Buffer) hasFreed(f *file) bool {
	return !f.sealed && !f.full && f.size-f.space() >= 2*b.o.allocBytes()
}

// reusable returns an old file with room when another new one would not fit the limit
// of the disk. Where the file system has no space a new one is the last resort.
func (b *Buffer) reusable() *file {
	b.mu.Lock()
	defer b.mu.Unlock()
	if size, _ := b.x.sizes(); size+b.o.RotateBytes <= b.diskLocked() {
		return nil
	}
	var best *file
	for _, f := range b.x.files {
		if !f.sealed && f.fault == nil && (b.hasRoom(f) || b.cramped > 0 && !f.full) && (best == nil || f.size-f.space() > best.size-best.space()) {
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
		keep[baseName(other.name)] = true
	}
	b.mu.Unlock()
	b.handles.release(f.handle)
	b.chainFailed(b.chain.note(baseName(f.name), held, keep))
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
// before stays readable. A file that never took a transaction is removed. Where it is not the
// first in a while, the next attempt waits, or a disk that often fails would fill with files.
func (b *Buffer) seal(f *file, err error) {
	b.log.Error("record file is not written any more", "file", f.name, "error", err)
	now := time.Now()
	b.mu.Lock()
	f.sealed = true
	if b.sealWait = min(max(2*b.sealWait, retryMin), retryMax); !b.sealedLatelyLocked(now) {
		b.sealWait = 0
	}
	b.sealErr, b.sealedAt = fmt.Errorf("%s: %w", f.name, err), now
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

// sealedFor is how long it is told that a file was given up.
const sealedFor = 5 * time.Minute

func (b *Buffer) sealedLatelyLocked(now time.Time) bool {
	return b.sealErr != nil && now.Sub(b.sealedAt) < sealedFor
}

// freeze closes a sealed file under a name that tells the next start.
func (b *Buffer) freeze(f *file) {
	if err := b.handles.freeze(f.handle, b.path(baseName(f.name)+sealedSuffix)); err != nil {
		b.log.Warn("cannot rename a record file", "file", f.name, "error", err)
	}
}
