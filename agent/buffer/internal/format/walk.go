package format

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"iter"
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

// Element is an element of a bucket, or what does not read back in its place.
type Element struct {
	Page       uint64 // that it lies in, where known
	Key, Value []byte // of the page; nil with Err
	Err        error  // wraps ErrDamaged
}

// Elements gives the elements of a bucket that read back, and one with Err for every page and
// element that does not.
func (w *Walker) Elements(bucket []byte) iter.Seq[Element] {
	return func(yield func(Element) bool) {
		value, ok := w.buckets[string(bucket)]
		if !ok || len(value) < 16 {
			return
		}
		if root := binary.NativeEndian.Uint64(value); root != 0 {
			w.below(root, 0, yield)
			return
		}
		inline := value[16:]
		if len(inline) < PageHead || binary.NativeEndian.Uint16(inline[8:]) != LeafFlag {
			yield(Element{Err: fmt.Errorf("%w: bucket %s", ErrDamaged, bucket)})
			return
		}
		elements(0, inline, int(binary.NativeEndian.Uint16(inline[10:])), yield)
	}
}

// below gives the elements under a page, and reports whether more are wanted.
func (w *Walker) below(id uint64, depth int, yield func(Element) bool) bool {
	if depth > MaxDepth {
		return yield(Element{Page: id, Err: fmt.Errorf("%w: pages nested too deep", ErrDamaged)})
	}
	b, h, err := w.Page(id)
	switch {
	case err != nil:
		return yield(Element{Page: id, Err: err})
	case h.Flags == LeafFlag:
		return elements(id, b, int(h.Count), yield)
	case h.Flags != BranchFlag:
		return yield(Element{Page: id, Err: fmt.Errorf("%w: page %d is of no kind", ErrDamaged, id)})
	}
	for i := range int(h.Count) {
		_, child, err := BranchElement(b, i)
		more := err == nil && w.below(child, depth+1, yield)
		if err != nil {
			more = yield(Element{Page: id, Err: err})
		}
		if !more {
			return false
		}
	}
	return true
}

func elements(id uint64, page []byte, count int, yield func(Element) bool) bool {
	for i := range count {
		e := Element{Page: id}
		_, e.Key, e.Value, e.Err = LeafElement(page, i)
		if !yield(e) {
			return false
		}
	}
	return true
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
	_, _, data, err = LeafElement(b, 0)
	return at, data, err
}
