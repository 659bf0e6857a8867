package sentry

import (
	"time"

	"andon.internal/shared/alarm"
	"andon.internal/shared/sentinel"
)

// Change is one event of an alarm, and the alarm as the event left it.
type Change struct {
	Alarm alarm.Alarm
	Onset sentinel.Identity
	Event alarm.Event
}

// Journalled is an alarm as the journal has it.
type Journalled struct {
	Alarm alarm.Alarm
	Onset sentinel.Identity
}

// alarmKey says which alarms are one while they are open.
type alarmKey struct{ rule, group, node, unit string }

func keyOf(rule string, s sentinel.Subject) alarmKey {
	if s.Unit != "" {
		return alarmKey{rule, s.Group, "", s.Unit}
	}
	return alarmKey{rule, s.Group, s.Node, ""}
}

func (k *Journalled) key() alarmKey {
	return keyOf(k.Alarm.Rule, sentinel.Subject{Group: k.Alarm.Group, Node: k.Alarm.Node, Unit: k.Alarm.Unit})
}

// entry is an open alarm.
type entry struct {
	Journalled
	events []alarm.Event // of this process, for a journal that lacks them
}

// maxEvents bounds the events kept of one alarm.
const maxEvents = 64

// book is the open alarms: active, or not acknowledged.
type book struct {
	byID  map[string]*entry
	byKey map[alarmKey]*entry
}

func (b *book) add(e *entry) {
	b.byID[e.Alarm.ID] = e
	if b.byKey[e.key()] == nil {
		b.byKey[e.key()] = e
	}
}

func (b *book) remove(e *entry) {
	delete(b.byID, e.Alarm.ID)
	if b.byKey[e.key()] == e {
		delete(b.byKey, e.key())
	}
}

// apply makes events of transitions.
func (s *Sentry) apply(list []sentinel.Transition) {
	for i := range list {
		t := &list[i]
		e := s.book.byKey[keyOf(t.Rule.Alarm, t.Subject)]
		switch t.Kind {
		case sentinel.Raised:
			if e == nil {
				e = s.newEntry(t)
				s.book.add(e)
			}
			s.change(e, alarm.Event{Kind: alarm.Raised, At: stamp(t.At)})
			s.metrics.raised.WithLabelValues(e.Alarm.Rule).Inc()
			s.metrics.decided.Observe(max(0, time.Since(t.At).Seconds()))
			s.log.Info("alarm is raised", "alarm", e.Alarm.ID, "rule", e.Alarm.Rule, "group", e.Alarm.Group,
				"node", e.Alarm.Node, "unit", e.Alarm.Unit)
		case sentinel.Cleared:
			if e != nil {
				s.change(e, alarm.Event{Kind: alarm.Clear, At: stamp(t.At)})
			}
		case sentinel.Ended:
			if e != nil {
				s.change(e, alarm.Event{Kind: alarm.Ended, At: stamp(t.At)})
			}
		}
	}
}

// stamp is a time as the journal can hold it.
func stamp(t time.Time) time.Time { return t.UTC().Truncate(time.Microsecond) }

func (s *Sentry) newEntry(t *sentinel.Transition) *entry {
	r, at := t.Rule, stamp(t.At)
	a := alarm.Alarm{
		ID: alarm.ID(r.Alarm, t.Subject, t.Onset), Rule: r.Alarm, Priority: r.Priority,
		Group: t.Subject.Group, Node: t.Subject.Node, Unit: t.Subject.Unit,
		Condition: alarm.Normal, Quality: alarm.Good, Consequence: r.Consequence, Response: r.Response,
	}
	if aboutSilence(r) {
		a.ID = alarm.SilenceID(r.Alarm, t.Subject, t.Onset, at)
	}
	if t.OnsetTime != 0 {
		a.OnsetAt = stamp(time.Unix(0, t.OnsetTime))
	}
	if u := s.units[unitKey{a.Group, a.Unit}]; u != nil && u.simulated {
		a.Quality = alarm.Simulated
	}
	for _, f := range t.Figures {
		a.Figures = append(a.Figures, alarm.Figure(f))
	}
	return &entry{Journalled: Journalled{Alarm: a, Onset: t.Onset}}
}

func aboutSilence(r *sentinel.Rule) bool {
	for _, f := range r.Features {
		if f.Fn == "silence" {
			return true
		}
	}
	return false
}

// change applies the next event to an alarm, and tells it unless this sentry stands by.
func (s *Sentry) change(e *entry, v alarm.Event) {
	v.Alarm, v.Sequence = e.Alarm.ID, e.Alarm.Sequence+1
	if _, err := e.Alarm.Apply(v); err != nil {
		s.log.Error("event does not follow from its alarm", "alarm", e.Alarm.ID, "error", err)
		return
	}
	if len(e.events) < maxEvents {
		e.events = append(e.events, v)
	}
	s.tell(e, v)
	if e.Alarm.State() == alarm.Closed {
		s.book.remove(e)
	}
	s.metrics.open.Set(float64(len(s.book.byID)))
}

// tell queues a change for broker and journal.
func (s *Sentry) tell(e *entry, v alarm.Event) {
	if s.mode == standby {
		return
	}
	s.announce(&e.Alarm)
	s.queue(Change{Alarm: e.Alarm, Onset: e.Onset, Event: v})
}

// queue puts a change behind those that wait for the journal.
func (s *Sentry) queue(c Change) {
	if len(s.pending) >= s.config.Pending {
		s.metrics.lost.Inc()
		if s.metrics.overflow() {
			s.log.Error("journal is away for too long: events of alarms are lost", "waiting", len(s.pending))
		}
		return
	}
	s.pending = append(s.pending, c)
	s.metrics.pending.Set(float64(len(s.pending)))
	signal(s.writes)
}

// acknowledge takes what came on another topic than the cells'.
func (s *Sentry) acknowledge(now time.Time, topic string, payload []byte) {
	k, err := alarm.ParseAck(topic, payload)
	if err != nil {
		s.metrics.refused.Inc()
		s.log.Debug("message is not an acknowledgement", "topic", topic, "error", err)
		return
	}
	e := s.book.byID[k.ID]
	switch {
	case e == nil:
		s.metrics.refused.Inc()
	case !e.Alarm.AckedAt.IsZero():
		if s.mode != standby {
			s.announce(&e.Alarm) // who asked may not have heard of it
		}
	default:
		s.change(e, alarm.Event{Kind: alarm.Ack, At: stamp(now), By: k.By, Note: k.Note})
	}
}
