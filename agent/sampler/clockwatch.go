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

// stepLasts is how long behind a step a time may come that was taken before it: a source
// reads the clock, and hands the reading over a moment later.
const stepLasts = time.Second

// clockWatch compares the wall clock with boot time at each look.
type clockWatch struct {
	now     func() clock.Time
	looked  bool
	offset  int64 // at the last look
	before  int64 // until the last step
	boot    int64 // of the last step
	stepped bool  // so short a time ago that times may be of before it
}

// look reads the clocks and returns by how much the wall clock was set since the
// last look, 0 when it was not.
func (w *clockWatch) look() time.Duration {
	at := w.now()
	offset := at.Offset()
	by := time.Duration(offset - w.offset)
	set := w.looked && (by > stepLimit || by < -stepLimit)
	if set {
		w.before, w.boot = w.offset, at.Boot
	}
	w.stepped = set || w.stepped && at.Boot-w.boot < int64(stepLasts)
	w.looked, w.offset = true, offset
	if !set {
		return 0
	}
	return by
}

// of returns the quality of a time that was taken from the wall clock since the look
// before the last one, or a little before that.
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
// was set for the first time go with what it was then.
func (w *clockWatch) anchor(q telemetry.TimeQuality) int64 {
	if q == telemetry.TimeUnsynced && w.stepped && w.before < year2020 {
		return w.before
	}
	return w.offset
}
