package buffer

import (
	"encoding/binary"
	"os"

	"andon.internal/shared/ranges"
)

// rescued is what could still be read of a damaged file, without the records.
type rescued struct {
	counts  map[Epoch]count      // nil when not all of them could be read
	held    map[Epoch]ranges.Set // nil when not all keys could be read
	cursors map[string]cursor    // nil when not all of them could be read
}

// rescue reads what it can of a damaged file. It follows the pages itself, because the
// database answers damage with a panic or never ends. What it returns has a good
// checksum, or a count that is right.
func rescue(path string) (r rescued) {
	f, err := os.Open(path)
	if err != nil {
		return r
	}
	defer f.Close()
	m, ok := bothMetas(f)
	info, err := f.Stat()
	if err != nil || !ok {
		return r
	}
	end := min(m.end, uint64(info.Size())/pageSize)
	c := checker{f: f, end: end, seen: make([]uint64, end/64+1)}
	buckets := map[string][]byte{}
	err = c.walk(m.root, 0, func(flags uint32, key, value []byte) bool {
		if flags&bucketFlag != 0 {
			buckets[string(key)] = value
		}
		return true
	})
	if err != nil {
		return r
	}
	r.counts = c.counts(buckets[string(epochsBucket)])
	r.cursors = c.cursors(buckets[string(cursorsBucket)])
	if r.counts != nil {
		r.held = c.held(buckets[string(recordsBucket)], r.counts)
	}
	return r
}

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

// held reads the keys of the bucket of records; nil where not all of it reads back, or
// where there are not as many as were counted.
func (c *checker) held(bucket []byte, counts map[Epoch]count) map[Epoch]ranges.Set {
	out := map[Epoch]ranges.Set{}
	if !c.bucket(bucket, func(_ uint32, key, _ []byte) bool {
		if len(key) != len(Epoch{})+8 {
			return false
		}
		p := binary.BigEndian.Uint64(key[len(Epoch{}):])
		if p > maxPosition {
			return false
		}
		set := out[Epoch(key)]
		set.Add(p, p+1)
		out[Epoch(key)] = set
		return true
	}) {
		return nil
	}
	for e, n := range counts {
		if set := out[e]; set.Len() != n.records {
			return nil
		}
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
