package buffer

import (
	"slices"

	"andon.internal/shared/ranges"
)

// index knows which records are held, and where each lies. It does no I/O and is not
// safe for concurrent use: the buffer around it locks. It keeps ranges of positions,
// not records: a record on disk costs nothing while its neighbours are there too.
type index struct {
	epochs []*epoch // the chain, oldest first; the last is the current one
	byID   map[Epoch]*epoch
	files  []*file // in the order in which they were made

	queue       []*entry // in memory only, in the order of their serials
	cached      []*entry // on disk, and in memory while there is room; some are gone
	inCache     int      // how many of them are not
	serial      uint64
	aheadQueued int   // of the queue, how many wait for the disk to become visible; also cursors
	unwritten   tally // of the records that are queued or being written
	memory      int64 // bytes of all entries
	cacheSize   int64 // bytes of the cached ones

	used   int64 // bytes of pages of all records on disk that are not to be deleted
	doomed int64 // of these, what is deleted once a loss record that waits is safe
}

// epoch is what the buffer knows of an epoch.
type epoch struct {
	link
	held    ranges.Set        // visible and not acknowledged
	kept    uint64            // acknowledged and retained
	acked   ranges.Set        // acknowledged to this process, retained or not
	mem     map[uint64]*entry // records whose bytes are in memory
	hidden  []*entry          // not visible yet, in the order of their positions
	marks   marks             // when its positions were assigned
	settled bool              // the collector knows how it ended
}

// file is a record file and what lies in it.
type file struct {
	*handle
	name   string // as it was made; it stays when the file is sealed, and its path does not
	holds  map[Epoch]*holding
	size   int64  // of the part in use
	sealed bool   // not written any more
	fresh  bool   // nothing is in it yet
	full   bool   // a transaction found no place in it, and nothing was deleted since
	home   bool   // it is the active one, and has all cursors
	fault  *fault // why it does not open now; nil while it does
}

// holding is the records of one epoch in one file. Each of them is in one set.
type holding struct {
	live  ranges.Set // not acknowledged
	kept  ranges.Set // acknowledged, retained
	dead  ranges.Set // to be deleted
	bad   ranges.Set // does not read back; dead when the loss is safe
	doubt ranges.Set // in none of these, but may be there: their transaction failed
	newer ranges.Set // of these, or of before: in a form that this version does not know
	tally tally      // of all of them, as counted in the file
	gone  uint64     // how many are dead
}

func newIndex() index { return index{byID: map[Epoch]*epoch{}} }

func newEpoch(l link) *epoch { return &epoch{link: l, mem: map[uint64]*entry{}} }

func (x *index) current() *epoch { return x.epochs[len(x.epochs)-1] }

func (x *index) addEpoch(ep *epoch) {
	x.epochs = append(x.epochs, ep)
	x.byID[ep.id] = ep
}

// cut moves the positions of r that are in s into to (unless nil) and returns how
// many there were.
func cut(s *ranges.Set, r ranges.Range, to *ranges.Set) uint64 {
	var n uint64
	for at := r.From; at < r.To; {
		part, ok := s.Next(at)
		if !ok || part.From >= r.To {
			break
		}
		part.From, part.To = max(part.From, r.From), min(part.To, r.To)
		n += s.Remove(part.From, part.To)
		if to != nil {
			to.Add(part.From, part.To)
		}
		at = part.To
	}
	return n
}

// occupied is the space of the records that are not dead, about.
func (h *holding) occupied() int64 {
	if h.tally.Records == 0 {
		return 0
	}
	return int64(float64(h.tally.Space) * float64(h.tally.Records-min(h.gone, h.tally.Records)) / float64(h.tally.Records))
}

// change runs fn, which changes h, and keeps the sum of the space in use.
func (x *index) change(h *holding, fn func()) {
	x.used -= h.occupied()
	fn()
	x.used += h.occupied()
}

// holding returns what the file holds of an epoch, made if it is not there.
func (f *file) holding(e Epoch) *holding {
	h := f.holds[e]
	if h == nil {
		h = &holding{}
		f.holds[e] = h
	}
	return h
}

