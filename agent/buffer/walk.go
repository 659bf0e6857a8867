package buffer

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"os"
)

// walker reads a record file page by page, without the database and so without its
// lock and its memory map. What does not read back is told, and passed over.
type walker struct {
	checker
	name string

	buckets map[string][]byte // the elements at the root
}

// openWalker opens a file. The error wraps errDamaged when it has no root that reads back.
func openWalker(path, name string) (*walker, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	w := &walker{name: name, buckets: map[string][]byte{}}
	m, err := readMeta(f)
	if err == nil {
		w.checker = checker{f: f, end: m.end, seen: make([]uint64, m.end/64+1)}
		err = w.walk(m.root, 0, func(flags uint32, key, value []byte) bool {
			if flags&bucketFlag != 0 {
				w.buckets[string(key)] = bytes.Clone(value)
			}
			return true
		})
	}
	if err != nil {
		_ = f.Close()
		return nil, err
	}

	return w, nil
}

func (w *walker) close() error { return w.f.Close() }

// each calls fn for the elements of a bucket that read back, with the page that they lie
// in, and bad for every page that does not.
func (w *walker) each(bucket string, fn func(page uint64, key, value []byte) error, bad func(page uint64, err error) error) error {
	value, ok := w.buckets[bucket]
	if !ok || len(value) < 16 {
		return nil
	}
	if root := binary.NativeEndian.Uint64(value); root != 0 {
		return w.below(root, 0, fn, bad)
	}
	inline := value[16:]
	if len(inline) < pageHead || binary.NativeEndian.Uint16(inline[8:]) != leafFlag {
		return bad(0, fmt.Errorf("%w: bucket %s", errDamaged, bucket))
	}
	return w.elements(0, inline, int(binary.NativeEndian.Uint16(inline[10:])), fn, bad)
}

func (w *walker) below(id uint64, depth int, fn func(uint64, []byte, []byte) error, bad func(uint64, error) error) error {
	if depth > maxDepth {
		return bad(id, fmt.Errorf("%w: pages nested too deep", errDamaged))
	}
	b, h, err := w.page(id)
	switch {
	case err != nil:
		return bad(id, err)
	case h.flags == leafFlag:
		return w.elements(id, b, int(h.count), fn, bad)
	case h.flags != branchFlag:
		return bad(id, fmt.Errorf("%w: page %d is of no kind", errDamaged, id))
	}
	for i := range int(h.count) {
		child, err := branchElement(b, i)
		if err == nil {
			err = w.below(child, depth+1, fn, bad)
		} else {
			err = bad(id, err)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

func (w *walker) elements(id uint64, page []byte, count int, fn func(uint64, []byte, []byte) error, bad func(uint64, error) error) error {
	for i := range count {
		_, value, err := leafElement(page, i)
		if err == nil {
			at := pageHead + i*leafEntry
			start := at + int(binary.NativeEndian.Uint32(page[at+4:]))
			err = fn(id, page[start:start+int(binary.NativeEndian.Uint32(page[at+8:]))], value)
		} else {
			err = bad(id, err)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// stored returns a record's bytes, given its bucket: those of a page of its own, or
// those inside of its neighbours' page.
func (w *walker) stored(page uint64, bucket []byte) (at uint64, data []byte, err error) {
	if len(bucket) < 16 {
		return page, nil, fmt.Errorf("%w: bucket of %d bytes", errDamaged, len(bucket))
	}
	at, b := page, bucket[16:]
	var h pageHeader
	if root := binary.NativeEndian.Uint64(bucket); root != 0 {
		at = root
		if b, h, err = w.page(root); err != nil {
			return at, nil, err
		}
	} else if len(b) >= pageHead {
		h = pageHeader{binary.NativeEndian.Uint16(b[8:]), binary.NativeEndian.Uint16(b[10:])}
	}
	if h.flags != leafFlag || h.count != 1 {
		return at, nil, fmt.Errorf("%w: not the page of a record", errDamaged)
	}
	_, data, err = leafElement(b, 0)
	return at, data, err
}

// records calls fn for every record and for everything that does not read back. What it
// counted by epoch is compared with what the file says.
func (w *walker) records(fn func(Found) error) error {
	bad := func(page uint64, err error) error {
		return fn(Found{File: w.name, Offset: int64(page) * pageSize, Err: err})
	}
	seen := map[Epoch]uint64{}
	err := w.each(string(recordsBucket), func(page uint64, key, value []byte) error {
		f := Found{File: w.name, Offset: int64(page) * pageSize}
		if len(key) != len(Epoch{})+8 {
			f.Err = fmt.Errorf("%w: key %x", errDamaged, key)
			return fn(f)
		}
		k := Key{Epoch(key), binary.BigEndian.Uint64(key[len(Epoch{}):])}
		seen[k.Epoch]++
		at, data, err := w.stored(page, value)
		f.Offset = int64(at) * pageSize
		if err == nil {
			f.Stored, err = ParseStored(data)
		}
		if err == nil && f.Key != k {
			err = fmt.Errorf("%w: the record is another one, position %d", errDamaged, f.Position)
		}
		if err != nil {
			f.Stored, f.Err = Stored{Key: k}, err
		}
		return fn(f)
	}, bad)
	if err != nil {
		return err
	}
	counts := map[Epoch]uint64{}
	err = w.each(string(epochsBucket), func(page uint64, key, value []byte) error {
		n, err := decodeCount(value)
		if err != nil || len(key) != len(Epoch{}) {
			return bad(page, fmt.Errorf("%w: count of an epoch", errDamaged))
		}
		counts[Epoch(key)] = n.records
		return nil
	}, bad)
	for e, n := range seen {
		if err == nil && counts[e] != n {
			err = fn(Found{File: w.name, Stored: Stored{Key: Key{Epoch: e}}, Err: fmt.Errorf("%w: %d records where %d were counted", errDamaged, n, counts[e])})
		}
		delete(counts, e)
	}
	for e, n := range counts {
		if err == nil && n > 0 {
			err = fn(Found{File: w.name, Stored: Stored{Key: Key{Epoch: e}}, Err: fmt.Errorf("%w: no records where %d were counted", errDamaged, n)})
		}
	}
	return err
}
