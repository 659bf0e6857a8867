package plant

import (
	"time"

	"andon.internal/shared/alarm"
)

type heldAlarm struct {
	alarm.Alarm
	closed  bool
	missed  bool      // of closed: by Unrepeated
	heard   time.Time // when it last came; of a closed one, when it was closed
	changed uint64
}

// Alarm takes an alarm's state as the sentinel announces it: at each change, and all
// open ones every few seconds. One that is older than what is known changes nothing.
func (p *Plant) Alarm(now time.Time, a alarm.Alarm) {
	p.mu.Lock()
	defer p.mu.Unlock()
	have := p.alarms[a.ID]
	if have != nil && !have.missed && (a.Sequence < have.Sequence || (a.Sequence == have.Sequence && a.Quality == have.Quality)) {
		if !have.closed {
			have.heard = now
		}
		return
	}
	closed := a.State() == alarm.Closed
	if have == nil {
		if len(p.alarms) >= p.config.Limits.Alarms && !p.evictAlarm(&a) {
			p.config.Metrics.refused.WithLabelValues("alarm").Inc()
			return
		}
		have = &heldAlarm{}
		p.alarms[a.ID] = have
	}
	*have = heldAlarm{Alarm: a, closed: closed, heard: now, changed: p.next()}
	select {
	case p.alarmed <- struct{}{}:
	default:
	}
}

// Unrepeated closes the open alarms that were last heard before a time. The sentinel
// repeats all open ones, so these are over, and the message that said so was lost. If
// it speaks of one again, that is open again.
func (p *Plant) Unrepeated(now, before time.Time) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, h := range p.alarms {
		if h.closed || !h.heard.Before(before) {
			continue
		}
		h.Condition, h.ClearedAt, h.AckedAt, h.AckedBy = alarm.Normal, now, now, "andon"
		h.Note = "over: the sentinel no longer speaks of it"
		h.closed, h.missed, h.heard, h.changed = true, true, now, p.next()
	}
}

// evictAlarm makes room for an alarm: the alarm closed first goes, else the oldest
// of the lowest priority, if that is lower than a's.
func (p *Plant) evictAlarm(a *alarm.Alarm) bool {
	var worst *heldAlarm
	for _, h := range p.alarms {
		if worst == nil || lessWorthy(h, worst) {
			worst = h
		}
	}
	if worst == nil || (!worst.closed && worst.Priority >= a.Priority) {
		return false
	}
	delete(p.alarms, worst.ID)
	p.config.Metrics.refused.WithLabelValues("alarm").Inc()
	return true
}

func lessWorthy(a, b *heldAlarm) bool {
	switch {
	case a.closed != b.closed:
		return a.closed
	case a.Priority != b.Priority && !a.closed:
		return a.Priority < b.Priority
	}
	return a.heard.Before(b.heard)
}

// AlarmByID returns an alarm that the picture has.
func (p *Plant) AlarmByID(id string) (alarm.Alarm, bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if h := p.alarms[id]; h != nil {
		return h.Alarm, true
	}
	return alarm.Alarm{}, false
}
