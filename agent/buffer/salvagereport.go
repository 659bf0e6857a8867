package buffer

import (
	"bytes"
	"encoding/binary"

	"andon.internal/shared/ranges"
)

// request is what the process that looks at a file is asked. It goes there as gob.
type request struct {
	Path  string
	To    string   // where the records that read back are to go; empty: the file is only checked
	Owner [16]byte // whose files are taken, of another's nothing is; zero where that is not known
	Known []Epoch  // where a file does not say whose it is, only records of these are taken
	Limit int64    // ns; the process ends itself then, also where nobody waits for it any more
}

// answer is what it answers.
type answer struct {
	Damage  string   // empty when the file was checked and is sound
	Fault   string   // why the records could not be salvaged, other than their damage
	Full    bool     // for lack of room on the disk
	Foreign bool     // the file is another buffer's
	Owner   [16]byte // whose a damaged file is, by what it says; zero where it does not
	Report  report
}

// report is what a damaged file held, as far as that can be read. Sets are as text.
type report struct {
	Counts  map[Epoch]reportCount // nil when not all of them read back
	Names   map[Epoch]string      // that the index of the file has
	Saved   map[Epoch]string      // of the records that read back
	Gaps    map[Epoch]string      // in which names of the index do not read back; empty: anywhere
	Stale   bool                  // the file was written after what Counts and Names say
	Sure    bool                  // Names is all that there was
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

// report says what was found.
func (s *salvager) report() report {
	r := report{Stale: s.stale, Sure: s.sure(), Names: texts(s.names), Saved: texts(s.saved), Gaps: map[Epoch]string{}}
	if s.counts != nil {
		r.Counts = map[Epoch]reportCount{}
		for e, n := range s.counts {
			r.Counts[e] = reportCount{n.next, n.records, n.fits(setFor(s.saved, e))}
			if set := gapsOf(s.gaps, e, n.next); !set.Empty() {
				r.Gaps[e] = set.String()
			}
		}
	}
	if s.cursors != nil && !s.stale {
		r.Whole, r.Cursors = true, map[string]reportCursor{}
		for name, c := range s.cursors {
			r.Cursors[name] = reportCursor{c.generation, c.data}
		}
	}
	return r
}

func texts(sets map[Epoch]*ranges.Set) map[Epoch]string {
	out := map[Epoch]string{}
	for e, set := range sets {
		out[e] = set.String()
	}
	return out
}

// gapsOf is which positions of an epoch, below next, lie in gaps.
func gapsOf(gaps []gap, e Epoch, next uint64) (out ranges.Set) {
	first := recordKey(Key{Epoch: e})
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
