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
	BoundOf    = boundOf
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

// Moments returns when a unit of a programme is put under pressure and when
// it is overheated, in ages; below 0: not at all. It is not broken before the age from.
func Moments(programme time.Duration, unit string, from time.Duration) (pressure, heat time.Duration) {
	l := &alarmLoad{programme: programme, kinds: []breakage{overpressure, overheating}}
	born := time.Unix(1_000_000, 0)
	age := func(t time.Time) time.Duration {
		if t.IsZero() {
			return -1
		}
		return t.Sub(born)
	}
	m := l.moments(unit, born, born.Add(from))
	return age(m[0]), age(m[1])
}
