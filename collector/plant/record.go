package plant

import (
	"slices"
	"time"

	"andon.internal/shared/telemetry"
)

// skewLimit is how far a reading's time may be from its arrival before the unit's
// trend goes on the time of arrival.
const skewLimit = time.Minute

// Record takes the readings of a unit; r must have passed its Check and is only read.
// Historical ones, which waited in a buffer, fill the trend and change no live value.
func (p *Plant) Record(now time.Time, n telemetry.Node, r *telemetry.Record, historical bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	c := p.hear(now, n)
	p.readings += uint64(r.Len())
	born := time.Unix(0, r.Born)
	u := p.units[unitID{n.Group, r.Unit}]
	fresh := u == nil || u.born.Before(born)
	switch {
	case fresh && historical:
		return // of a run that nobody has announced
	case fresh:
		if u = p.unitOf(n, r.Unit, r.Profile, born, now); u == nil {
			return
		}
		p.countUnits(n)
	case !u.profile.SameRow(r.Profile):
		return
	}
	u.changed = p.next()
	if historical || u.born.After(born) {
		u.fill(now, r)
		return
	}
	if r.Len() > 0 {
		u.live(now, r)
		if c != nil && !u.skewed {
			c.Lag = max(0, now.Sub(time.Unix(0, u.time)))
		}
	}
	if r.End != nil && u.died.IsZero() {
		p.end(u, time.Unix(0, r.End.Time), now)
		p.countUnits(n)
	}
	p.judgeUnit(u, now)
}

// fill puts readings into the trend only, where their own times lie in it.
func (u *unit) fill(now time.Time, r *telemetry.Record) {
	if u.trend == nil || u.skewed {
		return
	}
	for i, ns := range r.Times {
		if age := now.Sub(time.Unix(0, ns)); age >= 0 && age < Window {
			u.trend.put(ns/1e9, r.Row(i))
		}
	}
}

// live makes the record's last reading the unit's newest.
func (u *unit) live(now time.Time, r *telemetry.Record) {
	last := r.Len() - 1
	u.measure(now, r)
	off := now.Sub(time.Unix(0, r.Times[last]))
	u.skewed = off > skewLimit || off < -skewLimit
	for i, ns := range r.Times {
		if u.skewed {
			ns = now.UnixNano()
		}
		u.plotted = ns
		if u.trend != nil {
			u.trend.put(ns/1e9, r.Row(i))
		}
	}
	u.time, u.heard = r.Times[last], now
	u.values, u.quality = slices.Clone(r.Row(last)), r.Qualities[last]
}

// measure follows the time between readings, slowly, so that a pause is noticed
// against what was usual before it. Arrival bounds it, because a replay's own times
// may run faster.
func (u *unit) measure(now time.Time, r *telemetry.Record) {
	if u.time == 0 || r.Len() == 0 {
		return
	}
	period := min(time.Duration(r.Times[r.Len()-1]-u.time), now.Sub(u.heard)) / time.Duration(r.Len())
	switch {
	case period <= 0 || period > time.Hour:
	case u.period == 0:
		u.period = period
	default:
		u.period += (period - u.period) / 8
	}
}
