package buffer

import (
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"slices"
	"time"

	bolt "go.etcd.io/bbolt"
)

// A file that does not open for another reason than its content (its rights, a lock, a page
// that the disk does not read, no memory to map it) is passed over, by whoever reads,
// deletes or wants room, until the flusher could open it. So is a record in a form that this
// version does not know, for as long as the process runs. What lies there stays held, and is
// told by Stats.

const (
	unreadableMin = time.Second // between two attempts; doubles
	unreadableMax = time.Minute
)

// fault is why a file cannot be opened now.
type fault struct {
	err  error
	wait time.Duration
	due  time.Time // of the next attempt
}

// acquire opens a file, until it is released. The error wraps errDamagedFile where the content
// is at fault, or the file is gone from its folder, and ErrUnreadable where something else is:
// then the file is passed over from now on.
func (b *Buffer) acquire(f *file) (*bolt.DB, error) {
	db, err := b.handles.acquire(f.handle)
	switch {
	case err == nil:
		return db, nil
	case errors.Is(err, errGone):
		return nil, err
	case errors.Is(err, errDamaged):
		return nil, fmt.Errorf("%w: %w", errDamagedFile, err)
	case errors.Is(err, fs.ErrNotExist) && b.folderIsThere():
		return nil, fmt.Errorf("%w: it was removed: %w", errDamagedFile, err)
	}
	err = fmt.Errorf("%w: %w", ErrUnreadable, err)
	b.mu.Lock()
	defer b.mu.Unlock()
	if f.fault == nil {
		b.late.say(slog.LevelError, "record file cannot be opened; it is passed over and tried again", "file", f.name, "error", err)
		f.fault = &fault{}
		b.wake()
	}
	if f.fault.err = err; f.fault.due.After(time.Now()) {
		return nil, err // several of its records were wanted at once
	}
	f.fault.wait = min(max(2*f.fault.wait, unreadableMin), unreadableMax)
	f.fault.due = time.Now().Add(f.fault.wait)
	return nil, err
}

// view runs fn in a transaction that reads a file that was acquired. Where that leaves it locked
// the error is that of acquire from then on.
func (b *Buffer) view(f *file, db *bolt.DB, fn func(tx *bolt.Tx) error) error {
	stuck, err := b.handles.view(f.handle, db, fn)
	if stuck {
		_, err = b.acquire(f)
	}
	return err
}

// folderIsThere tells a file that was removed from a file system that is not mounted any more.
func (b *Buffer) folderIsThere() bool {
	_, err := os.Stat(b.path(chainFile))
	return err == nil
}

// faultDueLocked returns when a file that did not open is to be tried again; zero where all do.
func (b *Buffer) faultDueLocked() (due time.Time) {
	for _, f := range b.x.files {
		if f.fault != nil && (due.IsZero() || f.fault.due.Before(due)) {
			due = f.fault.due
		}
	}
	return due
}

// tryAgain opens a file that did not open, where that is due: one, because it may wait for a lock
// meanwhile, and what is to be written comes before the next. It is called with disk held.
func (b *Buffer) tryAgain(now time.Time) {
	b.mu.Lock()
	i := slices.IndexFunc(b.x.files, func(f *file) bool { return f.fault != nil && !f.fault.due.After(now) })
	if i < 0 {
		b.mu.Unlock()
		return
	}
	f := b.x.files[i]
	b.mu.Unlock()
	_, err := b.acquire(f)
	if errors.Is(err, errDamagedFile) {
		b.damagedFile(f, err)
	}
	if err != nil {
		return
	}
	b.handles.release(f.handle)
	b.mu.Lock()
	defer b.mu.Unlock()
	f.fault = nil
	b.late.say(slog.LevelInfo, "record file can be opened again", "file", f.name)
	if slices.ContainsFunc(b.x.files, func(o *file) bool { return o == f && len(o.deletes(1)) > 0 }) {
		b.deadLocked(now)
	}
	b.signalChanged()
}

// newer notes that a record is in a form that this version does not know.
func (b *Buffer) newer(f *file, k Key, err error) error {
	err = fmt.Errorf("%w: %w", ErrUnreadable, err)
	b.mu.Lock()
	defer b.mu.Unlock()
	if h := f.holds[k.Epoch]; h != nil {
		if h.newer.Empty() {
			b.late.say(slog.LevelError, "record cannot be read; it is kept for a version that can", "file", f.name, "position", k.Position, "error", err)
		}
		h.newer.Add(k.Position, k.Position+1)
	}
	return err
}

// opens reports whether a record of the file can be read now, so far as is known.
func (f *file) opens(k Key) bool {
	h := f.holds[k.Epoch]
	return f.fault == nil && (h == nil || !h.newer.Contains(k.Position))
}

// unreadable returns how many live records of the file cannot be read now.
func (f *file) unreadable() (n uint64) {
	for _, h := range f.holds {
		if f.fault != nil {
			n += h.live.Len()
		} else if !h.newer.Empty() {
			n += h.newer.Intersect(h.live).Len()
		}
	}
	return n
}

// unreadable returns how many records that are held cannot be read now, and why: a file that does
// not open goes before a newer form.
func (x *index) unreadable() (n uint64, err error) {
	for _, f := range x.files {
		some := f.unreadable()
		n += some
		switch {
		case some == 0:
		case f.fault != nil && (err == nil || errors.Is(err, ErrNewer)):
			err = fmt.Errorf("%s: %w", f.name, f.fault.err)
		case err == nil:
			err = fmt.Errorf("%s: %w: %w", f.name, ErrUnreadable, ErrNewer)
		}
	}
	return n, err
}

// nextReadable is next without what cannot be read now, and says whether it passed over such.
func (x *index) nextReadable(after *Key, live *uint64) (k Key, passed, ok bool) {
	for {
		if k, ok = x.next(after, live); !ok {
			return k, passed, false
		}
		to := x.passOver(k)
		if to == k.Position {
			return k, passed, true
		}
		after, passed = &Key{Epoch: k.Epoch, Position: to - 1}, true
	}
}

// passOver returns the first position from that of k on that is not known to be unreadable.
func (x *index) passOver(k Key) uint64 {
	ep, f := x.byID[k.Epoch], x.where(k)
	if f == nil || f.opens(k) || ep.mem[k.Position] != nil {
		return k.Position
	}
	h := f.holds[k.Epoch]
	all := h.newer
	if f.fault != nil {
		all = h.live
	}
	part, _ := all.Next(k.Position)
	to := part.To
	for p := range ep.mem {
		if p > k.Position {
			to = min(to, p)
		}
	}
	for _, other := range x.files {
		if o := other.holds[k.Epoch]; o != nil && other != f && other.fault == nil {
			if part, ok := o.live.Next(k.Position); ok && part.From > k.Position {
				to = min(to, part.From)
			}
		}
	}
	return to
}
