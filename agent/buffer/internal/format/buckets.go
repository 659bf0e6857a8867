package format

import (
	"encoding/binary"
)

// Counts reads the bucket of counts; nil where not all of it reads back.
func (c *Pages) Counts(bucket []byte) map[Epoch]Count {
	out := map[Epoch]Count{}
	if !c.Bucket(bucket, func(_ uint32, key, value []byte) bool {
		n, err := DecodeCount(value)
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

// Cursors reads the bucket of cursors; nil where not all of it reads back.
func (c *Pages) Cursors(bucket []byte) map[string]Cursor {
	out := map[string]Cursor{}
	if !c.Bucket(bucket, func(_ uint32, key, value []byte) bool {
		cur, err := DecodeCursor(value)
		out[string(key)] = cur
		return err == nil
	}) {
		return nil
	}
	return out
}

// Bucket walks a bucket, given its value in the root, and reports whether all of it
// could be read and fn took it.
func (c *Pages) Bucket(value []byte, fn func(flags uint32, key, value []byte) bool) bool {
	if len(value) < 16 {
		return false
	}
	if root := binary.NativeEndian.Uint64(value); root != 0 {
		return c.walk(root, 0, fn) == nil
	}
	inline := value[16:]
	if len(inline) < PageHead || binary.NativeEndian.Uint16(inline[8:]) != LeafFlag {
		return false
	}
	return EachElement(inline, int(binary.NativeEndian.Uint16(inline[10:])), fn) == nil
}

// walk calls fn for the elements of a tree of pages.
func (c *Pages) walk(id uint64, depth int, fn func(flags uint32, key, value []byte) bool) error {
	if depth > MaxDepth {
		return ErrDamaged
	}
	b, h, err := c.Page(id)
	if err != nil {
		return err
	}
	switch {
	case h.Flags == LeafFlag:
		return EachElement(b, int(h.Count), fn)
	case h.Flags != BranchFlag:
		return ErrDamaged
	}
	for i := range int(h.Count) {
		_, child, err := BranchElement(b, i)
		if err != nil {
			return err
		}
		if err := c.walk(child, depth+1, fn); err != nil {
			return err
		}
	}
	return nil
}

// EachElement calls fn for the elements of a leaf page; an error when not all read back or fn
// did not take one.
func EachElement(b []byte, count int, fn func(flags uint32, key, value []byte) bool) error {
	for i := range count {
		flags, key, value, err := LeafElement(b, i)
		if err != nil {
			return err
		}
		if !fn(flags, key, value) {
			return ErrDamaged
		}
	}
	return nil
}
