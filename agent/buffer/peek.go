package buffer

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"time"

	bolt "go.etcd.io/bbolt"

	"andon.internal/agent/buffer/internal/format"
)

// What is read of a buffer in use at once, and how long it then rests: four times as
// long as that took, so that looking never takes more than a fifth of one processor or
// of the disk, on whatever box.
const (
	peekRecords = 32
	peekBytes   = 256 << 10
	peekRest    = 4
)

// Peek calls fn for every record that is held, as it was when Peek began: oldest epoch
// first, then by position. Nothing is noted of it: a record that does not read back stays
// where it is and is told with Err. It reads few at a time and rests in between, so that
// neither appends nor the uplink wait for more than those; the time that fn takes counts.
// It stops at fn's error and returns it; ErrClosed after Close.
func (b *Buffer) Peek(ctx context.Context, fn func(Found) error) error {
	b.mu.Lock()
	p := place{from: map[Epoch]uint64{}, to: map[Epoch]uint64{}}
	for _, ep := range b.x.epochs {
		p.to[ep.id] = ep.next
	}
	b.mu.Unlock()
	for {
		began := time.Now()
		list, more, err := b.peekSome(&p)
		if err != nil || !more {
			return err
		}
		for _, f := range list {
			if err := fn(f); err != nil {
				return err
			}
		}
		rest := time.NewTimer(peekRest * time.Since(began))
		select {
		case <-ctx.Done():
			rest.Stop()
			return ctx.Err()
		case <-rest.C:
		}
	}
}

// place is how far a look has come: positions of an epoch below from were given, those
// from to on are younger than the look.
type place struct {
	after    *Key
	from, to map[Epoch]uint64
}

// next returns the next record that is to be looked at, and goes behind it.
func (p *place) next(x *index) (Key, bool) {
	for {
		k, ok := x.next(p.after, nil)
		if !ok {
			return k, false
		}
		p.after = &Key{Epoch: k.Epoch, Position: k.Position}
		switch from := p.from[k.Epoch]; {
		case k.Position >= p.to[k.Epoch]:
			p.after.Position = maxPosition
		case k.Position < from: // an epoch before it was forgotten, and so the search began anew
			p.after.Position = from - 1
		default:
			p.from[k.Epoch] = k.Position + 1
			return k, true
		}
	}
}

// wanted is a record on disk that is to be read.
type wanted struct {
	key Key
	at  int // in the list
}

// peekSome returns some of the records behind a place; more is false when there is none.
func (b *Buffer) peekSome(p *place) (list []Found, more bool, err error) {
	b.reading.Lock()
	defer b.reading.Unlock()
	b.mu.Lock()
	if b.closed {
		b.mu.Unlock()
		return nil, false, ErrClosed
	}
	from := map[*file][]wanted{}
	var size int64
	for size < peekBytes && len(list) < peekRecords {
		k, ok := p.next(&b.x)
		if !ok {
			break
		}
		more = true
		if e := b.x.byID[k.Epoch].mem[k.Position]; e != nil {
			list = append(list, Found{Stored: e.give()})
			size += int64(e.size)
			continue
		}
		f := b.x.where(k)
		list = append(list, Found{Stored: Stored{Key: k}})
		if f == nil {
			list[len(list)-1].Err = fmt.Errorf("%w: it is in no file", errDamaged)
			continue
		}
		list[len(list)-1].File = f.name
		if f.fault != nil {
			list[len(list)-1].Err = f.fault.err
			continue
		}
		from[f] = append(from[f], wanted{k, len(list) - 1})
		t := f.holds[k.Epoch].tally
		size += int64(t.Bytes / max(t.Records, 1))
	}
	b.mu.Unlock()
	for f, want := range from {
		if err := b.peekFile(f, want, list); err != nil {
			return nil, false, err
		}
	}
	return b.stillThere(list), more, nil
}

