// Package ranges holds sets of positions as sorted half-open ranges.
//
// Both ends of the flow speak in them: the buffer of what it still holds, the
// collector of what is committed. The text form, "[0,140)[150,160)", is that of a
// PostgreSQL multirange without braces and commas between ranges.
package ranges

import (
	"cmp"
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// MaxPosition is the highest position: positions fit a PostgreSQL bigint, and the
// end of a range too.
const MaxPosition = 1<<63 - 2

// Range is the positions From <= p < To.
type Range struct{ From, To uint64 }

// Set is a set of positions: sorted, non-empty ranges that neither overlap nor
// touch. The zero Set is empty and ready for use. A Set is not safe for concurrent
// use while it changes; Add and Remove never change a Set made by Clone.
type Set struct{ r []Range }

// Of returns the set of the given ranges, in any order, repeated, overlapping or
// empty.
func Of(list ...Range) Set {
	var s Set
	for _, r := range list {
		s.Add(r.From, r.To)
	}
	return s
}

// Add puts the positions [from, to) into the set. It returns how many were new.
func (s *Set) Add(from, to uint64) uint64 {
	if from >= to {
		return 0
	}
	// Most positions come in order: extend the last range.
	if n := len(s.r); n > 0 && s.r[n-1].From <= from && from <= s.r[n-1].To {
		last := &s.r[n-1]
		if to <= last.To {
			return 0
		}
		added := to - last.To
		last.To = to
		return added
	}
	// i is the first range that ends at or after from; j the first beyond to.
	i, _ := slices.BinarySearchFunc(s.r, from, func(r Range, p uint64) int {
		if r.To < p {
			return -1
		}
		return 1
	})
	j, merged, covered := i, Range{from, to}, uint64(0)
	for ; j < len(s.r) && s.r[j].From <= to; j++ {
		covered += min(s.r[j].To, to) - min(max(s.r[j].From, from), min(s.r[j].To, to))
		merged.From = min(merged.From, s.r[j].From)
		merged.To = max(merged.To, s.r[j].To)
	}
	s.r = slices.Replace(s.r, i, j, merged)
	return to - from - covered
}

// Remove takes the positions [from, to) out of the set. It returns how many were in it.
func (s *Set) Remove(from, to uint64) uint64 {
	if from >= to {
		return 0
	}
	i, _ := slices.BinarySearchFunc(s.r, from, func(r Range, p uint64) int {
		if r.To <= p {
			return -1
		}
		return 1
	})
	var keep [2]Range
	kept, removed, j := keep[:0], uint64(0), i
	for ; j < len(s.r) && s.r[j].From < to; j++ {
		r := s.r[j]
		removed += min(r.To, to) - max(r.From, from)
		if r.From < from {
			kept = append(kept, Range{r.From, from})
		}
		if r.To > to {
			kept = append(kept, Range{to, r.To})
		}
	}
	if i != j {
		s.r = slices.Replace(s.r, i, j, kept...)
	}
	return removed
}

// AddSet puts every position of o into the set and returns how many were new.
func (s *Set) AddSet(o Set) uint64 {
	var added uint64
	for _, r := range o.r {
		added += s.Add(r.From, r.To)
	}
	return added
}

// RemoveSet takes every position of o out of the set and returns how many were in it.
func (s *Set) RemoveSet(o Set) uint64 {
	var removed uint64
	for _, r := range slices.Backward(o.r) { // from the end, so that o may be s itself
		removed += s.Remove(r.From, r.To)
	}
	return removed
}

// Contains reports whether p is in the set.
func (s Set) Contains(p uint64) bool {
	r, ok := s.Next(p)
	return ok && r.From <= p
}

// Next returns the first range that ends after p.
func (s Set) Next(p uint64) (Range, bool) {
	i, _ := slices.BinarySearchFunc(s.r, p, func(r Range, p uint64) int {
		if r.To <= p {
			return -1
		}
		return 1
	})
	if i == len(s.r) {
		return Range{}, false
	}
	return s.r[i], true
}

// Intersect returns the positions that are in both sets.
func (s Set) Intersect(o Set) Set {
	var out Set
	for i, j := 0, 0; i < len(s.r) && j < len(o.r); {
		out.Add(max(s.r[i].From, o.r[j].From), min(s.r[i].To, o.r[j].To))
		if s.r[i].To < o.r[j].To {
			i++
		} else {
			j++
		}
	}
	return out
}

// Holes returns the positions below the set's end that are not in it.
func (s Set) Holes() Set {
	var out Set
	var at uint64
	for _, r := range s.r {
		out.Add(at, r.From)
		at = r.To
	}
	return out
}

// Ranges returns the ranges in order. The slice must not be changed.
func (s Set) Ranges() []Range { return s.r }

// Len returns the number of positions.
func (s Set) Len() uint64 {
	var n uint64
	for _, r := range s.r {
		n += r.To - r.From
	}
	return n
}

// Empty reports whether no position is in the set.
func (s Set) Empty() bool { return len(s.r) == 0 }

// End returns the position after the highest one, or 0 for an empty set.
func (s Set) End() uint64 {
	if len(s.r) == 0 {
		return 0
	}
	return s.r[len(s.r)-1].To
}

// Clone returns a copy that shares nothing with s.
func (s Set) Clone() Set { return Set{slices.Clone(s.r)} }

// Equal reports whether both sets hold the same positions.
func (s Set) Equal(o Set) bool { return slices.Equal(s.r, o.r) }

// String returns the text form; an empty set is "".
func (s Set) String() string {
	var b []byte
	for _, r := range s.r {
		b = append(b, '[')
		b = strconv.AppendUint(b, r.From, 10)
		b = append(b, ',')
		b = strconv.AppendUint(b, r.To, 10)
		b = append(b, ')')
	}
	return string(b)
}

// Parse reads the text form. It takes ranges in any order and refuses more than
// limit of them, empty ranges and positions above [MaxPosition].
func Parse(text string, limit int) (Set, error) {
	var all []Range
	for n := 0; text != ""; n++ {
		if n == limit {
			return Set{}, fmt.Errorf("more than %d ranges of positions", limit)
		}
		end := strings.IndexByte(text, ')')
		if end < 0 || text[0] != '[' {
			return Set{}, fmt.Errorf("%q is not a range of positions such as [0,140)", clip(text))
		}
		from, to, _ := strings.Cut(text[1:end], ",")
		a, err1 := strconv.ParseUint(from, 10, 64)
		b, err2 := strconv.ParseUint(to, 10, 64)
		if err1 != nil || err2 != nil || a >= b || b > MaxPosition+1 {
			return Set{}, fmt.Errorf("%q is not a range of positions such as [0,140)", clip(text[:end+1]))
		}
		all = append(all, Range{a, b})
		text = text[end+1:]
	}
	// In order, each is added at the end: before others it would move all of them.
	slices.SortFunc(all, func(a, b Range) int { return cmp.Compare(a.From, b.From) })
	return Of(all...), nil
}

func clip(s string) string {
	if len(s) > 60 {
		return s[:60] + "..."
	}
	return s
}
