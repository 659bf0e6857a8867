package store

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"
)

// rollbackTimeout bounds the one round trip of giving up a transaction.
const rollbackTimeout = 2 * time.Second

// identitySQL names the database and its timeline, and says how much of its log is on disk.
const identitySQL = `SELECT id::text || '/' || left(pg_walfile_name(pg_current_wal_insert_lsn()), 8),
 pg_current_wal_flush_lsn() - '0/0' FROM epoch_of_database`

// leaseSQL holds off a new holder until we have committed, but not a renewal:
// FOR KEY SHARE conflicts with FOR UPDATE only.
const leaseSQL = `SELECT 1 FROM lease WHERE ` + heldSQL + ` FOR KEY SHARE`

// tx is a transaction on a connection of its own. It ends with commit or rollback.
type tx struct {
	conn     *pgxpool.Conn
	pg       *pgconn.PgConn
	identity string
	// unknown is set when COMMIT was sent and its outcome was not learnt.
	unknown bool
}

// begin starts a transaction, checks the lease (nil: none is needed) and runs the
// first calls, in one round trip.
func (s *Store) begin(ctx context.Context, l *Lease, first ...call) (*tx, error) {
	conn, err := s.pool.Acquire(ctx)
	if err != nil {
		return nil, err
	}
	t := &tx{conn: conn, pg: conn.Conn().PgConn()}
	held, before := l == nil, s.wal.now()
	calls := []call{
		{sql: "BEGIN"},
		{sql: s.settings},
		{sql: identitySQL, row: func(v [][]byte) error {
			flushed, err := parseInt(v[1])
			t.identity = s.wal.identity(string(v[0]), uint64(flushed), before)
			return err
		}},
	}
	if l != nil {
		calls = append(calls, call{
			sql:    leaseSQL,
			params: l.params(),
			row:    func([][]byte) error { held = true; return nil },
		})
	}
	err = pipeline(ctx, t.pg, append(calls, first...))
	switch {
	case err == nil && !held:
		err = ErrLeaseLost
	case err == nil && l != nil:
		err = s.reckon(l, t.identity)
	}
	if err != nil {
		t.rollback()
		return nil, err
	}
	return t, nil
}

// run makes further calls in one round trip.
func (t *tx) run(ctx context.Context, calls ...call) error { return pipeline(ctx, t.pg, calls) }

// errWarned means that COMMIT succeeded with a warning: a wait for the standby
// was cancelled, so the commit may exist here and not there.
var errWarned = errors.New("COMMIT came with a warning")

// commit makes the last calls and commits, in one round trip; these calls have no
// callbacks, because the server does not wait for what we think of their results.
// On an error with unknown set the transaction may have been committed. In every
// case t has ended.
func (t *tx) commit(ctx context.Context, last ...call) error {
	committed := func(tag pgconn.CommandTag) error {
		if tag.String() != "COMMIT" {
			return fmt.Errorf("COMMIT ended as %s", tag)
		}
		if n, ok := t.pg.CustomData()[warningKey].(*pgconn.Notice); ok {
			t.unknown = true
			return fmt.Errorf("%w: %s (SQLSTATE %s)", errWarned, n.Message, n.Code)
		}
		return nil
	}
	err := pipeline(ctx, t.pg, append(last, call{sql: "COMMIT", done: committed}))
	if err != nil {
		// Everything was sent at once, so COMMIT may have run whenever the server did
		// not itself report an error that leaves the session alive.
		var pg *pgconn.PgError
		if errors.As(err, &pg) {
			t.unknown = pg.SeverityUnlocalized != "ERROR"
		} else if t.pg.IsClosed() {
			t.unknown = true
		}
		t.rollback()
		return err
	}
	t.conn.Release()
	return nil
}

// rollback gives the transaction up and the connection back. A connection that
// does not answer at once is closed.
func (t *tx) rollback() {
	if !t.pg.IsClosed() && t.pg.TxStatus() != 'I' {
		ctx, cancel := context.WithTimeout(context.Background(), rollbackTimeout)
		defer cancel()
		if err := t.pg.Exec(ctx, "ROLLBACK").Close(); err != nil {
			_ = t.pg.Close(ctx)
		}
	}
	t.conn.Release() // the pool drops what is closed or not idle
}
