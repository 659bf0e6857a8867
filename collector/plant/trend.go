package plant

import "time"

// Trend is the last minutes of some signals of a unit, in steps. The slices of a
// signal have one entry for each of Times; NaN where a signal has no value.
type Trend struct {
	Step    time.Duration
	Times   []time.Time // the beginning of each step that has a reading
	Signals []SignalTrend
}

// SignalTrend is one signal of a [Trend].
type SignalTrend struct {
	Signal          int // its index in the profile
	Last, Low, High []float32
}

// Trend returns signals (by index in the unit's profile) over the steps that lie
// between from and to. step is rounded to whole seconds, one at least. ok is false
// when the unit is not known; a unit may be known and have no trend.
func (p *Plant) Trend(group, id string, signals []int, from, to time.Time, step time.Duration) (t Trend, ok bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	u := p.units[unitID{group, id}]
	if u == nil {
		return Trend{}, false
	}
	return u.trendOf(signals, from, to, step), true
}

func (u *unit) trendOf(signals []int, from, to time.Time, step time.Duration) Trend {
	width := max(1, int64(step/time.Second))
	t := Trend{Step: time.Duration(width) * time.Second}
	for _, s := range signals {
		if s >= 0 && s < len(u.profile.Signals) {
			t.Signals = append(t.Signals, SignalTrend{Signal: s})
		}
	}
	if u.trend == nil || len(t.Signals) == 0 {
		return t
	}
	last := to.Unix()
	first := max(from.Unix(), last-slots)
	for sec := first - first%width; sec <= last; sec += width {
		any := false
		for i := range t.Signals {
			s := &t.Signals[i]
			v, low, high, ok := u.trend.span(s.Signal, max(sec, first), min(sec+width, last+1))
			if !ok {
				break
			}
			any = true
			s.Last, s.Low, s.High = append(s.Last, v), append(s.Low, low), append(s.High, high)
		}
		if any {
			t.Times = append(t.Times, time.Unix(sec, 0))
		}
	}
	return t
}

// Unit returns one unit.
func (p *Plant) Unit(now time.Time, group, id string) (Unit, bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	u := p.units[unitID{group, id}]
	if u == nil {
		return Unit{}, false
	}
	p.judgeUnit(u, now)
	return u.view(), true
}
