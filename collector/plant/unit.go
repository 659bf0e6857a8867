package plant

import (
	"slices"
	"strings"
	"time"

	"andon.internal/shared/telemetry"
)

// State is what a unit does, as far as is known.
type State string

// The states.
const (
	Running State = "running" // its signal `running` is true, or it has none and is read
	Idle    State = "idle"    // its signal `running` is false
	Stopped State = "stopped" // its run has ended
	Stale   State = "stale"   // on test, and nothing is heard of it
)

// runningSignal is the name by which a profile says whether a unit runs.
const runningSignal = "running"

// Unit is one unit at one moment. Profile and Values are shared and must not be
// changed.
type Unit struct {
	Key     uint32 // names the unit as long as this process lives; never used twice
	Group   string
	ID      string
	Node    string // the cell through which it is heard
	Profile *telemetry.Profile

	Born  time.Time
	Died  time.Time // zero: on test
	State State
	Since time.Time // of the state

	Time    time.Time         // of the newest live reading, by the cell; zero: none
	Plotted time.Time         // where that reading stands in the trend
	Heard   time.Time         // when it arrived
	Values  []telemetry.Value // of it; missing where there are none
	Quality telemetry.Quality // of it
	Period  time.Duration     // between readings; 0: not known yet
	Skewed  bool              // the cell's times are far off, so the trend is on time of arrival

	// Introduced is the version at which something other than state and values last
	// changed: who has an older picture needs the whole unit.
	Introduced uint64
}

// Simulated reports whether the unit's readings are made by a simulator or a replay.
func (u *Unit) Simulated() bool { return u.Quality&telemetry.QualitySimulated != 0 }

type unit struct {
	key     uint32
	id      unitID
	node    string
	profile *telemetry.Profile
	running int // index of the running signal; -1: none

	born, died time.Time
	ended      time.Time // when we heard of the death
	state      State
	since      time.Time

	time, plotted int64 // unix ns
	heard         time.Time
	values        []telemetry.Value
	quality       telemetry.Quality
	period        time.Duration
	skewed        bool
	trend         *ring
	changed       uint64
	introduced    uint64
}

func (u *unit) view() Unit {
	return Unit{
		Key: u.key, Group: u.id.group, ID: u.id.unit, Node: u.node, Profile: u.profile,
		Born: u.born, Died: u.died, State: u.state, Since: u.since,
		Time: nanos(u.time), Plotted: nanos(u.plotted), Heard: u.heard,
		Values: u.values, Quality: u.quality, Period: u.period, Skewed: u.skewed,
		Introduced: u.introduced,
	}
}

func nanos(ns int64) time.Time {
	if ns == 0 {
		return time.Time{}
	}
	return time.Unix(0, ns)
}

// judgeUnit sets the unit's state for now.
func (p *Plant) judgeUnit(u *unit, now time.Time) {
	state := Running
	c := p.cells[telemetry.Node{Group: u.id.group, ID: u.node}]
	switch {
	case !u.died.IsZero():
		state = Stopped
	case c != nil && c.Link == Offline, now.Sub(u.heard) > max(p.config.Stale, 3*u.period):
		state = Stale
	case u.running >= 0 && !u.values[u.running].Bool():
		state = Idle
	}
	if state == u.state {
		return
	}
	u.state, u.since, u.changed = state, now, p.next()
	if state == Stale {
		u.since = u.heard
	}
}

func (p *Plant) judgeUnitsOf(n telemetry.Node, now time.Time) {
	for _, u := range p.units {
		if u.id.group == n.Group && u.node == n.ID {
			p.judgeUnit(u, now)
		}
	}
}

// Birth is a unit's birth.
type Birth struct {
	Unit    string
	Profile *telemetry.Profile // not changed afterwards by anybody
	Born    time.Time
	Backlog bool              // the run has ended; only its buffered readings are still to come
	Last    []telemetry.Value // of each signal, or nil
}