// done reports whether nothing in the file is needed any more.
func (f *file) done() bool {
	for _, h := range f.holds {
		if !h.bad.Empty() {
			return false
		}
	}
	return !f.holdsSome()
}

// holdsSome reports whether records in the file are held or retained.
func (f *file) holdsSome() bool {
	for _, h := range f.holds {
		if !h.live.Empty() || !h.kept.Empty() {
			return true
		}
	}
	return false
}

// space is what the file's records take, dead ones too.
func (f *file) space() int64 {
	var n int64
	for _, h := range f.holds {
		n += int64(h.tally.Space)
	}
	return n
}

// sizes returns the size of all files, and how much of it dead records take that can
// be deleted.
func (x *index) sizes() (size, dead int64) {
	for _, f := range x.files {
		size += f.size
		if f.sealed && !f.done() {
			continue
		}
		for _, h := range f.holds {
			dead += int64(h.tally.Space) - h.occupied()
		}
	}
	return size, dead
}

// where returns a file in which the record is live, if there is one, and one in which it can
// be read before others.
func (x *index) where(k Key) (found *file) {
	for _, f := range x.files {
		if h := f.holds[k.Epoch]; h != nil && h.live.Contains(k.Position) {
			if f.opens(k) {
				return f
			}
			found = f
		}
	}
	return found
}

// removeFile takes a file out of the index. It counts for nothing from then on, whatever is
// still noted of its records.
func (x *index) removeFile(f *file) {
	for _, h := range f.holds {
		x.change(h, func() { h.tally = tally{} })
	}
	x.files = slices.DeleteFunc(x.files, func(other *file) bool { return other == f })
}

// next returns the first visible record behind after, or from the very first on; of
// the current epoch from position live on, when that is asked for.
func (x *index) next(after *Key, live *uint64) (Key, bool) {
	i, from := 0, uint64(0)
	if after != nil {
		for j, ep := range x.epochs {
			if ep.id == after.Epoch {
				i, from = j, after.Position+1
			}
		}
	}
	if live != nil {
		if last := len(x.epochs) - 1; i != last {
			i, from = last, 0
		}
		from = max(from, *live)
	}
	for ; i < len(x.epochs); i, from = i+1, 0 {
		if r, ok := x.epochs[i].held.Next(from); ok {
			return Key{Epoch: x.epochs[i].id, Position: max(r.From, from)}, true
		}
	}
	return Key{}, false
}

// ack takes the visible positions of s out of what is held, and returns them and
// how many of them never reached the disk.
func (x *index) ack(ep *epoch, s ranges.Set, retain bool) (got ranges.Set, unwritten int) {
	for _, r := range s.Ranges() {
		cut(&ep.held, r, &got)
	}
	if got.Empty() {
		return got, 0
	}
	if uint64(len(ep.mem)) < got.Len() {
		for p, e := range ep.mem {
			if got.Contains(p) && x.drop(ep, e) {
				unwritten++
			}
		}
	} else {
		for _, r := range got.Ranges() {
			for p := r.From; p < r.To; p++ {
				if e := ep.mem[p]; e != nil && x.drop(ep, e) {
					unwritten++
				}
			}
		}
	}
	for _, f := range x.files {
		h := f.holds[ep.id]
		if h == nil {
			continue
		}
		x.change(h, func() {
			for _, r := range got.Ranges() {
				if retain {
					ep.kept += cut(&h.live, r, &h.kept)
				} else {
					h.gone += cut(&h.live, r, &h.dead)
				}
			}
		})
	}
	return got, unwritten
}

// settleLoss lets go of what a loss record stands for, now that the record itself
// is on disk or acknowledged.
func (x *index) settleLoss(e *entry) {
	if e.bury == nil {
		return
	}
	for _, f := range x.files {
		if h := f.holds[e.bury.Epoch]; h != nil {
			x.change(h, func() { h.gone += cut(&h.bad, ranges.Range{From: e.bury.From, To: e.bury.To}, &h.dead) })
		}
	}
	x.doomed -= e.doomed
	e.bury, e.doomed = nil, 0
}
