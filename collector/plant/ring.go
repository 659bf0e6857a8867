package plant

import (
	"math"

	"andon.internal/shared/telemetry"
)

// slots is the seconds of a trend.
const slots = int64(Window / 1e9)

var missing = float32(math.NaN())

// ring is the last [Window] of a unit's signals, one slot a second.
type ring struct {
	secs    []int64 // which second a slot holds; 0: none
	columns []column
}

// column is one signal. low and high are there once a second had two readings;
// until then they are what last is.
type column struct{ last, low, high []float32 }

func newRing(signals int) *ring {
	r := &ring{secs: make([]int64, slots), columns: make([]column, signals)}
	for i := range r.columns {
		r.columns[i].last = filled()
	}
	return r
}

func filled() []float32 {
	s := make([]float32, slots)
	for i := range s {
		s[i] = missing
	}
	return s
}

// put takes a reading of the second sec. One that is older than the slot's is dropped.
func (r *ring) put(sec int64, values []telemetry.Value) {
	at := sec % slots
	if at < 0 || r.secs[at] > sec {
		return
	}
	first := r.secs[at] != sec
	r.secs[at] = sec
	for i := range r.columns {
		f, ok := values[i].Float()
		v := float32(f)
		if !ok || math.IsNaN(f) || math.IsInf(float64(v), 0) {
			v = missing
		}
		r.columns[i].put(at, v, first)
	}
}

func (c *column) put(at int64, v float32, first bool) {
	if first {
		c.last[at] = v
		if c.low != nil {
			c.low[at], c.high[at] = v, v
		}
		return
	}
	if v != v {
		return // another reading of this second had a value
	}
	if c.low == nil {
		c.low, c.high = append([]float32(nil), c.last...), append([]float32(nil), c.last...)
	}
	if !(c.low[at] <= v) { // also when there was none
		c.low[at] = v
	}
	if !(c.high[at] >= v) {
		c.high[at] = v
	}
	c.last[at] = v
}

// span merges the slots of [from, to) into one: the last value, the least and the
// greatest. ok is false when no reading lies in it.
func (r *ring) span(signal int, from, to int64) (last, low, high float32, ok bool) {
	c := &r.columns[signal]
	last, low, high = missing, missing, missing
	for sec := max(from, to-slots); sec < to; sec++ {
		at := sec % slots
		if at < 0 || r.secs[at] != sec {
			continue
		}
		ok = true
		l, lo, hi := c.last[at], c.last[at], c.last[at]
		if c.low != nil {
			lo, hi = c.low[at], c.high[at]
		}
		if l == l {
			last = l
		}
		if lo == lo && !(low <= lo) {
			low = lo
		}
		if hi == hi && !(high >= hi) {
			high = hi
		}
	}
	return last, low, high, ok
}
