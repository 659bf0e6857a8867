package format

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
	PageSize     = 4096
	PageHead     = 16 // id (8), flags (2), count (2), overflow (4)
	LeafEntry    = 16 // flags (4), offset (4), key length (4), value length (4)
	BranchEntry  = 16 // offset (4), key length (4), page (8)
	MetaLength   = 64
	BranchFlag   = 0x01 // kinds of pages
	LeafFlag     = 0x02
	FreelistFlag = 0x10
	BucketFlag   = 0x01 // of an element that is a bucket
	MaxDepth     = 32   // of pages in one tree

	metaMagic   = 0xED0CDAED
	metaVersion = 2
)

// BoltMeta is a meta page: the root of everything at one transaction.
type BoltMeta struct {
	Root, Freelist, end, Txid uint64 // pages; end is the first unused one
}

// CheckMeta returns an error that wraps ErrDamaged when the file has no meta page
// that bbolt would accept, or is shorter than it says.
func CheckMeta(path string) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	_, err = ReadMeta(f)
	return err
}

// ReadMeta returns the newer meta page of those that read back. The error wraps ErrDamaged when
// there is none, or the file is shorter than it says.
func ReadMeta(f *os.File) (BoltMeta, error) {
	var best BoltMeta
	info, err := f.Stat()
	if err != nil {
		return best, err
	}
	found := false
	for i := range int64(2) {
		var page [PageHead + MetaLength]byte
		if _, err := f.ReadAt(page[:], i*PageSize); err != nil {
			if err == io.EOF {
				continue
			}
			return best, err
		}
		if m, ok := ParseMeta(page[PageHead:]); ok && (!found || m.Txid > best.Txid) {
			best, found = m, true
		}
	}
	switch {
	case !found:
		return best, fmt.Errorf("%w: no valid meta page", ErrDamaged)
	case int64(best.end) > info.Size()/PageSize:
		return best, fmt.Errorf("%w: cut off after %d of %d pages", ErrDamaged, info.Size()/PageSize, best.end)
	case best.Root < 2 || best.Root >= best.end || best.Freelist < 2 || best.Freelist >= best.end:
		return best, fmt.Errorf("%w: roots outside of the file", ErrDamaged)
	}
	return best, nil
}

// BothMetas returns the newer meta page. Where only one of them reads back, the other
// may have been the newer, and what the file says is not the latest.
func BothMetas(f *os.File) (newest BoltMeta, ok bool) {
	for i := range int64(2) {
		var page [PageHead + MetaLength]byte
		if _, err := f.ReadAt(page[:], i*PageSize); err != nil {
			return newest, false
		}
		m, ok := ParseMeta(page[PageHead:])
		if !ok {
			return newest, false
		}
		if i == 0 || m.Txid > newest.Txid {
			newest = m
		}
	}
	return newest, true
}

// ParseMeta reads a meta page: magic, version, page size, flags (4 each), root,
// sequence, freelist, end, transaction, FNV-1a of all that (8 each).
func ParseMeta(b []byte) (BoltMeta, bool) {
	n := binary.NativeEndian
	h := fnv.New64a()
	h.Write(b[:56])
	if n.Uint32(b) != metaMagic || n.Uint32(b[4:]) != metaVersion || n.Uint32(b[8:]) != PageSize ||
		n.Uint64(b[56:]) != h.Sum64() {
		return BoltMeta{}, false
	}
	return BoltMeta{Root: n.Uint64(b[16:]), Freelist: n.Uint64(b[32:]), end: n.Uint64(b[40:]), Txid: n.Uint64(b[48:])}, true
}

// Pages reads the pages of a file, each once. It is not safe for concurrent use.
type Pages struct {
	f    *os.File
	end  uint64
	seen []uint64 // one bit a page
	deep bool     // look at the records' own pages too
}

// NewPages returns one for a file of which the pages below end may be read.
func NewPages(f *os.File, end uint64) Pages {
	return Pages{f: f, end: end, seen: make([]uint64, end/64+1)}
}

// PageHeader is what the head of a page says beside its own number.
type PageHeader struct{ Flags, Count uint16 }

// mark notes that n pages from id on are in use, once.
func (c *Pages) mark(id, n uint64) error {
	if id < 2 || id >= c.end || n > c.end-id {
		return fmt.Errorf("%w: page %d of %d", ErrDamaged, id, c.end)
	}
	for p := id; p < id+n; p++ {
		if c.seen[p/64]&(1<<(p%64)) != 0 {
			return fmt.Errorf("%w: page %d is used twice", ErrDamaged, p)
		}
		c.seen[p/64] |= 1 << (p % 64)
	}
	return nil
}

// Page reads a page with its overflow and marks it.
func (c *Pages) Page(id uint64) ([]byte, PageHeader, error) {
	var h PageHeader
	if id < 2 || id >= c.end {
		return nil, h, fmt.Errorf("%w: page %d of %d", ErrDamaged, id, c.end)
	}
	b := make([]byte, PageSize)
	if _, err := c.f.ReadAt(b, int64(id)*PageSize); err != nil {
		return nil, h, fmt.Errorf("%w: page %d: %w", ErrDamaged, id, err)
	}
	n := binary.NativeEndian
	if n.Uint64(b) != id {
		return nil, h, fmt.Errorf("%w: page %d says it is %d", ErrDamaged, id, n.Uint64(b))
	}
	h = PageHeader{n.Uint16(b[8:]), n.Uint16(b[10:])}
	overflow := uint64(n.Uint32(b[12:]))
	if err := c.mark(id, 1+overflow); err != nil {
		return nil, h, err
	}
	if overflow > 0 {
		b = append(b, make([]byte, overflow*PageSize)...)
		if _, err := c.f.ReadAt(b[PageSize:], int64(id+1)*PageSize); err != nil {
			return nil, h, fmt.Errorf("%w: page %d: %w", ErrDamaged, id, err)
		}
	}
	return b, h, nil
}

// BranchElement returns the key of an element of a branch page, which is a part of b, and the
// page that it leads to.
func BranchElement(b []byte, i int) (key []byte, child uint64, err error) {
	at := PageHead + i*BranchEntry
	if at+BranchEntry > len(b) {
		return nil, 0, fmt.Errorf("%w: branch element %d", ErrDamaged, i)
	}
	n := binary.NativeEndian
	start, size := uint64(at)+uint64(n.Uint32(b[at:])), uint64(n.Uint32(b[at+4:]))
	if start+size > uint64(len(b)) {
		return nil, 0, fmt.Errorf("%w: branch element %d", ErrDamaged, i)
	}
	return b[start : start+size], n.Uint64(b[at+8:]), nil
}

// LeafElement returns an element of a leaf page; key and value are parts of b.
func LeafElement(b []byte, i int) (flags uint32, key, value []byte, err error) {
	at := PageHead + i*LeafEntry
	if at+LeafEntry > len(b) {
		return 0, nil, nil, fmt.Errorf("%w: leaf element %d", ErrDamaged, i)
	}
	n := binary.NativeEndian
	start := uint64(at) + uint64(n.Uint32(b[at+4:]))
	middle := start + uint64(n.Uint32(b[at+8:]))
	end := middle + uint64(n.Uint32(b[at+12:]))
	if end > uint64(len(b)) {
		return 0, nil, nil, fmt.Errorf("%w: leaf element %d", ErrDamaged, i)
	}
	return n.Uint32(b[at:]), b[start:middle], b[middle:end], nil
}
