package salvage

import (
	"bytes"
	"encoding/binary"
	"math"

	"andon.internal/agent/buffer/internal/format"
	"andon.internal/shared/ranges"
)

// Request is what the process that looks at a file is asked. It goes there as gob.
type Request struct {
	Path  string
	To    string                  // where the records that read back are to go; empty: the file is only checked
	Owner [16]byte                // whose files are taken, of another's nothing is; zero where that is not known
	Known []format.Epoch          // where a file does not say whose it is, only records of these are taken
	Have  map[format.Epoch]string // as text: records that are in sound files, and need not go to the new one
	Limit int64                   // ns; the process ends itself then, also where nobody waits for it any more
}

// Answer is what it answers.
type Answer struct {
	Damage  string   // empty when the file was checked and is sound
	Fault   string   // why the records could not be salvaged, other than their damage
	Full    bool     // for lack of room on the disk
	Foreign bool     // the file is another buffer's
	Owner   [16]byte // whose a damaged file is, by what it says; zero where it does not
	Report  Report
}

// Report is what a damaged file held, as far as that can be read. Sets are as text.
type Report struct {
	Counts  map[format.Epoch]reportCount // nil when not all of them read back
	Names   map[format.Epoch]string      // that the index of the file has
	Saved   map[format.Epoch]string      // of the records that read back
	Gaps    map[format.Epoch]string      // in which names of the index do not read back; empty: anywhere
	Stale   bool                         // the file was written after what Counts and Names say
	Sure    bool                         // Names is all that there was
	Cursors map[string]reportCursor
	Whole   bool // Cursors is all that there were
}

// reportCount is the count of an epoch. All: the records that read back are exactly those.
type reportCount struct {
	Next, Records uint64
	All           bool
}

type reportCursor struct {
	Generation uint64
	Data       []byte
}

// Report says what was found.
func (s *salvager) report() Report {
	r := Report{Stale: s.stale, Sure: s.sure(), Names: Texts(s.names), Saved: Texts(s.saved), Gaps: map[format.Epoch]string{}}
	if s.counts != nil {
		r.Counts = map[format.Epoch]reportCount{}
		for e, n := range s.counts {
			r.Counts[e] = reportCount{n.Next, n.Records, n.Fits(setFor(s.saved, e))}
			if set := gapsOf(s.gaps, e, n.Next); !set.Empty() {
				r.Gaps[e] = set.String()
			}
		}
	}
	if s.cursors != nil && !s.stale {
		r.Whole, r.Cursors = true, map[string]reportCursor{}
		for name, c := range s.cursors {
			r.Cursors[name] = reportCursor{c.Generation, c.Data}
		}
	}
	return r
}

// Texts writes sets as text, which [SetOf] reads.
func Texts(sets map[format.Epoch]*ranges.Set) map[format.Epoch]string {
	out := map[format.Epoch]string{}
	for e, set := range sets {
		out[e] = set.String()
	}
	return out
}

// gapsOf is which positions of an epoch, below next, lie in gaps.
func gapsOf(gaps []gap, e format.Epoch, next uint64) (out ranges.Set) {
	first := format.RecordKey(format.Key{Epoch: e})
	for _, g := range gaps {
		from, to := uint64(0), next
		if len(g.from) >= len(e) {
			switch c := bytes.Compare(g.from[:len(e)], e[:]); {
			case c > 0:
				continue
			case c == 0 && len(g.from) == len(first):
				from = binary.BigEndian.Uint64(g.from[len(e):])
			}
		}
		if len(g.to) >= len(e) {
			switch c := bytes.Compare(g.to[:len(e)], e[:]); {
			case c < 0:
				continue
			case c == 0 && len(g.to) == len(first):
				to = min(to, binary.BigEndian.Uint64(g.to[len(e):]))
			}
		}
		if from < to {
			out.Add(from, to)
		}
	}
	return out
}

// AllCursors returns those of a damaged file; nil where that is not all that there were.
func (r *Report) AllCursors() map[string]format.Cursor {
	if !r.Whole {
		return nil
	}
	out := map[string]format.Cursor{}
	for name, c := range r.Cursors {
		out[name] = format.Cursor{Generation: c.Generation, Data: c.Data}
	}
	return out
}

// SetOf reads a set of a report.
func SetOf(text string) ranges.Set {
	set, err := ranges.Parse(text, math.MaxInt32)
	if err != nil {
		return ranges.Set{}
	}
	return set
}

// Lost returns positions of an epoch of which so many records were in a damaged file
// and did not read back, given its counts. Where the index is not whole, what reads back
// may be more than what was there, of records that were deleted.
func (r *Report) Lost(e format.Epoch) (set ranges.Set, records uint64) {
	n := r.Counts[e]
	if n.All {
		return set, 0
	}
	saved := SetOf(r.Saved[e])
	if set = SetOf(r.Names[e]); r.Sure {
		set.RemoveSet(saved)
		return set, set.Len()
	}
	if gaps := SetOf(r.Gaps[e]); !gaps.Empty() {
		set.AddSet(gaps)
	} else {
		set = ranges.Of(ranges.Range{To: n.Next})
	}
	set.RemoveSet(saved)
	return set, max(n.Records, saved.Len()+1) - saved.Len()
}
