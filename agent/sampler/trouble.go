package sampler

import (
	"context"
	"log/slog"
	"sync"
	"time"

	"github.com/cenkalti/backoff/v4"
	"github.com/prometheus/client_golang/prometheus"
)

// logEvery is how often a trouble that lasts is logged.
const logEvery = time.Minute

// throttle lets the first of a row of repeats pass, and then one each logEvery.
type throttle struct {
	count  int
	passed time.Time
}

func (t *throttle) pass() bool {
	t.count++
	if t.count > 1 && time.Since(t.passed) < logEvery {
		return false
	}
	t.passed = time.Now()
	return true
}

// trouble is one kind of thing that fails again and again until it does not: it
// waits longer and longer, logs now and then, and logs the recovery once.
type trouble struct {
	what     string
	log      *slog.Logger
	errors   prometheus.Counter
	delays   *backoff.ExponentialBackOff
	throttle throttle

	mu    sync.Mutex
	err   error
	since time.Time
}

func newTrouble(c Config, what string, errors prometheus.Counter) *trouble {
	return &trouble{
		what: what, log: c.Logger, errors: errors,
		delays: backoff.NewExponentialBackOff(
			backoff.WithInitialInterval(c.RetryMin), backoff.WithMaxInterval(c.RetryMax), backoff.WithMaxElapsedTime(0)),
	}
}

// failed notes an error and waits before the next try. It returns false when ctx has
// ended; then the error says nothing and is not noted.
func (t *trouble) failed(ctx context.Context, err error) bool {
	if ctx.Err() != nil {
		return false
	}
	t.mu.Lock()
	if t.err == nil {
		t.since = time.Now()
	}
	t.err = err
	t.mu.Unlock()
	t.errors.Inc()
	delay := t.delays.NextBackOff()
	if t.throttle.pass() {
		t.log.Warn(t.what, "error", err, "failures", t.throttle.count, "retry_in", delay)
	}
	return wait(ctx, delay)
}

// over notes that it went well.
func (t *trouble) over() {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.err == nil {
		return
	}
	t.log.Info("recovered", "from", t.what, "failures", t.throttle.count, "lasted", time.Since(t.since))
	t.err, t.throttle = nil, throttle{}
	t.delays.Reset()
}

// now returns when the trouble began, and the error that has not been overcome; both
// are zero when there is none.
func (t *trouble) now() (since time.Time, err error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.err == nil {
		return time.Time{}, nil
	}
	return t.since, t.err
}

// wait waits for d. It returns false when ctx ended before that.
func wait(ctx context.Context, d time.Duration) bool {
	if d <= 0 {
		return ctx.Err() == nil
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-timer.C:
		return true
	}
}
