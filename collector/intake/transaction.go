package intake

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/cenkalti/backoff/v4"

	"andon.internal/collector/intake/reply"
	"andon.internal/collector/session"
	"andon.internal/shared/broken"
)

// The times of one attempt at the database.
const (
	attemptTimeout = time.Minute
	stopGrace      = 5 * time.Second // for what is under way when the intake stops
	retryMin       = 100 * time.Millisecond
	retryMax       = 5 * time.Second
)

// round commits what is fresh, then a batch of the past, answers a few of the births that
// these were in the way of, and notes a few units.
func (w *writer) round(ctx context.Context, lease Lease) error {
	for _, take := range [...]func() []item{w.takeFresh, w.takeOld} {
		if batch := take(); len(batch) > 0 {
			if err := w.commit(ctx, lease, batch); err != nil {
				return err
			}
		}
	}
	for range maxSyncsARound {
		j, ok := w.nextSync()
		if !ok {
			break
		}
		if err := w.answer(ctx, lease, j); err != nil {
			return err
		}
	}
	for range maxUnitsARound {
		k, u, ok := w.nextUnit()
		if !ok {
			break
		}
		if err := w.note(ctx, lease, k, u); err != nil {
			return err
		}
	}
	return nil
}

func (w *writer) takeFresh() []item {
	w.mu.Lock()
	defer w.mu.Unlock()
	batch := w.entries.takeFresh()
	if len(batch) > 0 {
		w.portion.fresh = time.Now()
	}
	return batch
}

func (w *writer) takeOld() []item {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.entries.takeOld(w.portion.now(time.Now()))
}

func (w *writer) nextSync() (syncJob, bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	n := slices.IndexFunc(w.syncs, w.due)
	if n < 0 {
		return syncJob{}, false
	}
	j := w.syncs[n]
	w.syncs = slices.Delete(w.syncs, n, n+1)
	return j, true
}

func (w *writer) nextUnit() (key, Unit, bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for k, u := range w.births { // any one
		delete(w.births, k)
		return k, u, true
	}
	return key{}, Unit{}, false
}

// commit stores a batch, however long it takes, and only then owes the nodes their
// acknowledgements.
func (w *writer) commit(ctx context.Context, lease Lease, batch []item) error {
	entries := make([]session.Entry, len(batch))
	for n := range batch {
		entries[n] = batch[n].entry
	}
	var done Committed
	began := time.Now()
	if broken.Is(broken.EarlyAck) {
		w.intake.settled(entries, Committed{Outcomes: slices.Repeat([]Outcome{Stored}, len(entries))}, began)
	}
	err := w.persist(ctx, "commit batch", func(ctx context.Context) (err error) {
		done, err = lease.Commit(ctx, entries)
		return err
	})
	if err == nil && len(done.Outcomes) != len(entries) {
		err = fmt.Errorf("commit batch: %d outcomes for %d entries: %w", len(done.Outcomes), len(entries), ErrRefused)
	}
	if last := &batch[len(batch)-1].entry; last.Historical {
		w.portion.took(time.Now(), time.Since(began), costOfItems(batch))
	}
	defer w.release(batch)
	switch {
	case errors.Is(err, ErrRefused):
		w.intake.log.Error("batch is refused and not acknowledged", "entries", len(batch), "error", err)
		w.intake.metrics.refused.Add(float64(len(batch)))
		return nil
	case err != nil:
		return err
	}
	if done.Rows > 0 {
		w.attempts.committed()
	}
	w.intake.settled(entries, done, began)
	return nil
}

func (w *writer) answer(ctx context.Context, lease Lease, j syncJob) error {
	defer w.intake.budget.give(j.cost)
	var has reply.Epochs
	err := w.persist(ctx, "sync node", func(ctx context.Context) (err error) {
		has, err = lease.Sync(ctx, j.node, j.birth)
		return err
	})
	if errors.Is(err, ErrRefused) {
		w.intake.log.Error("birth is refused and not answered", "node", j.node, "error", err)
		return nil
	}
	if err == nil {
		w.intake.metrics.syncs.Inc()
		w.intake.onBoard(func(b *reply.Board, now time.Time) { b.Answer(j.node, j.birth.Session, has, now) })
	}
	return err
}

func (w *writer) note(ctx context.Context, lease Lease, k key, u Unit) error {
	if w.forget.Swap(false) {
		clear(w.noted)
	}
	if born, ok := w.noted[k]; ok && born == u.Born {
		return nil
	}
	err := w.persist(ctx, "note unit", func(ctx context.Context) error { return lease.UnitBorn(ctx, k.node, u) })
	if errors.Is(err, ErrRefused) {
		w.intake.log.Warn("birth of a unit is refused", "node", k.node, "unit", k.unit, "error", err)
		err = nil
	}
	if err == nil {
		if len(w.noted) >= maxNoted {
			clear(w.noted)
		}
		w.noted[k] = u.Born
	}
	return err
}

// persist tries until it succeeds, the lease is lost, the call is refused, or ctx
// has ended; an attempt under way then has stopGrace to finish.
func (w *writer) persist(ctx context.Context, what string, attempt func(context.Context) error) error {
	i := w.intake
	once := func() error {
		ctx, cancel := attemptContext(ctx)
		defer cancel()
		w.attempts.begin(time.Now())
		err := attempt(ctx)
		w.attempts.end(time.Now(), err)
		switch {
		case err == nil:
			return nil
		case errors.Is(err, ErrLeaseLost), errors.Is(err, ErrRefused):
			return backoff.Permanent(err)
		case errors.Is(err, ErrRestored):
			i.restored()
		}
		i.metrics.failures.Inc()
		return err
	}
	wait := backoff.NewExponentialBackOff(backoff.WithInitialInterval(retryMin),
		backoff.WithMaxInterval(retryMax), backoff.WithMaxElapsedTime(0))
	if err := backoff.Retry(once, backoff.WithContext(wait, ctx)); err != nil {
		return fmt.Errorf("%s: %w", what, err)
	}
	return nil
}

// attemptContext is for one attempt at the database: it ends after attemptTimeout,
// and stopGrace after ctx, so that a stop does not cut off a commit under way.
func attemptContext(ctx context.Context) (context.Context, context.CancelFunc) {
	attempt, cancel := context.WithTimeout(context.WithoutCancel(ctx), attemptTimeout)
	stop := context.AfterFunc(ctx, func() { time.AfterFunc(stopGrace, cancel) })
	return attempt, func() {
		stop()
		cancel()
	}
}
