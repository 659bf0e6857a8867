package store

import (
	"context"
	"errors"
	"fmt"

	"github.com/jackc/pgx/v5/pgconn"
)

var (
	// ErrLeaseLost means that another holder has the lease. Nothing was written.
	ErrLeaseLost = errors.New("the lease was lost to another holder")
	// ErrDatabaseChanged is wrapped in the [RetryError] of the calls that first find
	// another database, or another timeline, behind the connection: it may lack
	// what was acknowledged, so every node must be asked to sync.
	ErrDatabaseChanged = errors.New("the database was restored or failed over")
	// ErrUnknownProfile means that a profile is not installed in this database.
	ErrUnknownProfile = errors.New("the profile is not installed")
)

// RetryError is a failure that lies with the database or the way to it: nothing
// was settled, and the same call may be made again. When Unknown is set the
// transaction may have been committed; a repeat finds out.
type RetryError struct {
	Op      string // such as "commit batch"
	Class   string // for metrics: "connection", "changed", or the SQLSTATE's class such as "57"
	Unknown bool
	Err     error
}

func (e *RetryError) Error() string {
	if e.Unknown {
		return fmt.Sprintf("%s: outcome unknown: %v", e.Op, e.Err)
	}
	return fmt.Sprintf("%s: %v", e.Op, e.Err)
}

func (e *RetryError) Unwrap() error { return e.Err }

// IsRetry reports whether the call that returned err may be made again unchanged.
func IsRetry(err error) bool {
	_, ok := asRetry(err)
	return ok
}

func asRetry(err error) (*RetryError, bool) {
	var r *RetryError
	ok := errors.As(err, &r)
	return r, ok
}

// wrongServer reports whether err says that the server at the other end is not,
// or is no longer, the one that takes writes.
func wrongServer(err error) bool {
	var pg *pgconn.PgError
	return errors.Is(err, ErrDatabaseChanged) || errors.As(err, &pg) && (pg.Code == "25006" || pg.Code == "55000")
}

// classify turns an error of an operation into what the caller is told. Sentinels
// of this package and a cancelled context pass; all else is a [RetryError].
func classify(ctx context.Context, op string, err error, unknown bool) error {
	if err == nil {
		return nil
	}
	if IsRetry(err) {
		return err
	}
	if errors.Is(err, ErrLeaseLost) || errors.Is(err, ErrUnknownProfile) {
		return fmt.Errorf("%s: %w", op, err)
	}
	class := "connection"
	if errors.Is(err, ErrDatabaseChanged) {
		class = "changed"
	}
	var pg *pgconn.PgError
	if errors.As(err, &pg) && len(pg.Code) >= 2 {
		class = pg.Code[:2]
		if pg.Code == "42P01" || pg.Code == "3F000" {
			err = fmt.Errorf("%w; run: andon-collector migrate", err)
		}
	}
	if cause := context.Cause(ctx); cause != nil && !errors.Is(err, cause) {
		err = fmt.Errorf("%w: %w", cause, err)
	}
	return &RetryError{Op: op, Class: class, Unknown: unknown, Err: err}
}
