package buffer

import (
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"path/filepath"
	"slices"
	"time"

	bolt "go.etcd.io/bbolt"

	"andon.internal/agent/buffer/internal/format"
	"andon.internal/shared/ranges"
)

// Next returns the first record of the lane behind after, or the very first when
// after is nil. It keeps no state: what is not acknowledged is found again. The
// key behind which it looks need not exist; one of an epoch that is not known counts
// as nil. A record that does not read back is passed over: it becomes a loss record. So are
// those in files that do not open now, which Stored.PassedOver says; behind the last of the
// others the error wraps ErrUnreadable in the lane Backlog while there are such: look again
// later, from the start.
// Another error is the disk's; the next call tries again.
func (b *Buffer) Next(l Lane, after *Key) (Stored, bool, error) {
	if after != nil && after.Position >= maxPosition {
		after = &Key{Epoch: after.Epoch, Position: maxPosition}
	}
	for {
		b.mu.Lock()
		if b.closed {
			b.mu.Unlock()
			return Stored{}, false, ErrClosed
		}
		var live *uint64
		if l == Live {
			from := b.x.current().marks.since(time.Now().Add(-b.o.LiveAge), b.o.markStep())
			live = &from
		}
		k, passed, ok := b.x.nextReadable(after, live)
		if !ok {
			var err error
			if l == Backlog {
				_, err = b.x.unreadable()
			}
			b.mu.Unlock()
			return Stored{}, false, wrap("read from buffer", err)
		}
		s, again, err := b.giveLocked(k)
		if s.PassedOver = passed; !again {
			return s, err == nil, err
		}
	}
}

// Get returns the record with that name, if it is held and visible. The error wraps
// ErrUnreadable where it is in a file that does not open now.
func (b *Buffer) Get(k Key) (Stored, bool, error) {
	for {
		b.mu.Lock()
		if b.closed {
			b.mu.Unlock()
			return Stored{}, false, ErrClosed
		}
		if ep := b.x.byID[k.Epoch]; ep == nil || !ep.held.Contains(k.Position) {
			b.mu.Unlock()
			return Stored{}, false, nil
		}
		s, again, err := b.giveLocked(k)
		if !again {
			return s, err == nil, err
		}
	}
}

// giveLocked reads a record that is held and visible. It unlocks. With again it could
// not be read, and is no longer held, or elsewhere.
func (b *Buffer) giveLocked(k Key) (s Stored, again bool, err error) {
	ep := b.x.byID[k.Epoch]
	if e := ep.mem[k.Position]; e != nil {
		defer b.mu.Unlock()
		return e.give(), false, nil
	}
	f := b.x.where(k)
	if f == nil {
		// Held, but nowhere: it cannot be, and must not stop what is behind it.
		defer b.mu.Unlock()
		b.damagedLocked(nil, k)
		return Stored{}, true, nil
	}
	if !f.opens(k) {
		_, err = b.x.unreadable()
		b.mu.Unlock()
		return Stored{}, false, wrap("read from buffer", err)
	}
	b.mu.Unlock()

	v, err := b.read(f, k)
	var data []byte
	if err == nil {
		data, err = v.Data()
	}
	switch {
	case err == nil:
	case errors.Is(err, errGone), errors.Is(err, ErrUnreadable): // and is passed over now
		return Stored{}, true, nil
	case errors.Is(err, errDamagedFile):
		b.damagedFile(f, err)
		return Stored{}, true, nil
	case errors.Is(err, errDamaged):
		b.damaged(f, k, err)
		return Stored{}, true, nil
	default:
		return Stored{}, false, fmt.Errorf("read from buffer: %w", err)
	}

	b.mu.Lock()
	defer b.mu.Unlock()
	if b.x.byID[k.Epoch] != ep || !ep.held.Contains(k.Position) {
		return Stored{}, true, nil // acknowledged or moved meanwhile
	}
	s = Stored{
		Key: k, Class: v.Class, Data: data, Label: v.Label, Rows: v.Rows, First: v.First, Last: v.Last,
		Appended: time.Unix(0, v.Appended), OnDisk: true, Moved: v.Moved,
	}
	if at, ok := ep.marks.at(k.Position); ok && ep.began >= b.began {
		s.Appended = at
	}
	return s, false, nil
}

// errDamagedFile is a file that does not open because of its content, or is not there.
var errDamagedFile = errors.New("record file is damaged")

