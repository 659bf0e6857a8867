package telemetry

import (
	"errors"
	"fmt"
)

// MaxRows is the largest number of readings in a record; a row number fits a
// PostgreSQL smallint.
const MaxRows = 4096

// Clock says what the cell's clocks showed when a record was taken, so that a
// reading can be dated even when the wall clock was wrong.
type Clock struct {
	Boot    [16]byte    // the machine's boot id; zero where it has none
	Offset  int64       // wall time minus CLOCK_BOOTTIME, in ns: the anchor
	Quality TimeQuality // of the whole record
}

// End is the end of a run: the unit left the test.
type End struct {
	Time   int64  // unix ns
	Reason string // such as "finished", "removed", "stopped"; at most MaxTextLength bytes
}

// Record is consecutive readings of one unit in one run: the thing that is given a
// position, buffered, sent as one message and committed as a whole. Its rows are
// strictly increasing in milliseconds, because Sparkplug wants a different
// timestamp for every value of a metric in a message.
//
// A record with no rows and an End is the end of a run of which nothing else was
// left to send.
type Record struct {
	Unit    string
	Profile *Profile
	Born    int64  // unix ns of the run's birth; (Unit, Born) names the run
	Count   uint64 // how many readings the run had before this record's first row
	Clock   Clock
	End     *End // set on the last record of a run

	Times     []int64   // unix ns, one a row
	Qualities []Quality // one a row
	Values    []Value   // row by row, len(Times) * len(Profile.Signals)
}

// Len returns the number of rows.
func (r *Record) Len() int { return len(r.Times) }

// Row returns the values of row i. The slice is the record's own.
func (r *Record) Row(i int) []Value {
	n := len(r.Profile.Signals)
	return r.Values[i*n : (i+1)*n : (i+1)*n]
}

// Fits reports whether a reading taken at t (unix ns) can be the record's next row.
func (r *Record) Fits(t int64) bool {
	n := len(r.Times)
	return n == 0 || (n < MaxRows && floorMilli(t) > floorMilli(r.Times[n-1]))
}

// Append copies a reading to the end of the record. values has one entry for each
// signal of the profile. Append does not check; see [Record.Fits] and [Record.Check].
func (r *Record) Append(t int64, q Quality, values []Value) {
	r.Times = append(r.Times, t)
	r.Qualities = append(r.Qualities, q)
	r.Values = append(r.Values, values...)
}

// Check returns an error when the record breaks its own promises: shapes, types,
// order of times. It is called on everything that comes from outside.
func (r *Record) Check() error {
	if err := CheckID("unit", r.Unit); err != nil {
		return err
	}
	if r.Profile == nil || len(r.Profile.Signals) == 0 {
		return errors.New("record has no profile")
	}
	if len(r.Times) > MaxRows {
		return fmt.Errorf("record has %d rows, more than %d", len(r.Times), MaxRows)
	}
	if len(r.Times) == 0 && r.End == nil {
		return errors.New("record has neither a row nor an end")
	}
	if len(r.Qualities) != len(r.Times) || len(r.Values) != len(r.Times)*len(r.Profile.Signals) {
		return fmt.Errorf("record of %d rows and %d signals has %d qualities and %d values",
			len(r.Times), len(r.Profile.Signals), len(r.Qualities), len(r.Values))
	}
	if r.End != nil && len(r.End.Reason) > MaxTextLength {
		return fmt.Errorf("reason of the run's end has %d bytes, more than %d", len(r.End.Reason), MaxTextLength)
	}
	for i := 1; i < len(r.Times); i++ {
		if floorMilli(r.Times[i]) <= floorMilli(r.Times[i-1]) {
			return fmt.Errorf("row %d is not at a later millisecond than row %d", i, i-1)
		}
	}
	for i := range r.Times {
		for k, v := range r.Row(i) {
			if s := &r.Profile.Signals[k]; !v.Missing() && v.Type() != s.Type {
				return fmt.Errorf("row %d: signal %s is %v, the value is %v", i, s.Name, s.Type, v.Type())
			}
		}
	}
	return nil
}

// floorMilli rounds unix ns down to ms, also before 1970.
func floorMilli(ns int64) int64 {
	ms := ns / 1e6
	if ns%1e6 < 0 {
		ms--
	}
	return ms
}