// peekFile reads records of one file into the list.
func (b *Buffer) peekFile(f *file, want []wanted, list []Found) error {
	db, err := b.handles.acquire(f.handle) // of a file that does not open too, nothing is noted
	closed := err != nil
	if !closed {
		defer b.handles.release(f.handle)
		_, err = b.handles.view(f.handle, db, func(tx *bolt.Tx) error {
			for _, w := range want {
				found := &list[w.at]
				value, err := valueOf(tx, w.key)
				if err == nil {
					found.Stored, err = ParseStored(slices.Clone(value))
				}
				if err == nil && found.Key != w.key {
					err = fmt.Errorf("%w: the record is another one", errDamaged)
				}
				if err != nil {
					found.Stored, found.Err = Stored{Key: w.key}, err
				}
			}
			return nil
		})
	}
	if err == nil {
		return nil
	}
	if !closed && !errors.Is(err, errDamaged) {
		return fmt.Errorf("look into buffer: %w", err)
	}
	for _, w := range want {
		if found := &list[w.at]; found.Data == nil && found.Err == nil {
			found.Err = err
		}
	}
	return nil
}

func valueOf(tx *bolt.Tx, k Key) ([]byte, error) {
	records := tx.Bucket(format.RecordsBucket)
	if records == nil {
		return nil, fmt.Errorf("%w: no records", errDamaged)
	}
	one := records.Bucket(format.RecordKey(k))
	if one == nil {
		return nil, fmt.Errorf("%w: no such record", errDamaged)
	}
	return one.Get(format.ValueKey), nil
}

// stillThere leaves out what could not be read because it was acknowledged or moved in
// the meantime.
func (b *Buffer) stillThere(list []Found) []Found {
	b.mu.Lock()
	defer b.mu.Unlock()
	return slices.DeleteFunc(list, func(f Found) bool {
		if f.Err == nil || f.File == "" {
			return false
		}
		now := b.x.where(f.Key)
		return now == nil || now.name != f.File
	})
}

// Inventory returns what the buffer holds, by epoch and by file. It does not touch the
// disk, but for the names in its folder.
func (b *Buffer) Inventory() Inventory {
	var inv Inventory
	states := b.Chain()
	b.mu.Lock()
	for _, s := range states {
		info := EpochInfo{EpochState: s}
		if ep := b.x.byID[s.Epoch]; ep != nil {
			info.Boot, info.Began = ep.boot, time.Unix(0, ep.began)
		}
		inv.Epochs = append(inv.Epochs, info)
	}
	for _, f := range b.x.files {
		info := FileInfo{Name: f.name, Size: f.size, Sealed: f.sealed, Active: f.home && !f.sealed}
		if f.fault != nil {
			info.Err = f.fault.err
		}
		for _, h := range f.holds {
			info.Records, info.Rows, info.Bytes = info.Records+h.tally.Records, info.Rows+h.tally.Rows, info.Bytes+h.tally.Bytes
			info.Live += h.live.Len()
		}
		inv.Files = append(inv.Files, info)
	}
	for _, f := range b.inPlace {
		info := FileInfo{Name: f.name, Sealed: true, Err: f.cause}
		inv.Files = append(inv.Files, info)
	}
	for name := range b.names {
		if name == sparesCursor {
			continue
		}
		c := b.cursors[name]
		inv.Cursors = append(inv.Cursors, CursorInfo{Name: name, Generation: c.Generation, Bytes: len(c.Data), Lost: b.known[name].lostWith})
	}
	b.mu.Unlock()
	for i := range inv.Files {
		if f := &inv.Files[i]; f.Err != nil && f.Size == 0 {
			f.Size = sizesOf(b.o.Dir, []string{f.Name})[0].Size
		}
	}
	if _, err := os.ReadDir(b.o.Dir); err != nil {
		inv.Faults = append(inv.Faults, err.Error())
	} else if names, err := (&Folder{dir: b.o.Dir}).names(); err == nil {
		inv.SetAside = sizesOf(b.o.Dir, names.aside)
	}
	return inv
}
