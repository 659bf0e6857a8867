package session

import "time"

// limiter spaces the Rebirths to one node. The first is free; each further one
// waits twice as long as the one before, up to a bound, and a quiet time of twice
// the wait starts again from the beginning.
type limiter struct {
	last time.Time
	wait time.Duration
}

// ask reports whether a Rebirth may be sent now, and if so counts it as sent.
func (l *limiter) ask(now time.Time, lowest, highest time.Duration) bool {
	since := now.Sub(l.last)
	switch {
	case l.wait == 0 || since >= 2*l.wait:
		l.wait = lowest
	case since < l.wait:
		return false
	default:
		l.wait = min(2*l.wait, highest)
	}
	l.last = now
	return true
}
