package store

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"

	"andon.internal/shared/telemetry"
)

// Config says which database and how to use it. Only DSN is required.
type Config struct {
	// DSN is a PostgreSQL connection string. Several hosts with
	// target_session_attrs=read-write follow a failover.
	DSN string
	// Password returns the password for each connection that is made, instead of one in
	// the DSN or of pgx's own sources. Default: none.
	Password func() (string, error)
	// MaxConns bounds the connections. Default 8.
	MaxConns int
	// Retention is how old a reading may be: older ones are quarantined, and
	// Maintain drops the days before. Default 0: everything is kept.
	Retention time.Duration
	// FutureLimit is how far ahead of the collector's clock a reading may be.
	// Default 24 h.
	FutureLimit time.Duration
	// MaxHoles is how many separate ranges an epoch's ledger may have before
	// positions that open another are deferred. Default 4096.
	MaxHoles int
	// MaxDays is how many daily partitions a profile may have; readings of further
	// days are quarantined. Default 5000.
	MaxDays int
	// Profiles are what Migrate installs. Commit accepts what is installed in the
	// database, whoever installed it.
	Profiles []*telemetry.Profile
	// LockTimeout and StatementTimeout hold in every transaction. Defaults 5 s, 30 s.
	LockTimeout, StatementTimeout time.Duration
	// Changed is told of each migration and of each profile that was installed or extended,
	// such as "migration 4". It must not block. Default: nobody.
	Changed func(what string)
	// Logger hears of migrations, partitions and a changed database. Default: none.
	Logger *slog.Logger
	// Metrics counts; nil counts nothing that anybody sees.
	Metrics *Metrics
	// Now is the clock for FutureLimit, Retention and partitions. Default time.Now.
	Now func() time.Time
}

func (c *Config) setDefaults() {
	if c.MaxConns <= 0 {
		c.MaxConns = 8
	}
	if c.FutureLimit <= 0 {
		c.FutureLimit = 24 * time.Hour
	}
	if c.MaxHoles <= 0 {
		c.MaxHoles = 4096
	}
	if c.MaxDays <= 0 {
		c.MaxDays = 5000
	}
	if c.LockTimeout <= 0 {
		c.LockTimeout = 5 * time.Second
	}
	if c.StatementTimeout <= 0 {
		c.StatementTimeout = 30 * time.Second
	}
	if c.Changed == nil {
		c.Changed = func(string) {}
	}
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	if c.Metrics == nil {
		c.Metrics = NewMetrics(nil)
	}
	if c.Now == nil {
		c.Now = time.Now
	}
}

// Store is a pool of connections and what is known of the database behind it. It
// is safe for concurrent use; two Commits that hold positions of the same node
// should not run at once, because one would wait for the other.
type Store struct {
	cfg      Config
	pool     *pgxpool.Pool
	settings string // the statement that begins every transaction
	wal      wal

	mu       sync.Mutex
	identity string // of the database last seen; "" before the first
	cache    *cache // replaced as a whole, never mended
}

// Open checks the configuration. It does not connect: the database may be away.
func Open(ctx context.Context, c Config) (*Store, error) {
	c.setDefaults()
	var errs []error
	for _, p := range c.Profiles {
		if err := p.Check(); err != nil {
			errs = append(errs, fmt.Errorf("profile %s: %w", p.Name, err))
		}
	}
	if err := errors.Join(errs...); err != nil {
		return nil, fmt.Errorf("open store: %w", err)
	}
	pc, err := poolConfig(c)
	if err != nil {
		return nil, fmt.Errorf("open store: %w", err)
	}
	pool, err := pgxpool.NewWithConfig(ctx, pc)
	if err != nil {
		return nil, fmt.Errorf("open store: %w", err)
	}
	return &Store{cfg: c, pool: pool, settings: settingsSQL(c), cache: newCache()}, nil
}

// Close waits for calls under way and ends all connections.
func (s *Store) Close() { s.pool.Close() }

// Ping reports whether the database answers, takes writes, is migrated as far as this
// program wants, and has every profile of the configuration; else it returns a
// [RetryError] that says what to do.
func (s *Store) Ping(ctx context.Context) error {
	err := s.checkTables(ctx)
	if err == nil {
		err = s.checkProfiles(ctx)
	}
	return classify(ctx, "check database", err, false)
}

// known returns the cache, loaded.
func (s *Store) known(ctx context.Context) (*cache, error) {
	s.mu.Lock()
	c := s.cache
	s.mu.Unlock()
	if err := c.load(ctx, s); err != nil {
		return nil, err
	}
	return c, nil
}

// forget drops a cache, so that the next call reads everything anew. It is called
// after every failed transaction: what failed may have been a wrong key.
func (s *Store) forget(c *cache) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.cache == c {
		s.cache = newCache()
	}
}

// identify notes which database answered a transaction that began with c's keys
// (nil: with none), and returns ErrDatabaseChanged when it is another one.
func (s *Store) identify(c *cache, identity string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	before := s.identity
	s.identity = identity
	if c != nil && c.identity != "" {
		before = c.identity
	}
	if before == "" || before == identity {
		return nil
	}
	s.cache = newCache()
	s.cfg.Logger.Warn("another database or timeline answers", "was", before, "is", identity)
	return ErrDatabaseChanged
}

// reckon notes which database answered a transaction under a lease, and returns
// ErrDatabaseChanged when the lease's holder was not told yet that it is another one.
func (s *Store) reckon(l *Lease, identity string) error {
	if !l.changed(identity) {
		return nil
	}
	_ = s.identify(nil, identity) // another lease's call may have found it before
	return ErrDatabaseChanged
}

// fail is where every failed call ends: what was known is forgotten, and the error
// is classified and counted. It returns nil for nil.
func (s *Store) fail(ctx context.Context, c *cache, op string, err error, unknown bool) error {
	if err == nil {
		return nil
	}
	if c != nil {
		s.forget(c)
	}
	if wrongServer(err) {
		s.pool.Reset() // a connection to a former primary would be used again and again
	}
	return s.cfg.Metrics.failed(classify(ctx, op, err, unknown))
}