// read reads a record from a file.
func (b *Buffer) read(f *file, k Key) (v format.Envelope, err error) {
	b.reading.Lock()
	defer b.reading.Unlock()
	db, err := b.acquire(f)
	if err != nil {
		return format.Envelope{}, err
	}
	defer b.handles.release(f.handle)
	err = b.view(f, db, func(tx *bolt.Tx) (err error) {
		v, err = format.ReadRecord(tx, k)
		return err
	})
	if errors.Is(err, ErrNewer) {
		err = b.newer(f, k, err)
	}
	return v, err
}

// damaged deals with a record that does not read back. Its file is not written any
// more: a delete could take pages that are others'. One that was deleted since it was looked
// for is none.
func (b *Buffer) damaged(f *file, k Key, err error) {
	b.mu.Lock()
	if h := f.holds[k.Epoch]; h == nil || !h.live.Contains(k.Position) {
		b.mu.Unlock()
		return
	}
	b.late.say(slog.LevelError, "record is damaged", "file", f.name, "position", k.Position, "error", err)
	known := f.sealed
	f.sealed = true
	b.damagedLocked(f, k)
	b.mu.Unlock()
	if !known {
		b.freeze(f)
	}
}

// damagedLocked notes that a record does not read back from f. Where no other file
// has it, it becomes a loss; else it is to be deleted there.
func (b *Buffer) damagedLocked(f *file, k Key) {
	at := ranges.Range{From: k.Position, To: k.Position + 1}
	if f != nil {
		h := f.holding(k.Epoch)
		cut(&h.live, at, &h.bad)
		if b.x.where(k) != nil { // no loss record will bury this one
			b.x.change(h, func() { h.gone += cut(&h.bad, at, &h.dead) })
			b.deadLocked(time.Now())
			return
		}
	}
	if ep := b.x.byID[k.Epoch]; ep != nil && ep.held.Remove(at.From, at.To)+b.movingLocked(k.Epoch, at) > 0 {
		b.noteLossLocked(&LossInfo{Epoch: k.Epoch, From: at.From, To: at.To, Reason: ReasonDamaged}, 1, time.Now(), true)
	}
}

// damagedFile sets a file aside, unless another one who found it damaged did: both sides read.
func (b *Buffer) damagedFile(f *file, err error) {
	b.mu.Lock()
	known := !slices.Contains(b.x.files, f)
	if !known {
		b.fileLostLocked(f)
	}
	b.mu.Unlock()
	if known {
		return
	}
	name := f.name + damagedSuffix(time.Now())
	if errors.Is(err, fs.ErrNotExist) {
		b.log.Error("record file was removed", "file", f.name, "error", err)
	} else {
		b.log.Error("record file is damaged and set aside", "file", f.name, "as", name, "error", err)
		b.m.setAside.Inc()
	}
	if err := b.handles.setAside(f.handle, b.path(name)); err != nil {
		b.log.Warn("cannot set a damaged file aside: the next start tries again", "file", f.name, "error", err)
		b.mu.Lock()
		b.inPlace = append(b.inPlace, brokenFile{filepath.Base(f.path), err})
		b.mu.Unlock()
	}
}

// fileLostLocked takes a file out of the index that does not read back. What is in no other one
// is written anew where memory has it, and becomes losses where that has not.
func (b *Buffer) fileLostLocked(f *file) {
	b.x.removeFile(f)
	f.sealed = true
	for id, h := range f.holds {
		ep := b.x.byID[id]
		if ep == nil {
			continue
		}
		ep.kept -= min(ep.kept, h.kept.Len())
		lost := h.live.Clone()
		for _, other := range b.x.files {
			if o := other.holds[id]; o != nil {
				lost.RemoveSet(o.live)
			}
		}
		for p, e := range ep.mem {
			if lost.Remove(p, p+1) > 0 && e.stage == stored {
				b.x.requeue(e)
				b.wake()
			}
		}
		for _, r := range lost.Ranges() {
			n := ep.held.Remove(r.From, r.To) + b.movingLocked(id, r)
			if n > 0 {
				b.noteLossLocked(&LossInfo{Epoch: id, From: r.From, To: r.To, Reason: ReasonDamaged}, n, time.Now(), false)
			}
		}
	}
	b.x.cached = slices.DeleteFunc(b.x.cached, func(e *entry) bool { return e.stage != stored })
}

const damagedMark = ".damaged-"

// damagedSuffix is what the name of a file that is set aside ends in.
func damagedSuffix(now time.Time) string {
	return damagedMark + now.UTC().Format("20060102T150405.000000000")
}
