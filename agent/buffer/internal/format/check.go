package format

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"os"
)

// CheckTree returns an error that wraps ErrDamaged when the trees of a closed file
// are not sound: pages that are not where they should be, are in two trees, or hold
// what lies outside of them. It reads the pages of the index only; the records have
// checksums of their own.
func CheckTree(path string) error { return (&Pages{}).check(path) }

// CheckRecords is CheckTree for a record file: both meta pages must be there, since the
// one that is not may have been the newer. With deep it also looks at the heads of the
// pages that records have of their own.
func CheckRecords(path string, deep bool) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	_, ok := BothMetas(f)
	_ = f.Close() // was only read
	if !ok {
		return fmt.Errorf("%w: a meta page does not read back", ErrDamaged)
	}
	return (&Pages{deep: deep}).check(path)
}

func (c *Pages) check(path string) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	m, err := ReadMeta(f)
	if err != nil {
		return err
	}
	c.f, c.end, c.seen = f, m.end, make([]uint64, m.end/64+1)
	free, head, err := c.Page(m.Freelist)
	if err != nil {
		return err
	}
	if head.Flags != FreelistFlag {
		return fmt.Errorf("%w: page %d is not the free list", ErrDamaged, m.Freelist)
	}
	if err := c.freelist(free, head); err != nil {
		return err
	}
	return c.tree(m.Root, 0, 0, keys{})
}

// freelist checks that the pages named free are in the file and in no tree.
func (c *Pages) freelist(b []byte, h PageHeader) error {
	n := binary.NativeEndian
	at, count := PageHead, uint64(h.Count)
	if h.Count == 0xFFFF {
		count, at = n.Uint64(b[at:]), at+8
	}
	if count > uint64(len(b)-at)/8 {
		return fmt.Errorf("%w: free list of %d pages", ErrDamaged, count)
	}
	for ; count > 0; count-- {
		if err := c.mark(n.Uint64(b[at:]), 1); err != nil {
			return err
		}
		at += 8
	}
	return nil
}

// keys is what the keys of a page lie in: [from, to), nil is the end. A page whose keys lie
// elsewhere, or that are not in order, is whole, and what is looked for by its key is not found.
type keys struct{ from, to []byte }

// check takes the next key of a page in order: from the last one on are the others.
func (k *keys) check(key []byte, first bool) error {
	if c := bytes.Compare(key, k.from); c < 0 || c == 0 && !first || k.to != nil && bytes.Compare(key, k.to) >= 0 {
		return fmt.Errorf("%w: key %x is not where it belongs", ErrDamaged, key)
	}
	k.from = key
	return nil
}

// tree checks the pages of one bucket, and of the buckets in it down to the one
// that holds the records (level 1).
func (c *Pages) tree(id uint64, depth, level int, within keys) error {
	if depth > MaxDepth {
		return fmt.Errorf("%w: pages nested too deep", ErrDamaged)
	}
	b, h, err := c.Page(id)
	if err != nil {
		return err
	}
	switch {
	case h.Flags == BranchFlag && h.Count > 0:
		for i := range int(h.Count) {
			key, child, err := BranchElement(b, i)
			if err == nil {
				err = within.check(key, i == 0)
			}
			if err != nil {
				return err
			}
			part := within
			if i+1 < int(h.Count) {
				if part.to, _, err = BranchElement(b, i+1); err != nil {
					return err
				}
			}
			if err := c.tree(child, depth+1, level, part); err != nil {
				return err
			}
		}
		return nil
	case h.Flags == LeafFlag:
		return c.leaf(b, h, depth, level, within)
	}
	return fmt.Errorf("%w: page %d is of no kind", ErrDamaged, id)
}

// leaf checks the elements of a leaf page, which may lie inside another one.
func (c *Pages) leaf(b []byte, h PageHeader, depth, level int, within keys) error {
	n := binary.NativeEndian
	for i := range int(h.Count) {
		flags, key, value, err := LeafElement(b, i)
		if err == nil {
			err = within.check(key, i == 0)
		}
		if err != nil {
			return err
		}
		if flags&BucketFlag == 0 {
			continue
		}
		if len(value) < 16 {
			return fmt.Errorf("%w: bucket of %d bytes", ErrDamaged, len(value))
		}
		root := n.Uint64(value)
		switch {
		case root != 0 && level == 0:
			err = c.tree(root, depth+1, level+1, keys{})
		case root != 0 && c.deep:
			err = c.recordPage(root)
		case root != 0:
			// A record's own pages: read, with their checksum, when it is asked for.
			err = c.mark(root, 1)
		case len(value) < 16+PageHead:
			err = fmt.Errorf("%w: inlined bucket of %d bytes", ErrDamaged, len(value))
		default:
			inline := value[16:]
			if n.Uint16(inline[8:]) != LeafFlag {
				return fmt.Errorf("%w: inlined bucket of no kind", ErrDamaged)
			}
			err = c.leaf(inline, PageHeader{LeafFlag, n.Uint16(inline[10:])}, depth+1, level+1, keys{})
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// recordPage checks the head of a record's own pages and marks them.
func (c *Pages) recordPage(id uint64) error {
	var b [PageHead]byte
	if id < 2 || id >= c.end {
		return fmt.Errorf("%w: page %d of %d", ErrDamaged, id, c.end)
	}
	if _, err := c.f.ReadAt(b[:], int64(id)*PageSize); err != nil {
		return fmt.Errorf("%w: page %d: %w", ErrDamaged, id, err)
	}
	n := binary.NativeEndian
	if n.Uint64(b[:]) != id || n.Uint16(b[8:]) != LeafFlag || n.Uint16(b[10:]) != 1 {
		return fmt.Errorf("%w: page %d is not that of a record", ErrDamaged, id)
	}
	return c.mark(id, 1+uint64(n.Uint32(b[12:])))
}
