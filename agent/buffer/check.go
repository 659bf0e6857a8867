package buffer

import (
	"encoding/binary"
	"fmt"
	"hash/fnv"
	"io"
	"os"
)

// The parts of bbolt's file format that are looked at before bbolt itself sees a
// file, because it answers damage with a panic, or by following a circle of pages
// until memory ends. Numbers are in the machine's byte order.
const (
	pageSize     = 4096
	pageHead     = 16 // id (8), flags (2), count (2), overflow (4)
	leafEntry    = 16 // flags (4), offset (4), key length (4), value length (4)
	branchEntry  = 16 // offset (4), key length (4), page (8)
	metaLength   = 64
	metaMagic    = 0xED0CDAED
	metaVersion  = 2
	branchFlag   = 0x01
	leafFlag     = 0x02
	freelistFlag = 0x10
	bucketFlag   = 0x01
	maxDepth     = 32 // of pages in one tree
)

// boltMeta is a meta page: the root of everything at one transaction.
type boltMeta struct {
	root, freelist, end, txid uint64 // pages; end is the first unused one
}

// checkMeta returns an error that wraps errDamaged when the file has no meta page
// that bbolt would accept, or is shorter than it says.
func checkMeta(path string) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	_, err = readMeta(f)
	return err
}

func readMeta(f *os.File) (boltMeta, error) {
	var best boltMeta
	info, err := f.Stat()
	if err != nil {
		return best, err
	}
	found := false
	for i := range int64(2) {
		var page [pageHead + metaLength]byte
		if _, err := f.ReadAt(page[:], i*pageSize); err != nil {
			if err == io.EOF {
				continue
			}
			return best, err
		}
		if m, ok := parseMeta(page[pageHead:]); ok && (!found || m.txid > best.txid) {
			best, found = m, true
		}
	}
	switch {
	case !found:
		return best, fmt.Errorf("%w: no valid meta page", errDamaged)
	case int64(best.end) > info.Size()/pageSize:
		return best, fmt.Errorf("%w: cut off after %d of %d pages", errDamaged, info.Size()/pageSize, best.end)
	case best.root < 2 || best.root >= best.end || best.freelist < 2 || best.freelist >= best.end:
		return best, fmt.Errorf("%w: roots outside of the file", errDamaged)
	}
	return best, nil
}

// parseMeta reads a meta page: magic, version, page size, flags (4 each), root,
// sequence, freelist, end, transaction, FNV-1a of all that (8 each).
func parseMeta(b []byte) (boltMeta, bool) {
	n := binary.NativeEndian
	h := fnv.New64a()
	h.Write(b[:56])
	if n.Uint32(b) != metaMagic || n.Uint32(b[4:]) != metaVersion || n.Uint32(b[8:]) != pageSize ||
		n.Uint64(b[56:]) != h.Sum64() {
		return boltMeta{}, false
	}
	return boltMeta{root: n.Uint64(b[16:]), freelist: n.Uint64(b[32:]), end: n.Uint64(b[40:]), txid: n.Uint64(b[48:])}, true
}

// checkTree returns an error that wraps errDamaged when the trees of a closed file
// are not sound: pages that are not where they should be, are in two trees, or hold
// what lies outside of them. It reads the pages of the index only; the records have
// checksums of their own.
func checkTree(path string) error { return (&checker{}).check(path) }

// checkRecords is checkTree for a record file: both meta pages must be there, since the
// one that is not may have been the newer. With deep it also looks at the heads of the
// pages that records have of their own.
func checkRecords(path string, deep bool) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	_, ok := bothMetas(f)
	_ = f.Close() // was only read
	if !ok {
		return fmt.Errorf("%w: a meta page does not read back", errDamaged)
	}
	return (&checker{deep: deep}).check(path)
}

func (c *checker) check(path string) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	m, err := readMeta(f)
	if err != nil {
		return err
	}
	c.f, c.end, c.seen = f, m.end, make([]uint64, m.end/64+1)
	free, head, err := c.page(m.freelist)
	if err != nil {
		return err
	}
	if head.flags != freelistFlag {
		return fmt.Errorf("%w: page %d is not the free list", errDamaged, m.freelist)
	}
	if err := c.freelist(free, head); err != nil {
		return err
	}
	return c.tree(m.root, 0, 0)
}

type checker struct {
	f    *os.File
	end  uint64
	seen []uint64 // one bit a page
	deep bool     // look at the records' own pages too
}

type pageHeader struct{ flags, count uint16 }

// mark notes that n pages from id on are in use, once.
func (c *checker) mark(id, n uint64) error {
	if id < 2 || id >= c.end || n > c.end-id {
		return fmt.Errorf("%w: page %d of %d", errDamaged, id, c.end)
	}
	for p := id; p < id+n; p++ {
		if c.seen[p/64]&(1<<(p%64)) != 0 {
			return fmt.Errorf("%w: page %d is used twice", errDamaged, p)
		}
		c.seen[p/64] |= 1 << (p % 64)
	}
	return nil
}

