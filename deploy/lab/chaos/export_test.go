package chaos

import (
	"context"
	"time"
)

// Plan is plan, for tests.
var Plan = plan

// Things are what a strike needs for itself.
func (s *Strike) Things() []string { return s.Fault.needs(s.Target) }

// PlanCuts is planCuts, for tests.
var PlanCuts = planCuts

// Gap is how long after a start a cut is due.
func (c *cut) Gap() time.Duration { return c.gap }

// Dark is how long the machine stays off.
func (c *cut) Dark() time.Duration { return c.dark }

// AtWrite reports whether the cut waits for a write.
func (c *cut) AtWrite() bool { return c.write > 0 }

// Watch is watch, for tests.
var Watch = watch

// Close is close, for tests.
func (w *watcher) Close() { w.close() }

// Await is await, for tests.
func (w *watcher) Await(ctx context.Context, n int, limit time.Duration) (bool, error) {
	return w.await(ctx, n, limit)
}
