package salvage

import (
	"bytes"
	"encoding/binary"

	"andon.internal/agent/buffer/internal/format"
)

// gap is keys [from, to) that do not read back; nil is the end.
type gap struct{ from, to []byte }

// rootOf returns where a bucket is, given its value: a page, or inside of the value.
func rootOf(value []byte) (root uint64, inline []byte) {
	if len(value) < 16 {
		return 0, nil
	}
	if root = binary.NativeEndian.Uint64(value); root != 0 {
		return root, nil
	}
	if inline = value[16:]; len(inline) < format.PageHead || binary.NativeEndian.Uint16(inline[8:]) != format.LeafFlag {
		return 0, nil
	}
	return 0, inline
}

// page reads a page with its overflow.
func (s *salvager) page(id uint64) ([]byte, format.PageHeader, error) {
	c := format.NewPages(s.f, s.end)
	return c.Page(id)
}

// walk calls fn for the leaves of a tree of pages, and notes a gap for each page that
// does not read back.
func (s *salvager) walk(id uint64, depth int, g gap, fn func(b []byte, h format.PageHeader, g gap)) {
	if id < 2 || id >= s.end || s.used[id] || depth > format.MaxDepth {
		s.gaps = append(s.gaps, g)
		return
	}
	b, h, err := s.page(id)
	if err != nil || h.Flags != format.LeafFlag && h.Flags != format.BranchFlag {
		s.gaps = append(s.gaps, g)
		return
	}
	s.used[id] = true
	if h.Flags == format.LeafFlag {
		fn(b, h, g)
		return
	}
	for i := range int(h.Count) {
		part := g
		if i > 0 {
			part.from = branchKey(b, i)
		}
		if i+1 < int(h.Count) {
			part.to = branchKey(b, i+1)
		}
		if _, child, err := format.BranchElement(b, i); err == nil {
			s.walk(child, depth+1, part, fn)
		} else {
			s.gaps = append(s.gaps, part)
		}
	}
}

// branchKey returns the key of an element; nil where it does not read back.
func branchKey(b []byte, i int) []byte {
	key, _, err := format.BranchElement(b, i)
	if err != nil {
		return nil
	}
	return key
}

// leaf takes the records of one page of the index.
func (s *salvager) leaf(b []byte, h format.PageHeader, g gap) error {
	last := g.from
	for i := range int(h.Count) {
		_, key, value, err := format.LeafElement(b, i)
		if err != nil {
			s.gaps = append(s.gaps, g)
			return nil
		}
		k, ok := format.ParseKey(key)
		stray := !ok || bytes.Compare(key, last) < 0 || g.to != nil && bytes.Compare(key, g.to) >= 0
		if stray { // the name is another one, or what leads here is
			s.gaps = append(s.gaps, g)
		} else {
			last = key
			addTo(s.names, k)
		}
		if err := s.record(value, stray); err != nil {
			return err
		}
	}
	return nil
}

// record takes a record, given its bucket, if it reads back. A stray one is where it does not
// belong, maybe in a page from before: as in search, the database looks whether it has it.
func (s *salvager) record(bucket []byte, stray bool) error {
	root, b := rootOf(bucket)
	if root < uint64(len(s.free)) && s.free[root] {
		return nil // it was deleted: the index is from before
	}
	h := format.PageHeader{Flags: format.LeafFlag}
	if root != 0 {
		var err error
		if b, h, err = s.page(root); err != nil {
			return nil
		}
	}
	if b == nil || h.Flags != format.LeafFlag {
		return nil
	}
	_, _, data, err := format.LeafElement(b, 0)
	if err != nil {
		return nil
	}
	v, err := format.ParseEnvelope(data)
	if err != nil {
		return nil
	}
	for p := root; root != 0 && p < min(root+uint64(len(b)/format.PageSize), s.end); p++ {
		s.used[p] = true
	}
	v.Moved = v.Moved || stray
	return s.accept(v)
}
