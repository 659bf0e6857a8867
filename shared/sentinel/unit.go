package sentinel

import (
	"time"

	"andon.internal/shared/telemetry"
)

// node is a cell as the engine has heard of it.
type node struct {
	group, id string
	heard     time.Time
	dead      bool               // its death was announced
	told      map[string]float64 // what was said of it, by function: see toldUnits
	instances []*instance
}

// unit is a unit as the engine has heard of it.
type unit struct {
	subject   Subject
	profile   *telemetry.Profile // nil: only a restored alarm speaks of it
	node      *node
	active    bool // on test: its silence is an alarm
	heard     time.Time
	any       bool // a reading has come
	last      Identity
	lastTime  int64
	base      int64   // unix ns from which the windows count
	period    float64 // seconds between readings; 0 until two have come
	instances []*instance
}

// maxGap is how many usual periods a reading may be away from the one before and
// still count in full towards the usual period.
const maxGap = 4

// staleAfter is how many usual periods without a reading make data missing.
const staleAfter = 2.5

// take notes the reading and keeps the usual period.
func (u *unit) take(now time.Time, r Reading) {
	switch gap := float64(r.Time-u.lastTime) / 1e9; {
	case !u.any:
		u.base = r.Time
	case gap < 0: // the cell's clock was set back: begin the windows anew
		u.base = r.Time
		for _, i := range u.instances {
			i.reset()
		}
	case gap == 0:
	case u.period == 0:
		u.period = gap
	default:
		u.period += (min(gap, maxGap*u.period) - u.period) / 8
	}
	u.any, u.last, u.lastTime, u.heard = true, r.Identity, r.Time, now
}

// stale returns how long after a reading the data counts as missing.
func (u *unit) stale() time.Duration {
	if u.period == 0 {
		return time.Second
	}
	return time.Duration(staleAfter * u.period * 1e9)
}

func (e *Engine) node(now time.Time, group, id string) *node {
	key := nodeKey{group, id}
	n := e.nodes[key]
	if n == nil {
		n = &node{group: group, id: id, heard: now}
		for _, c := range e.rules.list {
			if c.ofNode() {
				n.instances = append(n.instances, &instance{rule: c, node: n, place: -1})
			}
		}
		e.nodes[key] = n
		e.schedule(n.instances, now)
	}
	return n
}

// newUnit returns a unit with an instance of each rule that speaks of it. Alarms that
// were active under its former self stay so.
func (e *Engine) newUnit(s Subject, p *telemetry.Profile, former *unit) *unit {
	u := &unit{subject: s, profile: p}
	for _, c := range e.rules.list {
		if c.ofNode() || (c.Profile != "" && c.Profile != p.Name) {
			continue
		}
		u.instances = append(u.instances, newInstance(c, u))
	}
	if former == nil {
		return u
	}
	u.any, u.last, u.lastTime, u.base, u.heard = former.any, former.last, former.lastTime, former.base, former.heard
	for _, old := range former.instances {
		e.due.remove(old)
		for _, i := range u.instances {
			if i.rule == old.rule && old.condition >= active {
				i.condition, i.onset, i.onsetTime = active, old.onset, old.onsetTime
				e.open[i.key()] = i
			}
		}
	}
	return u
}

// ensure gives a unit of unknown profile the instance of a restored alarm.
func (e *Engine) ensure(u *unit, alarm string) []*instance {
	for _, i := range u.instances {
		if i.rule.Alarm == alarm {
			return u.instances
		}
	}
	for _, c := range e.rules.list {
		if c.Alarm == alarm && !c.ofNode() {
			u.instances = append(u.instances, &instance{rule: c, unit: u, place: -1})
		}
	}
	return u.instances
}

// ofNode reports whether the rule is about a node and not about its units.
func (c *compiled) ofNode() bool {
	if c.told != "" {
		return true
	}
	return c.silence != "" && c.Features[c.silence].Of == "node"
}
