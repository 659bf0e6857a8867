package collector

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"andon.internal/collector/intake"
	"andon.internal/collector/intake/reply"
	"andon.internal/collector/session"
	"andon.internal/collector/store"
	"andon.internal/shared/sparkplug"
	"andon.internal/shared/telemetry"
)

// leaseName is the row of the lease table that says which intake is active.
const leaseName = "intake"

// acquireTimeout bounds one attempt to get the lease; a migration has no bound.
const acquireTimeout = time.Minute

// maxReasons is how many reasons of one batch are logged.
const maxReasons = 4

// database is the store with its tables, which the roles of a process share.
type database struct {
	store   *store.Store
	holder  string
	migrate bool
	log     *slog.Logger

	mu    sync.Mutex
	ready bool // the tables are there
}

// prepare prepares the database, or finds out whether somebody has.
func (d *database) prepare(ctx context.Context) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.ready {
		return nil
	}
	prepare := d.store.Ping
	if d.migrate {
		prepare = d.store.Migrate
	}
	if err := prepare(ctx); err != nil {
		return fmt.Errorf("prepare database: %w", err)
	}
	d.ready = true
	return nil
}

// acquire prepares the database and takes the lease of a name.
func (d *database) acquire(ctx context.Context, name string, ttl time.Duration) (store.Lease, bool, error) {
	if err := d.prepare(ctx); err != nil {
		return store.Lease{}, false, err
	}
	ctx, cancel := context.WithTimeout(ctx, acquireTimeout)
	defer cancel()
	return d.store.AcquireLease(ctx, name, d.holder, ttl)
}

// leases makes the store's lease what the intake asks for.
type leases struct{ *database }

// Acquire prepares the database, or waits until somebody has, and takes the lease.
func (l leases) Acquire(ctx context.Context, ttl time.Duration) (intake.Lease, error) {
	held, ok, err := l.acquire(ctx, leaseName, ttl)
	if err != nil || !ok {
		return nil, err
	}
	return &lease{l.store, held, l.log}, nil
}

// lease is the store, held under a lease.
type lease struct {
	store *store.Store
	lease store.Lease
	log   *slog.Logger
}

var _ intake.Lease = (*lease)(nil)

func (l *lease) Commit(ctx context.Context, batch []session.Entry) (intake.Committed, error) {
	entries := make([]store.Entry, len(batch))
	for n := range batch {
		e := &batch[n]
		entries[n] = store.Entry{
			Node: e.Node, Epoch: e.Epoch, Position: e.Position, ReceivedAt: e.Received, Moved: e.Moved,
			Record: e.Record, Loss: e.Loss,
		}
		if e.Poison != nil {
			entries[n].Poison = &store.Poison{Reason: e.Poison.Reason, Payload: e.Poison.Payload}
		}
	}
	r, err := l.store.Commit(ctx, l.lease, entries)
	if err != nil {
		return intake.Committed{}, translate(err)
	}
	done := intake.Committed{Rows: r.Rows, Outcomes: make([]intake.Outcome, len(r.Outcomes))}
	for n, o := range r.Outcomes {
		done.Outcomes[n] = outcomes[o]
	}
	for _, c := range r.Nodes {
		done.Late += c.Late
	}
	for _, reject := range r.Rejects[:min(len(r.Rejects), maxReasons)] {
		done.Reasons = append(done.Reasons, reject.Reason)
	}
	return done, nil
}

// outcomes translates the store's words.
var outcomes = map[store.Outcome]intake.Outcome{
	store.Committed:   intake.Stored,
	store.Duplicate:   intake.Duplicate,
	store.Quarantined: intake.Quarantined,
	store.Deferred:    intake.Deferred,
	store.Invalid:     intake.Invalid,
}

func (l *lease) Sync(ctx context.Context, n telemetry.Node, b *session.Birth) (reply.Epochs, error) {
	birth := store.Birth{Node: n, Boot: b.Boot, Seen: b.Highest}
	for _, e := range b.Chain {
		birth.Chain = append(birth.Chain, store.ChainEpoch{
			Epoch: e.Epoch, Prev: e.Prev, End: ends[e.End], Next: e.Next, Held: e.Held,
		})
	}
	synced, err := l.store.Sync(ctx, l.lease, birth)
	if err != nil {
		return nil, translate(err)
	}
	if synced.Lost > 0 {
		l.log.Error("positions are lost", "node", n, "positions", synced.Lost)
	}
	if len(synced.Doubted) > 0 {
		l.log.Error("two boxes seem to claim one node; nothing is closed", "node", n, "boot", fmt.Sprintf("%x", b.Boot),
			"doubted_epochs", len(synced.Doubted))
	}
	return synced.Stored, nil
}

// ends translates the birth's words.
var ends = map[sparkplug.EndKind]store.EndKind{
	sparkplug.EndOpen:    store.EndOpen,
	sparkplug.EndClosed:  store.EndClosed,
	sparkplug.EndUnclean: store.EndUnclean,
}

func (l *lease) UnitBorn(ctx context.Context, n telemetry.Node, u intake.Unit) error {
	return translate(l.store.UnitBorn(ctx, l.lease, n, u.Name, u.Profile, u.Born))
}

func (l *lease) Renew(ctx context.Context, ttl time.Duration) error {
	return translate(l.store.RenewLease(ctx, l.lease, ttl))
}

func (l *lease) Release(ctx context.Context) error {
	return translate(l.store.ReleaseLease(ctx, l.lease))
}

// translate gives the store's errors the meaning that the intake knows.
func translate(err error) error {
	switch {
	case err == nil:
		return nil
	case errors.Is(err, store.ErrLeaseLost):
		return fmt.Errorf("%w: %w", intake.ErrLeaseLost, err)
	case errors.Is(err, store.ErrDatabaseChanged):
		return fmt.Errorf("%w: %w", intake.ErrRestored, err)
	case store.IsRetry(err):
		return err
	}
	return fmt.Errorf("%w: %w", intake.ErrRefused, err)
}
