package sampler

import (
	"time"

	"andon.internal/agent/clock"
	"andon.internal/shared/telemetry"
)

// stepLimit is by how much the wall clock must move against boot time to count as set.
const stepLimit = 100 * time.Millisecond

// year2020 in unix ns: a wall clock before it was never set.
const year2020 = 1577836800e9

// clockWatch compares the wall clock with boot time at each look.
type clockWatch struct {
	now     func() clock.Time
	looked  bool
	offset  int64 // at the last look
	before  int64 // at the look before
	stepped bool  // between the last two looks
}

// look reads the clocks and returns by how much the wall clock was set since the
// last look, 0 when it was not.
func (w *clockWatch) look() time.Duration {
	offset := w.now().Offset()
	by := time.Duration(offset - w.offset)
	w.stepped = w.looked && (by > stepLimit || by < -stepLimit)
	w.before, w.looked, w.offset = w.offset, true, offset
	if !w.stepped {
		return 0
	}
	return by
}

// of returns the quality of a time that was taken from the wall clock between the
// last two looks.
func (w *clockWatch) of(t int64) telemetry.TimeQuality {
	switch {
	case t < year2020:
		return telemetry.TimeUnsynced
	case w.stepped:
		return telemetry.TimeStepped
	}
	return telemetry.TimeOK
}

// anchor returns the offset that fits times of a quality. Those that a clock gave before it
// was set for the first time, between the last two looks, go with what it was then.
func (w *clockWatch) anchor(q telemetry.TimeQuality) int64 {
	if q == telemetry.TimeUnsynced && w.stepped && w.before < year2020 {
		return w.before
	}
	return w.offset
}
