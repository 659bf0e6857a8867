package store

import (
	"context"
	"time"
)

// knownFor is how long a Reader trusts what it knows of profiles and partitions.
const knownFor = time.Minute

// Reader answers the questions of people: series and runs. It has connections of its
// own and a short statement timeout, so that a slow dashboard cannot stall intake. It
// is safe for concurrent use.
type Reader struct{ s *Store }

// OpenReader checks the configuration and does not connect. Defaults that differ from
// [Open]: MaxConns 4, StatementTimeout 5 s, LockTimeout 1 s. Profiles, Retention and
// the limits for writing are not used.
func OpenReader(ctx context.Context, c Config) (*Reader, error) {
	if c.MaxConns <= 0 {
		c.MaxConns = 4
	}
	if c.StatementTimeout <= 0 {
		c.StatementTimeout = 5 * time.Second
	}
	if c.LockTimeout <= 0 {
		c.LockTimeout = time.Second
	}
	c.Profiles = nil
	s, err := Open(ctx, c)
	if err != nil {
		return nil, err
	}
	return &Reader{s}, nil
}

// Close waits for calls under way and ends all connections.
func (r *Reader) Close() { r.s.Close() }

// Ping reports whether the database answers and is migrated.
func (r *Reader) Ping(ctx context.Context) error { return r.s.Ping(ctx) }

// known returns the profiles, not older than knownFor.
func (r *Reader) known(ctx context.Context) (*cache, error) {
	c, err := r.s.known(ctx)
	if err == nil && c.olderThan(knownFor) {
		r.s.forget(c)
		c, err = r.s.known(ctx)
	}
	return c, err
}
