package sentry

import (
	"slices"
	"time"

	"andon.internal/shared/alarm"
	"andon.internal/shared/sentinel"
	"andon.internal/shared/telemetry"
)

// restore makes the journal's open alarms the book's, when this sentry begins to speak.
// What was raised meanwhile under another id is the journal's alarm; what the journal
// lacks is told now.
func (s *Sentry) restore(past Past) {
	now, list := s.advance(time.Now()), past.Alarms
	s.listen(now, s.deaf)
	stored := make(map[string]bool, len(list))
	for i := range list {
		j := list[i]
		stored[j.Alarm.ID] = true
		mine := s.book.byID[j.Alarm.ID]
		if mine == nil {
			mine = s.book.byKey[j.key()]
		}
		if mine != nil && stored[mine.Alarm.ID] && mine.Alarm.ID != j.Alarm.ID {
			mine = nil // two open alarms of one kind in the journal: both are kept
		}
		if mine == nil {
			s.resume(now, &entry{Journalled: j})
			continue
		}
		s.merge(now, mine, j)
	}
	for _, e := range s.book.byID {
		if !stored[e.Alarm.ID] {
			s.retell(e)
		}
	}
	s.expect(now, past)
	s.metrics.open.Set(float64(len(s.book.byID)))
}

// expect makes the silence of nodes count that were on test before and say nothing now,
// unless that is told already.
func (s *Sentry) expect(now time.Time, past Past) {
	told := map[telemetry.Node]bool{}
	for i := range past.Alarms {
		if a := &past.Alarms[i].Alarm; a.Unit == "" && a.Condition == alarm.Active {
			told[nodeOf(a)] = true
		}
	}
	for _, id := range past.Nodes {
		if n := s.nodes[id]; !told[id] && (n == nil || !n.heard) {
			s.heard(now, id)
		}
	}
}

// resume goes on with an alarm that only the journal knows.
func (s *Sentry) resume(now time.Time, e *entry) {
	a := &e.Alarm
	s.book.add(e)
	s.announce(a) // as it stands; who knows it learns nothing new
	if a.Condition != alarm.Active {
		return
	}
	if !slices.ContainsFunc(s.config.Rules.List(), func(r sentinel.Rule) bool { return r.Alarm == a.Rule }) || s.book.byKey[e.key()] != e {
		s.change(e, alarm.Event{Kind: alarm.Ended, At: stamp(now)}) // nothing watches it any more
		return
	}
	subject := sentinel.Subject{Group: a.Group, Node: a.Node, Unit: a.Unit}
	key := unitKey{a.Group, a.Unit}
	if a.Unit != "" && s.units[key] == nil {
		s.units[key] = &unit{node: nodeOf(a)}
	}
	s.known(nodeOf(a))
	onset := int64(0)
	if !a.OnsetAt.IsZero() {
		onset = a.OnsetAt.UnixNano()
	}
	s.engine.Restore(a.Rule, subject, e.Onset, onset)
}

// merge makes an alarm of the book the journal's: its story goes on.
func (s *Sentry) merge(now time.Time, mine *entry, j Journalled) {
	if mine.Alarm.ID == j.Alarm.ID && mine.Alarm.Sequence > j.Alarm.Sequence {
		s.retell(mine)
		return
	}
	condition := mine.Alarm.Condition
	if mine.Alarm.ID != j.Alarm.ID {
		s.withdraw(now, mine)
	}
	s.book.remove(mine)
	e := &entry{Journalled: j}
	s.book.add(e)
	s.announce(&e.Alarm)
	if condition == j.Alarm.Condition {
		return
	}
	kind := alarm.Clear
	if condition == alarm.Active {
		kind = alarm.Raised
	}
	s.change(e, alarm.Event{Kind: kind, At: stamp(now)})
}

// withdraw takes back an alarm that was told under an id of its own: it closes where it
// is shown and is not journalled.
func (s *Sentry) withdraw(now time.Time, e *entry) {
	s.pending = slices.DeleteFunc(s.pending, func(c Change) bool { return c.Alarm.ID == e.Alarm.ID })
	a := e.Alarm
	a.Condition, a.ClearedAt, a.AckedAt, a.AckedBy = alarm.Normal, stamp(now), stamp(now), "andon"
	a.Note = "goes on as the alarm that was open before"
	a.Sequence += 2
	s.announce(&a)
}

// retell tells an alarm and its events again, to a journal that may lack them.
func (s *Sentry) retell(e *entry) {
	s.announce(&e.Alarm)
	queued := func(v alarm.Event) bool {
		return slices.ContainsFunc(s.pending, func(c Change) bool { return c.Event.Alarm == v.Alarm && c.Event.Sequence == v.Sequence })
	}
	for _, v := range e.events {
		if !queued(v) {
			s.queue(Change{Alarm: e.Alarm, Onset: e.Onset, Event: v})
		}
	}
}
