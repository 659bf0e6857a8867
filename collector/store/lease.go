package store

import (
	"context"
	"fmt"
	"strconv"
	"sync"
	"time"

	"github.com/jackc/pgx/v5/pgconn"
)

// Lease is the right to write, held under a name. Its token rises with every new
// holder, and every transaction checks both, so that a holder that was replaced
// while it slept writes nothing. The token alone is not enough: a database that was put
// back gives one again that another had.
type Lease struct {
	Name   string
	Holder string
	Token  int64

	seen *seen // nil: of no AcquireLease
}

// heldSQL finds the row of a lease that is still its holder's; see [Lease.params].
const heldSQL = `name = $1::text AND token = $2::bigint AND holder = $3::text`

func (l *Lease) params() [][]byte {
	return [][]byte{[]byte(l.Name), strconv.AppendInt(nil, l.Token, 10), []byte(l.Holder)}
}

// seen is the identity of the database that a lease's holder has reckoned with. Each
// lease has its own, because several share a Store and each must be told of a change.
type seen struct {
	mu       sync.Mutex
	identity string
}

// changed notes the identity and reports whether the holder is now to be told.
func (l *Lease) changed(identity string) bool {
	if l.seen == nil {
		return false
	}
	l.seen.mu.Lock()
	defer l.seen.mu.Unlock()
	before := l.seen.identity
	l.seen.identity = identity
	return before != identity
}

// AcquireLease takes the lease for ttl when it is free, expired, or the holder's
// own, and returns false when another has it. holder is unique to a process. A new
// holder waits for the transactions of the one before it. Times are the database's.
// It returns [ErrDatabaseChanged] when it is the first to find that.
func (s *Store) AcquireLease(ctx context.Context, name, holder string, ttl time.Duration) (Lease, bool, error) {
	const op = "acquire lease"
	free, err := s.leaseFree(ctx, name, holder)
	if err != nil || !free {
		return Lease{}, false, s.fail(ctx, nil, op, err, false)
	}
	l := Lease{Name: name, Holder: holder}
	taken := false
	t, err := s.begin(ctx, nil,
		call{
			sql: `INSERT INTO lease (name, holder, token, acquired_at, expires_at)
 VALUES ($1::text, '', 0, clock_timestamp(), '-infinity') ON CONFLICT DO NOTHING`,
			params: [][]byte{[]byte(name)},
		},
		// This lock waits for every transaction that checked the lease.
		call{sql: `SELECT 1 FROM lease WHERE name = $1::text FOR UPDATE`, params: [][]byte{[]byte(name)}},
		call{
			sql: `UPDATE lease SET holder = $2::text, token = token + 1, acquired_at = clock_timestamp(),
 expires_at = clock_timestamp() + $3::float8 * interval '1 second'
 WHERE name = $1::text AND (expires_at <= clock_timestamp() OR holder = $2::text) RETURNING token`,
			params: [][]byte{[]byte(name), []byte(holder), seconds(ttl)},
			row: func(v [][]byte) (err error) {
				taken = true
				l.Token, err = strconv.ParseInt(string(v[0]), 10, 64)
				return err
			},
		})
	if err != nil {
		return Lease{}, false, s.fail(ctx, nil, op, err, false)
	}
	if err := s.identify(nil, t.identity); err != nil {
		t.rollback()
		return Lease{}, false, s.fail(ctx, nil, op, err, false)
	}
	if err := t.commit(ctx); err != nil {
		return Lease{}, false, s.fail(ctx, nil, op, err, t.unknown)
	}
	if !taken {
		return Lease{}, false, nil
	}
	l.seen = &seen{identity: t.identity}
	return l, true, nil
}

// leaseFree looks without a lock, so that a standby that asks every second does
// not hold up the one that writes.
func (s *Store) leaseFree(ctx context.Context, name, holder string) (bool, error) {
	free := true
	const sql = `SELECT expires_at <= clock_timestamp() OR holder = $2 FROM lease WHERE name = $1`
	rows, err := s.pool.Query(ctx, sql, name, holder)
	if err != nil {
		return false, err
	}
	for rows.Next() {
		if err := rows.Scan(&free); err != nil {
			break // rows.Err has it
		}
	}
	rows.Close()
	return free, rows.Err()
}

// RenewLease extends a lease that nobody took over, for ttl from now, also when it
// had expired. It returns [ErrLeaseLost] when it is another's, and [ErrDatabaseChanged]
// when it is the first of the lease's calls to find that: a plant in which nothing
// happens learns of a restored database by its renewals.
func (s *Store) RenewLease(ctx context.Context, l Lease, ttl time.Duration) error {
	return s.changeLease(ctx, l, "renew lease", ttl, ErrLeaseLost)
}

// ReleaseLease lets another take the lease at once. It does nothing when the lease
// is another's.
func (s *Store) ReleaseLease(ctx context.Context, l Lease) error {
	return s.changeLease(ctx, l, "release lease", 0, nil)
}

// changeLease sets when the lease expires; lost is returned when it is not l.
func (s *Store) changeLease(ctx context.Context, l Lease, op string, ttl time.Duration, lost error) error {
	found := false
	t, err := s.begin(ctx, nil, call{
		sql: `UPDATE lease SET expires_at = clock_timestamp() + $4::float8 * interval '1 second'
 WHERE ` + heldSQL,
		params: append(l.params(), seconds(ttl)),
		done: func(tag pgconn.CommandTag) error {
			found = tag.RowsAffected() > 0
			return nil
		},
	})
	if err != nil {
		return s.fail(ctx, nil, op, err, false)
	}
	if err := s.reckon(&l, t.identity); err != nil {
		t.rollback()
		return s.fail(ctx, nil, op, err, false)
	}
	if err := t.commit(ctx); err != nil {
		return s.fail(ctx, nil, op, err, t.unknown)
	}
	if !found && lost != nil {
		return fmt.Errorf("%s: %w", op, lost)
	}
	return nil
}

func seconds(d time.Duration) []byte {
	return strconv.AppendFloat(nil, d.Seconds(), 'g', -1, 64)
}
