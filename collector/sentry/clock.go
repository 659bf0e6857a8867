package sentry

import (
	"context"
	"time"
)

// turnEvery is how often the timer turns when nothing is under way: it keeps the pulse,
// and by it a stall is noticed.
const turnEvery = 500 * time.Millisecond

// stalledAfter is how late the timer is when it counts as stalled, and with it the
// process. With turnEvery, and a heartbeat every 2 s, it stays below the 4 s of silence
// that are told: no stall is both too short to be noticed and long enough to mislead.
const stalledAfter = time.Second

// time tells what expires, when it does, until ctx ends.
func (s *Sentry) time(ctx context.Context) {
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-timer.C:
		case <-s.wake:
		}
		s.pulse.Beat()
		deaf := s.config.Broker() != nil
		wait := turnEvery
		s.mu.Lock()
		now := s.advance(time.Now())
		s.listen(now, deaf)
		s.apply(s.engine.Tick(now))
		s.settle(now)
		s.armed = s.nextLocked()
		if !s.armed.IsZero() {
			wait = min(wait, time.Until(s.armed))
		}
		s.turn = now.Add(wait)
		s.mu.Unlock()
		timer.Reset(wait)
	}
}

// advance brings the clock to t, or leaves it: messages wait in a queue while timers
// go on. When the timer should have turned long before, the process was stalled, and
// what was said meanwhile still waits to be read.
func (s *Sentry) advance(t time.Time) time.Time {
	if t.After(s.clock) {
		s.clock = t
	}
	if late := s.clock.Sub(s.turn); late > stalledAfter {
		s.log.Warn("the process was stalled: silence counts from now", "late", late)
		s.turn = s.clock
		s.rearm(s.clock)
	}
	return s.clock
}

// listen notes whether there is a broker to hear the nodes through. Without one no
// silence is decided; behind that everybody's counts from the connection.
func (s *Sentry) listen(now time.Time, deaf bool) {
	changed := s.deaf != deaf
	s.deaf = deaf
	if !changed && !deaf {
		return
	}
	if next := s.nextLocked(); changed || (!next.IsZero() && !next.After(now)) {
		s.rearm(now)
	}
}

// Connected says that the connection to the broker is new: what was said before may not
// have been heard. It never blocks for long.
func (s *Sentry) Connected() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.rearm(s.advance(time.Now()))
}

// rearm gives everybody their time anew: nodes and units to speak, and units to be born
// behind their node.
func (s *Sentry) rearm(now time.Time) {
	s.engine.Rearm(now)
	for _, n := range s.nodes {
		if !n.settle.IsZero() {
			n.settle = now.Add(s.config.Settle)
		}
	}
}
