package buffer

import (
	"encoding/binary"
	"os"
)

// bothMetas returns the newer meta page. Where only one of them reads back, the other
// may have been the newer, and what the file says is not the latest.
func bothMetas(f *os.File) (newest boltMeta, ok bool) {
	for i := range int64(2) {
		var page [pageHead + metaLength]byte
		if _, err := f.ReadAt(page[:], i*pageSize); err != nil {
			return newest, false
		}
		m, ok := parseMeta(page[pageHead:])
		if !ok {
			return newest, false
		}
		if i == 0 || m.txid > newest.txid {
			newest = m
		}
	}
	return newest, true
}

// counts reads the bucket of counts; nil where not all of it reads back.
func (c *checker) counts(bucket []byte) map[Epoch]count {
	out := map[Epoch]count{}
	if !c.bucket(bucket, func(_ uint32, key, value []byte) bool {
		n, err := decodeCount(value)
		if err != nil || len(key) != len(Epoch{}) {
			return false
		}
		out[Epoch(key)] = n
		return true
	}) {
		return nil
	}
	return out
}

// cursors reads the bucket of cursors; nil where not all of it reads back.
func (c *checker) cursors(bucket []byte) map[string]cursor {
	out := map[string]cursor{}
	if !c.bucket(bucket, func(_ uint32, key, value []byte) bool {
		cur, err := decodeCursor(value)
		out[string(key)] = cur
		return err == nil
	}) {
		return nil
	}
	return out
}

// bucket walks a bucket, given its value in the root, and reports whether all of it
// could be read and fn took it.
func (c *checker) bucket(value []byte, fn func(flags uint32, key, value []byte) bool) bool {
	if len(value) < 16 {
		return false
	}
	if root := binary.NativeEndian.Uint64(value); root != 0 {
		return c.walk(root, 0, fn) == nil
	}
	inline := value[16:]
	if len(inline) < pageHead || binary.NativeEndian.Uint16(inline[8:]) != leafFlag {
		return false
	}
	return eachElement(inline, int(binary.NativeEndian.Uint16(inline[10:])), fn) == nil
}

// walk calls fn for the elements of a tree of pages.
func (c *checker) walk(id uint64, depth int, fn func(flags uint32, key, value []byte) bool) error {
	if depth > maxDepth {
		return errDamaged
	}
	b, h, err := c.page(id)
	if err != nil {
		return err
	}
	switch {
	case h.flags == leafFlag:
		return eachElement(b, int(h.count), fn)
	case h.flags != branchFlag:
		return errDamaged
	}
	for i := range int(h.count) {
		child, err := branchElement(b, i)
		if err != nil {
			return err
		}
		if err := c.walk(child, depth+1, fn); err != nil {
			return err
		}
	}
	return nil
}

func eachElement(b []byte, count int, fn func(flags uint32, key, value []byte) bool) error {
	for i := range count {
		flags, value, err := leafElement(b, i)
		if err != nil {
			return err
		}
		at := pageHead + i*leafEntry
		start := at + int(binary.NativeEndian.Uint32(b[at+4:]))
		key := b[start : start+int(binary.NativeEndian.Uint32(b[at+8:]))]
		if !fn(flags, key, value) {
			return errDamaged
		}
	}
	return nil
}
