package buffer

import (
	"slices"
	"time"
)

// marks remembers when positions were assigned: closely for the latest, more and
// more coarsely for those before, in bounded memory.
type marks struct{ list []mark }

// mark says that from this position on, positions were assigned at or after a time.
type mark struct {
	position uint64
	at       time.Time
}

const maxMarks = 1024

// add notes that a position was assigned at t. One mark is made every step.
func (m *marks) add(position uint64, t time.Time, step time.Duration) {
	if n := len(m.list); n > 0 && t.Sub(m.list[n-1].at) < step {
		return
	}
	if len(m.list) >= maxMarks {
		// Thin the older half.
		kept := m.list[:0]
		for i, k := range m.list {
			if i >= maxMarks/2 || i%2 == 0 {
				kept = append(kept, k)
			}
		}
		m.list = kept
	}
	m.list = append(m.list, mark{position, t})
}

// put notes that a position was assigned at t, where others noted for it are older.
func (m *marks) put(position uint64, t time.Time) {
	if n := len(m.list); n > 0 && m.list[n-1].position == position {
		m.list[n-1].at = t
		return
	}
	m.list = append(m.list, mark{position, t})
}

// at returns when a position was assigned, or a little before; false where that is
// not known.
func (m *marks) at(position uint64) (time.Time, bool) {
	i, found := slices.BinarySearchFunc(m.list, position, func(k mark, p uint64) int {
		if k.position < p {
			return -1
		}
		if k.position > p {
			return 1
		}
		return 0
	})
	if found {
		return m.list[i].at, true
	}
	if i == 0 {
		return time.Time{}, false
	}
	return m.list[i-1].at, true
}

// since returns the first position that was assigned after t, or up to one step
// before it; the highest there is when none was.
func (m *marks) since(t time.Time, step time.Duration) uint64 {
	from := uint64(maxPosition)
	for i := len(m.list) - 1; i >= 0 && m.list[i].at.Add(step).After(t); i-- {
		from = m.list[i].position
	}
	return from
}
