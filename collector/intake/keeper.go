package intake

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"time"

	"github.com/cenkalti/backoff/v4"
	"golang.org/x/sync/errgroup"

	"andon.internal/collector/intake/reply"
)

// mode is what the lease makes of this intake.
type mode int32

const (
	starting mode = iota // nothing is known yet
	hold                 // the database was never reached: receive, and tell the cells to hold
	active               // this is the one that writes
	standby              // another one is
)

// String names the mode for the log.
func (m mode) String() string {
	return [...]string{"starting", "hold", "active", "standby"}[m]
}

// modeVar is the mode, which changes in one place at a time: under mu, and before what
// goes with it is done. So who reads it under the lock of what is to be forgotten, and
// finds no standby, adds nothing behind that.
type modeVar struct {
	mu sync.Mutex
	m  atomic.Int32
}

func (v *modeVar) get() mode { return mode(v.m.Load()) }

// verdictTime is how long the first look at the lease may take before the intake
// holds: cells must hear from a collector also when there is no database.
const verdictTime = time.Second

// standbyPoll is how often a standby looks whether the lease is free.
const standbyPoll = 500 * time.Millisecond

// keep gets the lease, writes while it is held, and starts again, until ctx ends.
func (i *Intake) keep(ctx context.Context) {
	late := time.AfterFunc(verdictTime, func() { i.enter(hold) })
	defer late.Stop()
	wait := backoff.NewExponentialBackOff(backoff.WithInitialInterval(retryMin),
		backoff.WithMaxInterval(retryMax), backoff.WithMaxElapsedTime(0))
	for ctx.Err() == nil {
		lease, err := i.acquire(ctx)
		pause := min(standbyPoll, i.config.Lease/3)
		switch {
		case err != nil:
			i.enter(hold)
			pause = wait.NextBackOff()
		case lease == nil:
			i.enter(standby)
		default:
			wait.Reset()
			pause = 0
			i.enter(active)
			i.serve(ctx, lease)
		}
		select {
		case <-ctx.Done():
		case <-time.After(pause):
		}
	}
}

func (i *Intake) acquire(ctx context.Context) (Lease, error) {
	i.keeper.begin(time.Now())
	lease, err := i.leases.Acquire(ctx, i.config.Lease)
	i.keeper.end(time.Now(), err)
	return lease, err
}

// enter changes the mode and what goes with it. Hold comes only before the first
// verdict: who is active stays so while the database is away, and so does a standby.
// Two collectors that both start without a database both hold, which does no harm:
// neither acknowledges anything.
func (i *Intake) enter(m mode) {
	i.mode.mu.Lock()
	defer i.mode.mu.Unlock()
	before := i.mode.get()
	if before == m || (m == hold && before != starting) {
		return
	}
	i.mode.m.Store(int32(m))
	i.log.Info("intake changes its mode", "from", before, "to", m)
	now := time.Now()
	switch m {
	case standby:
		for _, l := range i.lanes {
			l.reset(now)
			l.writer.discard()
		}
		i.boardMu.Lock()
		i.board.Reset()
		i.boardMu.Unlock()
	case active:
		for _, l := range i.lanes {
			l.askUnborn(now)
		}
	}
	i.link.Announce(m != standby)
}

// serve writes while the lease is held, and gives it back when ctx ends.
func (i *Intake) serve(ctx context.Context, lease Lease) {
	i.log.Info("intake lease is held")
	g, tenure := errgroup.WithContext(ctx)
	for _, l := range i.lanes {
		g.Go(func() error { return l.writer.run(tenure, lease) })
	}
	g.Go(func() error { return i.renew(tenure, lease) })
	err := g.Wait()
	if errors.Is(err, ErrLeaseLost) {
		i.log.Warn("intake lease was lost", "error", err)
		i.db.giveUp()
		i.enter(standby)
		return
	}
	end, cancel := context.WithTimeout(context.WithoutCancel(ctx), stopGrace)
	defer cancel()
	if err := lease.Release(end); err != nil {
		i.log.Warn("intake lease is left to expire", "error", err)
	}
}

// renew renews the lease three times in its life. That the database is away does not
// end it: who took the lease meanwhile is found out when it is back.
func (i *Intake) renew(ctx context.Context, lease Lease) error {
	tick := time.NewTicker(i.config.Lease / 3)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
		attempt, cancel := context.WithTimeout(ctx, i.config.Lease)
		i.keeper.begin(time.Now())
		err := lease.Renew(attempt, i.config.Lease)
		cancel()
		if ctx.Err() != nil && !errors.Is(err, ErrLeaseLost) {
			return nil
		}
		i.keeper.end(time.Now(), err)
		switch {
		case errors.Is(err, ErrLeaseLost):
			return err
		case errors.Is(err, ErrRestored):
			i.restored()
		}
	}
}

// restored forgets all births and all that is owed, because what was acknowledged
// may be gone from the database: every node is asked, and the sync tells it.
func (i *Intake) restored() {
	i.log.Error("database was restored or failed over; every node is asked to sync")
	now := time.Now()
	i.onBoard(func(b *reply.Board, _ time.Time) { b.Reset() })
	for _, l := range i.lanes {
		l.writer.forget.Store(true) // before births come that are to be noted
		l.reset(now)
	}
}