// UnitBorn says that a unit is on test at a cell. It may be repeated.
func (p *Plant) UnitBorn(now time.Time, n telemetry.Node, b Birth) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.hear(now, n)
	if old := p.units[unitID{n.Group, b.Unit}]; old != nil && b.Backlog && !b.Born.Equal(old.born) &&
		(b.Born.Before(old.born) || old.died.IsZero()) {
		return // of a run before the one that is shown; what is on test is, whatever clocks say
	}
	u := p.unitOf(n, b.Unit, b.Profile, b.Born, now)
	if u == nil {
		return
	}
	if b.Backlog && u.died.IsZero() {
		p.end(u, now, now)
	}
	if len(b.Last) == len(u.values) && u.time == 0 {
		u.values = slices.Clone(b.Last)
	}
	u.changed = p.next()
	p.judgeUnit(u, now)
	p.countUnits(n)
}

// UnitDied says that a unit left the test.
func (p *Plant) UnitDied(now time.Time, n telemetry.Node, id string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.hear(now, n)
	if u := p.units[unitID{n.Group, id}]; u != nil && u.node == n.ID && u.died.IsZero() {
		p.end(u, now, now)
		p.judgeUnit(u, now)
		p.countUnits(n)
	}
}

// end closes a unit's run.
func (p *Plant) end(u *unit, died, now time.Time) {
	u.died, u.ended = died, now
	u.introduced = p.next()
	u.changed = u.introduced
}

// unitOf finds or makes a unit, on the run that began at born. It returns nil when
// there is no room.
func (p *Plant) unitOf(n telemetry.Node, name string, profile *telemetry.Profile, born, now time.Time) *unit {
	id := unitID{n.Group, name}
	u := p.units[id]
	if u == nil {
		if len(p.units) >= p.config.Limits.Units && !p.evictUnit() {
			p.config.Metrics.refused.WithLabelValues("unit").Inc()
			return nil
		}
		p.keys++
		id = unitID{strings.Clone(n.Group), strings.Clone(name)}
		u = &unit{key: p.keys, id: id}
		p.units[id] = u
	}
	if u.node != n.ID {
		u.node, u.introduced = strings.Clone(n.ID), p.next()
	}
	switch {
	case u.profile == nil || !u.profile.SameRow(profile):
		p.layOut(u, profile)
		u.introduced = p.next()
	case !u.profile.Equal(profile): // another range or text
		u.profile, u.introduced = profile, p.next()
	}
	if !u.born.Equal(born) {
		u.introduced = p.next()
		u.born, u.died, u.ended, u.heard = born, time.Time{}, time.Time{}, now
		u.time, u.plotted, u.values = 0, 0, make([]telemetry.Value, len(u.profile.Signals))
	}
	return u
}

// layOut gives a unit its profile, and a trend if there is room.
func (p *Plant) layOut(u *unit, profile *telemetry.Profile) {
	if u.trend != nil {
		p.signals -= len(u.profile.Signals)
	}
	u.profile, u.trend, u.running = profile, nil, -1
	u.values, u.time, u.plotted = make([]telemetry.Value, len(profile.Signals)), 0, 0
	if i := profile.Index(runningSignal); i >= 0 && profile.Signals[i].Type == telemetry.Boolean {
		u.running = i
	}
	if p.signals+len(profile.Signals) > p.config.Limits.Signals {
		p.config.Metrics.refused.WithLabelValues("trend").Inc()
		return
	}
	p.signals += len(profile.Signals)
	u.trend = newRing(len(profile.Signals))
}

// evictUnit forgets the unit whose run ended first.
func (p *Plant) evictUnit() bool {
	var first *unit
	for _, u := range p.units {
		if !u.died.IsZero() && (first == nil || u.ended.Before(first.ended)) {
			first = u
		}
	}
	if first == nil {
		return false
	}
	p.forget(first.id, first)
	return true
}

func (p *Plant) countUnits(n telemetry.Node) {
	c := p.cells[n]
	if c == nil {
		return
	}
	c.Units = 0
	for _, u := range p.units {
		if u.id.group == n.Group && u.node == n.ID && u.died.IsZero() {
			c.Units++
		}
	}
}
