package salvage

import (
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"syscall"

	"andon.internal/agent/buffer/internal/format"
	"andon.internal/shared/ranges"
)

// salvager reads a damaged file. It follows the pages itself, because the database
// answers damage with a panic or never ends; it visits each page of the index once.
type salvager struct {
	f       *os.File
	end     uint64 // pages that may be read
	used    []bool // pages that were visited, or whose record was taken
	free    []bool // nil where the list of free pages does not read back
	buckets map[string][]byte
	stale   bool // what is read may not be the latest state
	owned   bool // the file says that it is ours
	request *Request

	counts  map[format.Epoch]format.Count
	cursors map[string]format.Cursor
	names   map[format.Epoch]*ranges.Set
	saved   map[format.Epoch]*ranges.Set
	have    map[format.Epoch]ranges.Set
	gaps    []gap
	take    func(v format.Envelope) error
}

// Run reads all that still can be read of a damaged file and copies the records,
// under their own names, into a new one, which is synced when it returns.
func Run(q *Request) (a Answer) {
	err := format.Guarded(func() error {
		f, err := os.Open(q.Path)
		if err != nil {
			return err
		}
		defer f.Close()
		info, err := f.Stat()
		if err != nil {
			return err
		}
		s := &salvager{
			f: f, end: uint64(info.Size()) / format.PageSize, request: q, buckets: map[string][]byte{},
			names: map[format.Epoch]*ranges.Set{}, saved: map[format.Epoch]*ranges.Set{}, have: map[format.Epoch]ranges.Set{},
		}
		s.used = make([]bool, s.end)
		for e, text := range q.Have {
			s.have[e] = SetOf(text)
		}
		return s.run(&a)
	})
	if err != nil {
		a.Fault, a.Full = err.Error(), errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT)
	}
	return a
}

func (s *salvager) run(a *Answer) error {
	s.readRoot()
	sign, err := s.signature()
	s.owned = err == nil && sign.Owned
	owner := s.request.Owner
	if s.owned {
		a.Owner = sign.Owner
		if owner == ([16]byte{}) {
			owner = sign.Owner // the chain file is new
		}
	}
	if a.Foreign = s.owned && sign.Owner != owner; a.Foreign {
		return nil
	}
	w, err := newSalvage(s.request.To, owner)
	if err != nil {
		return err
	}
	s.take = w.put
	err = s.readAll()
	if err == nil {
		err = w.finish(s)
	}
	if err != nil {
		w.drop()
		return err
	}
	a.Report = s.report()
	return nil
}

// readFree reads which pages are free.
func (s *salvager) readFree(id uint64) {
	b, h, err := s.page(id)
	if err != nil || h.Flags != format.FreelistFlag {
		return
	}
	n := binary.NativeEndian
	at, count := format.PageHead, uint64(h.Count)
	if h.Count == 0xFFFF {
		count, at = n.Uint64(b[at:]), at+8
	}
	if count > uint64(len(b)-at)/8 {
		return
	}
	free := make([]bool, s.end)
	for ; count > 0; count-- {
		p := n.Uint64(b[at:])
		if p < 2 {
			return
		}
		if p < s.end {
			free[p] = true
		}
		at += 8
	}
	s.free = free
}

// readAll reads counts, cursors and the records of the index, and then, where the index
// is not whole, those that lie elsewhere.
func (s *salvager) readAll() error {
	s.counts, s.cursors = s.readCounts(), s.readCursors()
	var err error
	value, ok := s.buckets[string(format.RecordsBucket)]
	leaf := func(b []byte, h format.PageHeader, g gap) {
		if err == nil {
			err = s.leaf(b, h, g)
		}
	}
	switch root, inline := rootOf(value); {
	case !ok:
		s.gaps = append(s.gaps, gap{})
	case root != 0:
		s.walk(root, 0, gap{}, leaf)
	case inline == nil:
		s.gaps = append(s.gaps, gap{})
	default:
		leaf(inline, format.PageHeader{Flags: format.LeafFlag, Count: binary.NativeEndian.Uint16(inline[10:])}, gap{})
	}
	if err == nil && !(s.sure() && s.missing() == 0) {
		err = s.search()
	}
	return err
}

// accept takes a record that reads back, once, under the name that it has itself.
func (s *salvager) accept(v format.Envelope) error {
	if set := s.saved[v.Key.Epoch]; set != nil && set.Contains(v.Key.Position) || !s.mine(v.Key.Epoch) {
		return nil
	}
	addTo(s.saved, v.Key)
	if have := s.have[v.Key.Epoch]; have.Contains(v.Key.Position) {
		return nil
	}
	return s.take(v)
}

// mine reports whether records of the epoch are this buffer's.
func (s *salvager) mine(e format.Epoch) bool {
	if s.owned || len(s.request.Known) == 0 {
		return true
	}
	for _, k := range s.request.Known {
		if k == e {
			return true
		}
	}
	return false
}

func addTo(sets map[format.Epoch]*ranges.Set, k format.Key) {
	if sets[k.Epoch] == nil {
		sets[k.Epoch] = &ranges.Set{}
	}
	sets[k.Epoch].Add(k.Position, k.Position+1)
}

func setFor(sets map[format.Epoch]*ranges.Set, e format.Epoch) (set ranges.Set) {
	if sets[e] != nil {
		set = *sets[e]
	}
	return set
}

// sure reports whether the index has all names, by the counts of the file.
func (s *salvager) sure() bool {
	if s.stale || len(s.gaps) > 0 || s.counts == nil {
		return false
	}
	for e, n := range s.counts {
		if !n.Fits(setFor(s.names, e)) {
			return false
		}
	}
	for e := range s.names {
		if _, ok := s.counts[e]; !ok {
			return false
		}
	}
	return true
}

// missing is how many names of the index have no record that reads back.
func (s *salvager) missing() (n uint64) {
	for e, set := range s.names {
		left := set.Clone()
		left.RemoveSet(setFor(s.saved, e))
		n += left.Len()
	}
	return n
}

// bucket calls fn for the elements of a small bucket; an error when not all read back or
// fn did not take one.
func (s *salvager) bucket(name []byte, fn func(key, value []byte) bool) error {
	value, ok := s.buckets[string(name)]
	if !ok {
		return fmt.Errorf("%w: no bucket %s", format.ErrDamaged, name)
	}
	c := format.NewPages(s.f, s.end)
	if !c.Bucket(value, func(_ uint32, k, v []byte) bool { return fn(k, v) }) {
		return fmt.Errorf("%w: bucket %s", format.ErrDamaged, name)
	}
	return nil
}

func (s *salvager) readCounts() map[format.Epoch]format.Count {
	c := format.NewPages(s.f, s.end)
	return c.Counts(s.buckets[string(format.EpochsBucket)])
}

func (s *salvager) readCursors() map[string]format.Cursor {
	c := format.NewPages(s.f, s.end)
	return c.Cursors(s.buckets[string(format.CursorsBucket)])
}
