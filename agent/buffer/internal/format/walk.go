package format

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"os"
)

// Walker reads a record file page by page, without the database and so without its
// lock and its memory map. What does not read back is told, and passed over.
type Walker struct {
	Pages
	buckets map[string][]byte // the elements at the root
}

// OpenWalker opens a file. The error wraps ErrDamaged when it has no root that reads back.
func OpenWalker(path string) (*Walker, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	w := &Walker{buckets: map[string][]byte{}}
	m, err := ReadMeta(f)
	if err == nil {
		w.Pages = NewPages(f, m.end)
		err = w.walk(m.Root, 0, func(flags uint32, key, value []byte) bool {
			if flags&BucketFlag != 0 {
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

// Close closes the file.
func (w *Walker) Close() error { return w.f.Close() }

// Each calls fn for the elements of a bucket that read back, with the page that they lie
// in, and bad for every page that does not.
func (w *Walker) Each(bucket string, fn func(page uint64, key, value []byte) error, bad func(page uint64, err error) error) error {
	value, ok := w.buckets[bucket]
	if !ok || len(value) < 16 {
		return nil
	}
	if root := binary.NativeEndian.Uint64(value); root != 0 {
		return w.below(root, 0, fn, bad)
	}
	inline := value[16:]
	if len(inline) < PageHead || binary.NativeEndian.Uint16(inline[8:]) != LeafFlag {
		return bad(0, fmt.Errorf("%w: bucket %s", ErrDamaged, bucket))
	}
	return w.elements(0, inline, int(binary.NativeEndian.Uint16(inline[10:])), fn, bad)
}

func (w *Walker) below(id uint64, depth int, fn func(uint64, []byte, []byte) error, bad func(uint64, error) error) error {
	if depth > MaxDepth {
		return bad(id, fmt.Errorf("%w: pages nested too deep", ErrDamaged))
	}
	b, h, err := w.Page(id)
	switch {
	case err != nil:
		return bad(id, err)
	case h.Flags == LeafFlag:
		return w.elements(id, b, int(h.Count), fn, bad)
	case h.Flags != BranchFlag:
		return bad(id, fmt.Errorf("%w: page %d is of no kind", ErrDamaged, id))
	}
	for i := range int(h.Count) {
		child, err := BranchElement(b, i)
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

func (w *Walker) elements(id uint64, page []byte, count int, fn func(uint64, []byte, []byte) error, bad func(uint64, error) error) error {
	for i := range count {
		_, value, err := LeafElement(page, i)
		if err == nil {
			at := PageHead + i*LeafEntry
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

// Record returns a record's bytes, given its bucket: those of a page of its own, or
// those inside of its neighbours' page.
func (w *Walker) Record(page uint64, bucket []byte) (at uint64, data []byte, err error) {
	if len(bucket) < 16 {
		return page, nil, fmt.Errorf("%w: bucket of %d bytes", ErrDamaged, len(bucket))
	}
	at, b := page, bucket[16:]
	var h PageHeader
	if root := binary.NativeEndian.Uint64(bucket); root != 0 {
		at = root
		if b, h, err = w.Page(root); err != nil {
			return at, nil, err
		}
	} else if len(b) >= PageHead {
		h = PageHeader{binary.NativeEndian.Uint16(b[8:]), binary.NativeEndian.Uint16(b[10:])}
	}
	if h.Flags != LeafFlag || h.Count != 1 {
		return at, nil, fmt.Errorf("%w: not the page of a record", ErrDamaged)
	}
	_, data, err = LeafElement(b, 0)
	return at, data, err
}
