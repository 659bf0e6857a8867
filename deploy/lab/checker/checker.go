// Package checker compares what was declared with what PostgreSQL holds: every
// reading exactly once, bit for bit, in order, and a ledger that tells the truth.
//
// It stands at the end of the flow and shares no code with it: it reads the tables
// by itself. Verification declares what a file holds; the chaos rig declares what
// each cell said was safe.
package checker

import (
	"fmt"
	"slices"
	"time"

	"andon.internal/shared/telemetry"
)

// Reading is one declared reading.
type Reading struct {
	Time   int64 // µs since 1970, as PostgreSQL keeps it
	Values []telemetry.Value
	// Within is by how much Time may be off: for a reading that the collector dates, since
	// its cell had no clock.
	Within time.Duration
}

// Stored is one row of PostgreSQL.
type Stored struct {
	Reading
	Epoch    telemetry.Epoch
	Position uint64
	Row      int
}

// Tally is what a comparison found. The zero Tally of something declared and stored
// in full has only the first two counts.
type Tally struct {
	Declared int `json:"declared"` // readings that should be there
	Stored   int `json:"stored"`   // rows that are there

	Missing    int `json:"missing"`    // declared, not stored
	Doubled    int `json:"doubled"`    // stored once more than declared
	Different  int `json:"different"`  // stored with other values
	Unexpected int `json:"unexpected"` // stored at a time or for a unit that was not declared
	Disordered int `json:"disordered"` // positions that do not follow the order of time

	Examples []string `json:"examples,omitempty"` // the first few findings, in words
}

// maxExamples bounds what a report spells out.
const maxExamples = 20

// OK reports whether nothing is wrong.
func (t *Tally) OK() bool {
	return t.Missing == 0 && t.Doubled == 0 && t.Different == 0 && t.Unexpected == 0 && t.Disordered == 0
}

func (t *Tally) example(format string, args ...any) {
	if len(t.Examples) < maxExamples {
		t.Examples = append(t.Examples, fmt.Sprintf(format, args...))
	}
}

// Compare adds the comparison of one unit's readings to the tally. declared is in
// the order in which the readings were taken, stored in any. Readings of the same
// time are told apart by their values.
func (t *Tally) Compare(unit string, declared []Reading, stored []Stored) {
	t.Declared += len(declared)
	t.Stored += len(stored)
	stored = slices.Clone(stored)
	slices.SortFunc(stored, place)
	t.order(unit, stored)

	byTime := map[int64][]Stored{}
	for _, s := range stored {
		byTime[s.Time] = append(byTime[s.Time], s)
	}
	wanted := map[int64][]Reading{}
	for _, d := range declared {
		wanted[d.Time] = append(wanted[d.Time], d)
	}
	for _, d := range declared { // in order, so that examples are too
		if w, ok := wanted[d.Time]; ok {
			t.moment(unit, w, byTime[d.Time])
			delete(wanted, d.Time)
			delete(byTime, d.Time)
		}
	}
	for _, s := range stored {
		if rest, ok := byTime[s.Time]; ok {
			t.Unexpected += len(rest)
			t.example("%s at %d µs: stored (%s) but not declared", unit, s.Time, s.where())
			delete(byTime, s.Time)
		}
	}
}

// order checks that rows in the order of their places have times that do not go back.
func (t *Tally) order(unit string, stored []Stored) {
	for i := 1; i < len(stored); i++ {
		if stored[i].Time < stored[i-1].Time {
			t.Disordered++
			t.example("%s: %s is at %d µs, which is before %s at %d µs", unit,
				stored[i].where(), stored[i].Time, stored[i-1].where(), stored[i-1].Time)
		}
	}
}

// moment compares what was declared for one time with what is stored for it.
func (t *Tally) moment(unit string, declared []Reading, stored []Stored) {
	var left []Reading
	rest, inOrder := slices.Clone(stored), true
	for _, d := range declared {
		i := slices.IndexFunc(rest, func(s Stored) bool { return slices.Equal(s.Values, d.Values) })
		if i < 0 {
			left = append(left, d)
			continue
		}
		inOrder = inOrder && i == 0
		rest = slices.Delete(rest, i, i+1)
	}
	if len(left) == 0 && len(rest) == 0 && !inOrder {
		t.Disordered++
		t.example("%s at %d µs: %d readings of one time are stored in another order", unit, declared[0].Time, len(declared))
	}
	for i, d := range left {
		if i < len(rest) {
			t.Different++
			t.example("%s at %d µs (%s): %s", unit, d.Time, rest[i].where(), difference(d.Values, rest[i].Values))
			continue
		}
		t.Missing++
		t.example("%s at %d µs: missing", unit, d.Time)
	}
	for _, s := range rest[min(len(left), len(rest)):] {
		t.Doubled++
		t.example("%s at %d µs: stored again (%s)", unit, s.Time, s.where())
	}
}

// difference names the first value that differs.
func difference(want, got []telemetry.Value) string {
	for i := range min(len(want), len(got)) {
		if want[i] != got[i] {
			return fmt.Sprintf("value %d is %v (%x), declared was %v (%x)", i+1, got[i], got[i].Bits(), want[i], want[i].Bits())
		}
	}
	return fmt.Sprintf("%d values, declared were %d", len(got), len(want))
}

// place orders rows as their cells numbered them: epochs are ULIDs, which sort by
// the time at which they began.
func place(a, b Stored) int {
	if c := slices.Compare(a.Epoch[:], b.Epoch[:]); c != 0 {
		return c
	}
	if a.Position != b.Position {
		if a.Position < b.Position {
			return -1
		}
		return 1
	}
	return a.Row - b.Row
}

func (s *Stored) where() string {
	return fmt.Sprintf("epoch %s position %d row %d", s.Epoch.Short(), s.Position, s.Row)
}
