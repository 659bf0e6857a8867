// Package guard runs the plant's rules at the cell and says which records lie around an
// alarm, so that a buffer that is full loses others before them.
//
// It stands beside the sampler, between what that grouped and the buffer. It raises no
// alarm and stops nothing: alarms are told by the collector, which gets the same readings.
// It is pure: records and the time come in as arguments, and a rule that is wrong about
// something costs or keeps a little room, never a reading.
package guard

import (
	"math"
	"time"

	"andon.internal/shared/sentinel"
	"andon.internal/shared/telemetry"
)

// What of a unit lies around an alarm.
const (
	Before = 10 * time.Second // until it was raised
	After  = 30 * time.Second // from then on
	// Pause is how long after it was raised the same alarm of the same unit counts again.
	// One that comes and goes all day would else take the room of the others.
	Pause = 10 * time.Minute
)

// Guard watches the units of one source. It is not safe for concurrent use.
type Guard struct {
	engine *sentinel.Engine
	units  map[string]*unit
}

// unit is a unit on test. Its times are those of its readings less the anchor of their
// clock, in ns: they go on where the wall clock is set.
type unit struct {
	born    int64
	profile *telemetry.Profile
	raised  []string         // alarms that its next reading is to note
	again   map[string]int64 // by alarm: from when it counts again
	until   int64            // up to then it is around an alarm
}

// New returns a guard by these rules. Rules about silence and about cells raise nothing here.
func New(rules *sentinel.Rules) *Guard {
	return &Guard{engine: sentinel.NewEngine(rules), units: map[string]*unit{}}
}

// Watch evaluates the readings of the unit's next record, and reports whether the record
// lies around an alarm, and whether one was raised: then what the unit gave within [Before]
// lies around it too. now is monotonic. A record that comes a second time is judged as
// the first time, but raises nothing.
func (g *Guard) Watch(now time.Time, r *telemetry.Record) (around, raised bool) {
	subject := sentinel.Subject{Unit: r.Unit}
	u := g.unit(now, subject, r)
	for i := range r.Len() {
		at := r.Times[i] - r.Clock.Offset
		g.hear(g.engine.Reading(now, subject, sentinel.Reading{
			Identity: sentinel.Identity{Position: r.Count + uint64(i)}, Time: at, Values: r.Row(i),
		}))
		raised = u.note(at) || raised
		around = around || at <= u.until
	}
	if r.End != nil {
		around = around || r.End.Time-r.Clock.Offset <= u.until
		g.hear(g.engine.Died(now, subject))
		delete(g.units, r.Unit)
	}
	return around, raised
}

// unit returns the unit of a record, which may begin a run, or have another profile.
func (g *Guard) unit(now time.Time, subject sentinel.Subject, r *telemetry.Record) *unit {
	u := g.units[r.Unit]
	if u != nil && u.born == r.Born && u.profile == r.Profile {
		return u
	}
	if u == nil || u.born != r.Born {
		g.hear(g.engine.Died(now, subject))
		u = &unit{born: r.Born, again: map[string]int64{}, until: math.MinInt64}
		g.units[r.Unit] = u
	}
	u.profile = r.Profile
	g.hear(g.engine.Born(now, subject, r.Profile, false))
	return u
}

// hear takes what the engine tells to the units that it is about: the delay of one unit's
// alarm may end before another one's reading.
func (g *Guard) hear(told []sentinel.Transition) {
	for _, t := range told {
		if u := g.units[t.Subject.Unit]; u != nil && t.Kind == sentinel.Raised {
			u.raised = append(u.raised, t.Rule.Alarm)
		}
	}
}

// note begins the time around the alarms that were raised, and reports whether one counts.
func (u *unit) note(at int64) (counts bool) {
	for _, alarm := range u.raised {
		if again, known := u.again[alarm]; known && at < again {
			continue
		}
		counts = true
		u.again[alarm] = at + int64(Pause)
		u.until = max(u.until, at+int64(After))
	}
	u.raised = u.raised[:0]
	return counts
}
