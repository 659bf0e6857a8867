package sentry

import (
	"context"
	"errors"
	"time"

	"github.com/cenkalti/backoff/v4"

	"andon.internal/shared/telemetry"
)

// Errors of a [Journal] that mean something to the sentry. Every other error is taken
// for the database's or the network's, and the call is made again, for ever.
var (
	// ErrLeaseLost means that another sentry speaks now.
	ErrLeaseLost = errors.New("the lease was lost")
	// ErrRestored means that the database is not the one it was.
	ErrRestored = errors.New("the database was restored")
)

// Journals gives the right to speak.
type Journals interface {
	// Acquire takes the right for ttl. It returns nil and no error when another
	// process has it. It may take as long as it takes to prepare the database.
	Acquire(ctx context.Context, ttl time.Duration) (Journal, error)
}

// Past is what the database knows when a sentry begins.
type Past struct {
	Alarms []Journalled     // active, or not acknowledged
	Nodes  []telemetry.Node // that had a unit on test lately: their silence counts from now
}

// Journal keeps alarms. Each method makes one attempt; they are called by one goroutine.
type Journal interface {
	// Open returns what there is to go on with.
	Open(ctx context.Context) (Past, error)
	// Write adds events in one transaction. What is there already changes nothing.
	Write(ctx context.Context, list []Change) error
	// Renew keeps the right for ttl from now.
	Renew(ctx context.Context, ttl time.Duration) error
	// Release gives the right back.
	Release(ctx context.Context) error
}

// mode is what the lease makes of this sentry.
type mode uint8

const (
	starting mode = iota // the database was not reached yet: speak, nobody else may
	active               // this is the one that speaks
	standby              // another one is
)

// The times of the journal.
const (
	attemptTimeout = 10 * time.Second
	stopGrace      = 3 * time.Second
	standbyPoll    = 500 * time.Millisecond
	retryMin       = 100 * time.Millisecond
	retryMax       = 2 * time.Second
	maxWrite       = 500 // events in one transaction
)

func newBackOff() *backoff.ExponentialBackOff {
	return backoff.NewExponentialBackOff(backoff.WithInitialInterval(retryMin),
		backoff.WithMaxInterval(retryMax), backoff.WithMaxElapsedTime(0))
}

// keep gets the lease, journals while it is held, and starts again, until ctx ends.
func (s *Sentry) keep(ctx context.Context) {
	wait := newBackOff()
	for ctx.Err() == nil {
		pause := time.Duration(0)
		j, err := s.journals.Acquire(ctx, s.config.Lease)
		switch {
		case err != nil:
			s.failed(ctx, err)
			pause = wait.NextBackOff()
		case j == nil:
			s.standBy()
			pause = min(standbyPoll, s.config.Lease/3)
		default:
			wait.Reset()
			s.serve(ctx, j)
		}
		select {
		case <-ctx.Done():
		case <-time.After(pause):
		}
	}
}

// standBy keeps the engine and the book and says nothing.
func (s *Sentry) standBy() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.mode != standby {
		s.log.Info("another collector holds the sentinel lease; this one stands by")
	}
	s.mode, s.broken, s.pending = standby, nil, nil
	clear(s.outbox)
}

// failed notes why the journal is not written.
func (s *Sentry) failed(ctx context.Context, err error) {
	if ctx.Err() != nil {
		return
	}
	s.metrics.failures.Inc()
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.failures++; s.failures&(s.failures-1) == 0 {
		s.log.Warn("alarms are published and wait for the journal", "error", err, "waiting", len(s.pending),
			"attempts", s.failures)
	}
	s.broken = err
}

// serve journals until the lease is lost or ctx ends.
func (s *Sentry) serve(ctx context.Context, j Journal) {
	wait := newBackOff()
	next := s.begin
	renewed := time.Now()
	for {
		err := next(ctx, j)
		if errors.Is(err, ErrLeaseLost) {
			s.standBy()
			return
		}
		pause := s.config.Lease / 3
		switch {
		case err == nil:
			wait.Reset()
			next = s.write
			s.written()
		case errors.Is(err, ErrRestored):
			s.log.Error("database was restored or failed over; open alarms are journalled again")
			next, pause = s.begin, 0
		default:
			s.failed(ctx, err)
			pause = wait.NextBackOff()
		}
		if err == nil && time.Since(renewed) >= s.config.Lease/3 {
			renewed = time.Now()
			next = s.renewThenWrite
			continue
		}
		if !s.rest(ctx, pause, err == nil) {
			s.finish(ctx, j)
			return
		}
	}
}

// rest waits for work, or, after a failure, for the time alone. It reports whether ctx
// goes on.
func (s *Sentry) rest(ctx context.Context, pause time.Duration, work bool) bool {
	timer := time.NewTimer(pause)
	defer timer.Stop()
	writes := s.writes
	if !work {
		writes = nil
	}
	select {
	case <-ctx.Done():
		return false
	case <-timer.C:
	case <-writes:
	}
	return ctx.Err() == nil
}

// begin makes the journal's open alarms the book's and begins to speak.
func (s *Sentry) begin(ctx context.Context, j Journal) error {
	ctx, cancel := context.WithTimeout(ctx, attemptTimeout)
	defer cancel()
	past, err := j.Open(ctx)
	if err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.mode != active {
		s.log.Info("sentinel lease is held", "open_alarms", len(past.Alarms))
	}
	s.mode = active
	s.restore(past)
	signal(s.writes)
	return nil
}

func (s *Sentry) renewThenWrite(ctx context.Context, j Journal) error {
	attempt, cancel := context.WithTimeout(ctx, attemptTimeout)
	defer cancel()
	if err := j.Renew(attempt, s.config.Lease); err != nil {
		return err
	}
	return s.write(ctx, j)
}

// write writes all that waits.
func (s *Sentry) write(ctx context.Context, j Journal) error {
	for {
		s.mu.Lock()
		batch := s.pending[:min(len(s.pending), maxWrite):min(len(s.pending), maxWrite)]
		s.mu.Unlock()
		if len(batch) == 0 {
			return nil
		}
		attempt, cancel := context.WithTimeout(ctx, attemptTimeout)
		err := j.Write(attempt, batch)
		cancel()
		if err != nil {
			return err
		}
		s.metrics.journaled.Add(float64(len(batch)))
		s.mu.Lock()
		if s.pending = s.pending[len(batch):]; len(s.pending) == 0 {
			s.pending = nil
		}
		s.metrics.pending.Set(float64(len(s.pending)))
		s.mu.Unlock()
	}
}

// written notes that the journal is written.
func (s *Sentry) written() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.failures > 0 {
		s.log.Info("alarms are journalled again", "failed_attempts", s.failures)
	}
	s.broken, s.failures, s.metrics.warned = nil, 0, false
}

// finish writes what waits once more and gives the lease back.
func (s *Sentry) finish(ctx context.Context, j Journal) {
	end, cancel := context.WithTimeout(context.WithoutCancel(ctx), stopGrace)
	defer cancel()
	if err := s.write(end, j); err != nil {
		s.mu.Lock()
		waiting := len(s.pending)
		s.mu.Unlock()
		s.log.Error("events of alarms are not journalled at the end", "events", waiting, "error", err)
	}
	if err := j.Release(end); err != nil {
		s.log.Warn("sentinel lease is left to expire", "error", err)
	}
}
