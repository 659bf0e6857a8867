package collector

import (
	"context"
	"errors"
	"fmt"
	"time"

	"andon.internal/collector/sentry"
	"andon.internal/collector/store"
)

// sentinelLease is the row of the lease table that says which sentinel speaks.
const sentinelLease = "sentinel"

// journals makes the store's journal what the sentry asks for.
type journals struct{ *database }

// Acquire prepares the database, or waits until somebody has, and takes the lease.
func (j journals) Acquire(ctx context.Context, ttl time.Duration) (sentry.Journal, error) {
	held, ok, err := j.acquire(ctx, sentinelLease, ttl)
	if err != nil || !ok {
		return nil, err
	}
	return &journal{j.store, held}, nil
}

// journal is the store, held under the sentinel's lease.
type journal struct {
	store *store.Store
	lease store.Lease
}

var _ sentry.Journal = (*journal)(nil)

func (j *journal) Open(ctx context.Context) (sentry.Past, error) {
	list, err := j.store.OpenAlarms(ctx)
	if err != nil {
		return sentry.Past{}, journalError(err)
	}
	past := sentry.Past{Alarms: make([]sentry.Journalled, len(list))}
	for i := range list {
		past.Alarms[i] = sentry.Journalled{Alarm: list[i].Alarm, Onset: list[i].Onset}
	}
	if past.Nodes, err = j.store.NodesOnTest(ctx); err != nil {
		return sentry.Past{}, journalError(err)
	}
	return past, nil
}

func (j *journal) Write(ctx context.Context, list []sentry.Change) error {
	changes := make([]store.AlarmChange, len(list))
	for i := range list {
		changes[i] = store.AlarmChange{
			JournalledAlarm: store.JournalledAlarm{Alarm: list[i].Alarm, Onset: list[i].Onset}, Event: list[i].Event,
		}
	}
	return journalError(j.store.JournalAlarms(ctx, j.lease, changes))
}

func (j *journal) Renew(ctx context.Context, ttl time.Duration) error {
	return journalError(j.store.RenewLease(ctx, j.lease, ttl))
}

func (j *journal) Release(ctx context.Context) error {
	return journalError(j.store.ReleaseLease(ctx, j.lease))
}

// journalError gives the store's errors the meaning that the sentry knows.
func journalError(err error) error {
	switch {
	case errors.Is(err, store.ErrLeaseLost):
		return fmt.Errorf("%w: %w", sentry.ErrLeaseLost, err)
	case errors.Is(err, store.ErrDatabaseChanged):
		return fmt.Errorf("%w: %w", sentry.ErrRestored, err)
	}
	return err
}
