package sentry

import (
	"time"

	"andon.internal/collector/feed"
	"andon.internal/shared/sentinel"
	"andon.internal/shared/sparkplug"
	"andon.internal/shared/telemetry"
)

// node is what is known of a cell.
type node struct {
	heard  bool
	births uint64    // counted
	settle time.Time // when units that were not born again are gone; zero: not awaited
}

type unitKey struct{ group, unit string }

// unit is a unit on test, or one that a restored alarm speaks of.
type unit struct {
	node      telemetry.Node
	births    uint64             // of the node, at the unit's last birth
	born      int64              // of its run; unix ns
	profile   *telemetry.Profile // of its birth; nil: not born since the start
	live      bool               // a record came that was not old
	simulated bool               // its last reading was
}

func (u *unit) subject(unit string) sentinel.Subject {
	return sentinel.Subject{Group: u.node.Group, Node: u.node.ID, Unit: unit}
}

// known returns the node, made if there is room.
func (s *Sentry) known(id telemetry.Node) *node {
	n := s.nodes[id]
	if n == nil {
		if len(s.nodes) >= s.config.Nodes {
			s.metrics.unwatched.Inc()
			return nil
		}
		n = &node{}
		s.nodes[id] = n
	}
	return n
}

func (s *Sentry) heard(now time.Time, id telemetry.Node) *node {
	n := s.known(id)
	if n != nil {
		n.heard = true
		s.apply(s.engine.Heard(now, id.Group, id.ID))
	}
	return n
}

// nodeBorn begins a session: units that are not born in it are gone.
func (s *Sentry) nodeBorn(now time.Time, id telemetry.Node) {
	if n := s.heard(now, id); n != nil {
		n.births++
		n.settle = now.Add(s.config.Settle)
	}
}

// settle ends the units that their node did not name again. A unit that ended while
// nobody listened would otherwise stay on test for ever.
func (s *Sentry) settle(now time.Time) {
	for id, n := range s.nodes {
		if n.settle.IsZero() || n.settle.After(now) {
			continue
		}
		n.settle = time.Time{}
		for key, u := range s.units {
			if u.node == id && u.births != n.births {
				s.unitDied(now, key)
			}
		}
	}
}

// unitBorn takes a birth. A unit of which only buffered records are still to come has
// left the test: it raises nothing, and a run that is under way goes on beside it.
func (s *Sentry) unitBorn(now time.Time, id telemetry.Node, b *sparkplug.UnitBirth) {
	n := s.nodes[id]
	if n == nil || b.Backlog {
		return
	}
	key := unitKey{id.Group, b.Unit}
	u := s.units[key]
	switch {
	case u == nil:
		u = &unit{}
		s.units[key] = u
	case u.profile != nil && u.born != b.Born:
		s.unitDied(now, key) // the end of the run before was not heard
		u = &unit{}
		s.units[key] = u
	}
	u.node, u.births, u.born, u.profile = id, n.births, b.Born, b.Profile
	s.apply(s.engine.Born(now, u.subject(b.Unit), b.Profile, false))
}

func (s *Sentry) unitDied(now time.Time, key unitKey) {
	u := s.units[key]
	if u == nil {
		return
	}
	s.apply(s.engine.Died(now, u.subject(key.unit)))
	delete(s.units, key)
}

// record evaluates the readings of a record. Old ones are not evaluated before the
// first that is not: they would raise now what is long over. Later the engine tells by
// their order which are late.
func (s *Sentry) record(now time.Time, e *feed.Event) {
	rec := e.Record
	key := unitKey{e.Node.Group, rec.Unit}
	u := s.units[key]
	if u == nil || u.profile == nil || u.node != e.Node || u.born != rec.Born || !u.profile.SameRow(rec.Profile) {
		s.metrics.skipped.Inc()
		return
	}
	u.live = u.live || !e.Old
	if !u.live {
		s.metrics.skipped.Inc()
		return
	}
	subject := u.subject(rec.Unit)
	for row, t := range rec.Times {
		u.simulated = rec.Qualities[row]&telemetry.QualitySimulated != 0
		s.apply(s.engine.Reading(now, subject, sentinel.Reading{
			Identity: sentinel.Identity{Epoch: e.Epoch, Position: e.Position, Row: row},
			Time:     t, Values: rec.Row(row),
		}))
	}
	s.metrics.readings.Add(float64(len(rec.Times)))
	if rec.End != nil { // its death comes only when this record is stored
		s.unitDied(now, key)
	}
}
