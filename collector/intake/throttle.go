package intake

import (
	"sync"
	"time"
)

// throttlePause is how long a log line that repeats is kept back.
const throttlePause = 10 * time.Second

// throttle keeps a log line that repeats from filling the log: it lets the first
// pass and then one every throttlePause, which tells how many were kept back. The
// zero throttle is ready for use, also by several goroutines.
type throttle struct {
	mu      sync.Mutex
	last    time.Time
	skipped int
}

// pass reports whether the line may be written now, and how many were not since the
// last one.
func (t *throttle) pass(now time.Time) (skipped int, ok bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if !t.last.IsZero() && now.Sub(t.last) < throttlePause {
		t.skipped++
		return 0, false
	}
	skipped, t.skipped, t.last = t.skipped, 0, now
	return skipped, true
}
