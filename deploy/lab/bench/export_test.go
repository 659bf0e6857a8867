package bench

import (
	"context"
	"io"
	"time"

	"andon.internal/shared/alarm"
)

// What tests look at.
var (
	SpreadOf   = spread
	ParseStat  = parseStat
	CPUSeconds = cpuSeconds
	Decided    = decided
	LifeOf     = lifeOf
)

// Usage is usage, for tests.
type Usage = usage

// Shown is an alarm and when a page first had it.
type Shown struct {
	Alarm alarm.Alarm
	At    time.Time
}

// Follow follows a stream of a page to its end and returns who is on test then, since
// when, the alarms by rule and unit, and the error that ended it.
func Follow(stream io.Reader, now func() time.Time) (births map[string]time.Time, alarms map[[2]string]Shown, err error) {
	p := newPage()
	err = p.follow(stream, now)
	births, _ = p.births()
	shown, _ := p.shown()
	alarms = map[[2]string]Shown{}
	for key, s := range shown {
		alarms[[2]string{key.rule, key.unit}] = Shown{s.Alarm, s.at}
	}
	return births, alarms, err
}

// Unseen returns the figures of faults of the units at an instant, of which a page has
// shown nothing.
func Unseen(ctx context.Context, at time.Time, units ...string) (*AlarmLatency, error) {
	var faults []fault
	for _, unit := range units {
		faults = append(faults, fault{&overheating, unit, at, false})
	}
	l := &AlarmLatency{}
	return l, l.gather(ctx, nil, faults, nil)
}