// page reads a page with its overflow and marks it.
func (c *checker) page(id uint64) ([]byte, pageHeader, error) {
	var h pageHeader
	if id < 2 || id >= c.end {
		return nil, h, fmt.Errorf("%w: page %d of %d", errDamaged, id, c.end)
	}
	b := make([]byte, pageSize)
	if _, err := c.f.ReadAt(b, int64(id)*pageSize); err != nil {
		return nil, h, fmt.Errorf("%w: page %d: %w", errDamaged, id, err)
	}
	n := binary.NativeEndian
	if n.Uint64(b) != id {
		return nil, h, fmt.Errorf("%w: page %d says it is %d", errDamaged, id, n.Uint64(b))
	}
	h = pageHeader{n.Uint16(b[8:]), n.Uint16(b[10:])}
	overflow := uint64(n.Uint32(b[12:]))
	if err := c.mark(id, 1+overflow); err != nil {
		return nil, h, err
	}
	if overflow > 0 {
		b = append(b, make([]byte, overflow*pageSize)...)
		if _, err := c.f.ReadAt(b[pageSize:], int64(id+1)*pageSize); err != nil {
			return nil, h, fmt.Errorf("%w: page %d: %w", errDamaged, id, err)
		}
	}
	return b, h, nil
}

// freelist checks that the pages named free are in the file and in no tree.
func (c *checker) freelist(b []byte, h pageHeader) error {
	n := binary.NativeEndian
	at, count := pageHead, uint64(h.count)
	if h.count == 0xFFFF {
		count, at = n.Uint64(b[at:]), at+8
	}
	if count > uint64(len(b)-at)/8 {
		return fmt.Errorf("%w: free list of %d pages", errDamaged, count)
	}
	for ; count > 0; count-- {
		if err := c.mark(n.Uint64(b[at:]), 1); err != nil {
			return err
		}
		at += 8
	}
	return nil
}

// tree checks the pages of one bucket, and of the buckets in it down to the one
// that holds the records (level 1).
func (c *checker) tree(id uint64, depth, level int) error {
	if depth > maxDepth {
		return fmt.Errorf("%w: pages nested too deep", errDamaged)
	}
	b, h, err := c.page(id)
	if err != nil {
		return err
	}
	switch {
	case h.flags == branchFlag && h.count > 0:
		for i := range int(h.count) {
			child, err := branchElement(b, i)
			if err != nil {
				return err
			}
			if err := c.tree(child, depth+1, level); err != nil {
				return err
			}
		}
		return nil
	case h.flags == leafFlag:
		return c.leaf(b, h, depth, level)
	}
	return fmt.Errorf("%w: page %d is of no kind", errDamaged, id)
}

// leaf checks the elements of a leaf page, which may lie inside another one.
func (c *checker) leaf(b []byte, h pageHeader, depth, level int) error {
	n := binary.NativeEndian
	for i := range int(h.count) {
		flags, value, err := leafElement(b, i)
		if err != nil {
			return err
		}
		if flags&bucketFlag == 0 {
			continue
		}
		if len(value) < 16 {
			return fmt.Errorf("%w: bucket of %d bytes", errDamaged, len(value))
		}
		root := n.Uint64(value)
		switch {
		case root != 0 && level == 0:
			err = c.tree(root, depth+1, level+1)
		case root != 0 && c.deep:
			err = c.recordPage(root)
		case root != 0:
			// A record's own pages: read, with their checksum, when it is asked for.
			err = c.mark(root, 1)
		case len(value) < 16+pageHead:
			err = fmt.Errorf("%w: inlined bucket of %d bytes", errDamaged, len(value))
		default:
			inline := value[16:]
			if n.Uint16(inline[8:]) != leafFlag {
				return fmt.Errorf("%w: inlined bucket of no kind", errDamaged)
			}
			err = c.leaf(inline, pageHeader{leafFlag, n.Uint16(inline[10:])}, depth+1, level+1)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// recordPage checks the head of a record's own pages and marks them.
func (c *checker) recordPage(id uint64) error {
	var b [pageHead]byte
	if id < 2 || id >= c.end {
		return fmt.Errorf("%w: page %d of %d", errDamaged, id, c.end)
	}
	if _, err := c.f.ReadAt(b[:], int64(id)*pageSize); err != nil {
		return fmt.Errorf("%w: page %d: %w", errDamaged, id, err)
	}
	n := binary.NativeEndian
	if n.Uint64(b[:]) != id || n.Uint16(b[8:]) != leafFlag || n.Uint16(b[10:]) != 1 {
		return fmt.Errorf("%w: page %d is not that of a record", errDamaged, id)
	}
	return c.mark(id, 1+uint64(n.Uint32(b[12:])))
}

func branchElement(b []byte, i int) (child uint64, err error) {
	at := pageHead + i*branchEntry
	if at+branchEntry > len(b) {
		return 0, fmt.Errorf("%w: branch element %d", errDamaged, i)
	}
	n := binary.NativeEndian
	start, size := uint64(at)+uint64(n.Uint32(b[at:])), uint64(n.Uint32(b[at+4:]))
	if start+size > uint64(len(b)) {
		return 0, fmt.Errorf("%w: branch element %d", errDamaged, i)
	}
	return n.Uint64(b[at+8:]), nil
}

func leafElement(b []byte, i int) (flags uint32, value []byte, err error) {
	at := pageHead + i*leafEntry
	if at+leafEntry > len(b) {
		return 0, nil, fmt.Errorf("%w: leaf element %d", errDamaged, i)
	}
	n := binary.NativeEndian
	start := uint64(at) + uint64(n.Uint32(b[at+4:]))
	key, size := uint64(n.Uint32(b[at+8:])), uint64(n.Uint32(b[at+12:]))
	if start+key+size > uint64(len(b)) {
		return 0, nil, fmt.Errorf("%w: leaf element %d", errDamaged, i)
	}
	return n.Uint32(b[at:]), b[start+key : start+key+size], nil
}
