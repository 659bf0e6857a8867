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
	var root, end, txid uint64
	metas := 0
	for i := range int64(2) {
		var page [pageHead + metaLength]byte
		if _, err := f.ReadAt(page[:], i*pageSize); err != nil {
			continue
		}
		if m, ok := parseMeta(page[pageHead:]); ok {
			if metas++; metas == 1 || m.txid > txid {
				root, end, txid = m.root, m.end, m.txid
			}
		}
	}
	info, err := f.Stat()
	if err != nil || metas < 2 {
		return r // the other one may have been the newer, and what it says not the latest
	}
	end = min(end, uint64(info.Size())/pageSize)
	c := checker{f: f, end: end, seen: make([]uint64, end/64+1)}
	buckets := map[string][]byte{}
	err = c.walk(root, 0, func(flags uint32, key, value []byte) bool {
		if flags&bucketFlag != 0 {
			buckets[string(key)] = value
		}
		return true
	})
	if err != nil {
		return r
	}
	counts, cursors, held := map[Epoch]count{}, map[string]cursor{}, map[Epoch]ranges.Set{}
	if c.bucket(buckets[string(epochsBucket)], func(_ uint32, key, value []byte) bool {
		n, err := decodeCount(value)
		if err == nil && len(key) == len(Epoch{}) {
			counts[Epoch(key)] = n
		}
		return err == nil && len(key) == len(Epoch{})
	}) {
		r.counts = counts
	}
	if c.bucket(buckets[string(cursorsBucket)], func(_ uint32, key, value []byte) bool {
		cur, err := decodeCursor(value)
		cursors[string(key)] = cur
		return err == nil
	}) {
		r.cursors = cursors
	}
	if r.counts == nil || !c.bucket(buckets[string(recordsBucket)], func(_ uint32, key, _ []byte) bool {
		if len(key) != len(Epoch{})+8 {
			return false
		}
		p := binary.BigEndian.Uint64(key[len(Epoch{}):])
		if p > maxPosition {
			return false
		}
		set := held[Epoch(key)]
		set.Add(p, p+1)
		held[Epoch(key)] = set
		return true
	}) {
		return r
	}
	for e, n := range r.counts {
		if set := held[e]; set.Len() != n.records {
			return r
		}
	}
	r.held = held
	return r
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
