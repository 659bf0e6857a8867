package sentry

import (
	"context"
	"time"

	"andon.internal/shared/alarm"
	"andon.internal/shared/telemetry"
)

// again is how long after a failure a publication is tried again.
const again = 200 * time.Millisecond

func nodeOf(a *alarm.Alarm) telemetry.Node { return telemetry.Node{Group: a.Group, ID: a.Node} }

// announce puts an alarm's state into the outbox, in the place of an older one.
func (s *Sentry) announce(a *alarm.Alarm) {
	s.outbox[a.ID] = *a
	signal(s.sends)
}

// publish sends what is in the outbox, and all open alarms every now and then, until
// ctx ends; then once more.
func (s *Sentry) publish(ctx context.Context) {
	repeat := time.NewTicker(s.config.Repeat)
	defer repeat.Stop()
	retry := time.NewTimer(time.Hour)
	defer retry.Stop()
	for {
		select {
		case <-ctx.Done():
			s.send()
			return
		case <-s.sends:
		case <-retry.C:
		case <-repeat.C:
			s.repeat()
		}
		if !s.send() {
			retry.Reset(again)
		}
	}
}

// repeat puts all open alarms into the outbox.
func (s *Sentry) repeat() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.mode == standby {
		return
	}
	for _, e := range s.book.byID {
		s.outbox[e.Alarm.ID] = e.Alarm
	}
}

// send sends the outbox and reports whether all of it went. What did not goes back,
// unless there is something newer by then.
func (s *Sentry) send() bool {
	s.mu.Lock()
	list := s.outbox
	s.outbox = map[string]alarm.Alarm{}
	s.mu.Unlock()
	all := true
	for id, a := range list {
		b, err := a.Append(nil)
		if err != nil { // a figure that is not a number
			a.Figures = nil
			b, err = a.Append(nil)
		}
		if err == nil {
			err = s.link.Send(a.Topic(), b)
		}
		if err == nil {
			s.metrics.published.Inc()
			continue
		}
		s.log.Debug("alarm was not published", "alarm", id, "error", err)
		all = false
		s.mu.Lock()
		if _, newer := s.outbox[id]; !newer {
			s.outbox[id] = a
		}
		s.mu.Unlock()
	}
	return all
}
