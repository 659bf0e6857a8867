package store

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"andon.internal/collector/account"
)

// Bounds of what [Store.Accounts] returns. Of sessions it is the latest.
const (
	maxUsers    = 10_000
	maxSessions = 20_000
	maxTokens   = 10_000
)

// accountTx runs f in a transaction. Errors of package account pass, others are as for
// [Store.Ping].
func (s *Store) accountTx(ctx context.Context, op string, o pgx.TxOptions, f func(tx pgx.Tx) error) error {
	err := pgx.BeginTxFunc(ctx, s.pool, o, func(tx pgx.Tx) error {
		if _, err := tx.Exec(ctx, s.settings); err != nil {
			return err
		}
		return f(tx)
	})
	for _, known := range []error{account.ErrExists, account.ErrUnknown, account.ErrLastAdmin} {
		if errors.Is(err, known) {
			return fmt.Errorf("%s: %w", op, err)
		}
	}
	return s.fail(ctx, nil, op, err, false)
}

// Accounts returns every user, session and token.
func (s *Store) Accounts(ctx context.Context) (all account.All, err error) {
	together := pgx.TxOptions{IsoLevel: pgx.RepeatableRead, AccessMode: pgx.ReadOnly}
	err = s.accountTx(ctx, "read accounts", together, func(tx pgx.Tx) error {
		if all.Users, err = collect(ctx, tx, scanUser, `SELECT name, role, disabled, password_hash, revision, created_at, changed_at
 FROM app_user ORDER BY name LIMIT $1`, maxUsers); err != nil {
			return err
		}
		if all.Sessions, err = collect(ctx, tx, scanSession, `SELECT session_id, user_name, role, revision, created_at, seen_at, from_addr
 FROM app_session ORDER BY created_at DESC LIMIT $1`, maxSessions); err != nil {
			return err
		}
		all.Tokens, err = collect(ctx, tx, scanToken, `SELECT token_id, name, scopes, hash, created_at, expires_at
 FROM api_token ORDER BY name LIMIT $1`, maxTokens)
		return err
	})
	return all, err
}

func collect[T any](ctx context.Context, tx pgx.Tx, scan pgx.RowToFunc[T], sql string, args ...any) ([]T, error) {
	rows, err := tx.Query(ctx, sql, args...)
	if err != nil {
		return nil, err
	}
	return pgx.CollectRows(rows, scan)
}

func scanUser(row pgx.CollectableRow) (u account.User, err error) {
	err = row.Scan(&u.Name, &u.Role, &u.Disabled, &u.Hash, &u.Revision, &u.Created, &u.Changed)
	return u, err
}

func scanSession(row pgx.CollectableRow) (s account.Session, err error) {
	var id []byte
	err = row.Scan(&id, &s.User, &s.Role, &s.Revision, &s.Created, &s.Seen, &s.From)
	copy(s.ID[:], id) // the table holds it to 32 bytes
	return s, err
}

func scanToken(row pgx.CollectableRow) (t account.Token, err error) {
	var hash []byte
	var scopes []string
	err = row.Scan(&t.ID, &t.Name, &scopes, &hash, &t.Created, &t.Expires)
	for _, s := range scopes {
		t.Scopes = append(t.Scopes, account.Scope(s))
	}
	copy(t.Hash[:], hash)
	return t, err
}

// SaveSessions writes what changed of sessions. A new session of a user who was changed,
// disabled or removed since the login is left out, so that it ends; one that is there
// already is not written again, so a call may be repeated.
func (s *Store) SaveSessions(ctx context.Context, c account.Sessions) error {
	if c.Empty() {
		return nil
	}
	return s.accountTx(ctx, "save sessions", pgx.TxOptions{}, func(tx pgx.Tx) error {
		batch := &pgx.Batch{}
		for _, n := range c.New {
			batch.Queue(`INSERT INTO app_session (session_id, user_name, role, revision, created_at, seen_at, from_addr)
 SELECT $1, $2::text, $3, $4::bigint, $5, $6, $7 WHERE $4::bigint = 0
 OR EXISTS (SELECT FROM app_user WHERE name = $2::text AND revision = $4::bigint AND NOT disabled FOR SHARE)
 ON CONFLICT DO NOTHING`, n.ID[:], cleanText(n.User), string(n.Role), n.Revision, n.Created, n.Seen, clip(n.From, 60))
		}
		for _, n := range c.Seen {
			batch.Queue(`UPDATE app_session SET seen_at = $2 WHERE session_id = $1 AND seen_at < $2`, n.ID[:], n.Seen)
		}
		for _, id := range c.Ended {
			batch.Queue(`DELETE FROM app_session WHERE session_id = $1`, id[:])
		}
		return tx.SendBatch(ctx, batch).Close()
	})
}

// PruneSessions deletes the sessions that are over by time, or whose user was changed.
func (s *Store) PruneSessions(ctx context.Context, now time.Time, l account.Limits) error {
	return s.accountTx(ctx, "prune sessions", pgx.TxOptions{}, func(tx pgx.Tx) error {
		_, err := tx.Exec(ctx, `DELETE FROM app_session s WHERE seen_at <= $1 OR created_at <= $2 OR (revision > 0 AND NOT EXISTS
 (SELECT FROM app_user u WHERE u.name = s.user_name AND u.revision = s.revision AND NOT u.disabled))`,
			now.Add(-l.Idle), now.Add(-l.Absolute))
		return err
	})
}

// EndSessions ends all sessions of a name, also those of whom an identity provider vouches
// for, and returns how many; without any, [account.ErrUnknown].
func (s *Store) EndSessions(ctx context.Context, name string) (ended int64, err error) {
	err = s.accountTx(ctx, "end sessions", pgx.TxOptions{}, func(tx pgx.Tx) error {
		tag, err := tx.Exec(ctx, `DELETE FROM app_session WHERE user_name = $1`, cleanText(name))
		if ended = tag.RowsAffected(); err == nil && ended == 0 {
			err = account.ErrUnknown
		}
		return err
	})
	return ended, err
}

// AddUser makes a user. It returns [account.ErrExists] when there is one of this name.
func (s *Store) AddUser(ctx context.Context, u account.User) error {
	return s.accountTx(ctx, "add user", pgx.TxOptions{}, func(tx pgx.Tx) error {
		_, err := tx.Exec(ctx, `INSERT INTO app_user (name, role, disabled, password_hash) VALUES ($1, $2, $3, $4)`,
			u.Name, string(u.Role), u.Disabled, u.Hash)
		return exists(err)
	})
}

func exists(err error) error {
	var pg *pgconn.PgError
	if errors.As(err, &pg) && pg.Code == "23505" {
		return account.ErrExists
	}
	return err
}

// ChangeUser changes a user and ends their sessions. It returns [account.ErrUnknown],
// and unless force is set [account.ErrLastAdmin] where no other could administer then.
func (s *Store) ChangeUser(ctx context.Context, name string, c account.Change, force bool) error {
	return s.accountTx(ctx, "change user", pgx.TxOptions{}, func(tx pgx.Tx) error {
		var role *string
		if c.Role != nil {
			r := string(*c.Role)
			role = &r
		}
		return s.alterUser(ctx, tx, name, force, `UPDATE app_user SET role = coalesce($2, role), disabled = coalesce($3, disabled),
 password_hash = coalesce($4, password_hash), revision = nextval('app_user_revision'), changed_at = now() WHERE name = $1`,
			name, role, c.Disabled, c.Hash)
	})
}

// RemoveUser removes a user and ends their sessions. Errors are as for ChangeUser.
func (s *Store) RemoveUser(ctx context.Context, name string, force bool) error {
	return s.accountTx(ctx, "remove user", pgx.TxOptions{}, func(tx pgx.Tx) error {
		return s.alterUser(ctx, tx, name, force, `DELETE FROM app_user WHERE name = $1`, name)
	})
}

// alterUser runs a statement on one user, with nobody else changing users meanwhile.
func (s *Store) alterUser(ctx context.Context, tx pgx.Tx, name string, force bool, sql string, args ...any) error {
	const admins = `SELECT count(*) FROM app_user WHERE role = 'admin' AND NOT disabled`
	var before, after int
	if _, err := tx.Exec(ctx, `LOCK TABLE app_user IN SHARE ROW EXCLUSIVE MODE`); err != nil {
		return err
	}
	if err := tx.QueryRow(ctx, admins).Scan(&before); err != nil {
		return err
	}
	tag, err := tx.Exec(ctx, sql, args...)
	if err != nil {
		return err
	}
	if tag.RowsAffected() == 0 {
		return account.ErrUnknown
	}
	if err := tx.QueryRow(ctx, admins).Scan(&after); err != nil {
		return err
	}
	if before > 0 && after == 0 && !force {
		return account.ErrLastAdmin
	}
	_, err = tx.Exec(ctx, `DELETE FROM app_session WHERE user_name = $1 AND revision > 0`, name)
	return err
}

// AddToken keeps a token. It returns [account.ErrExists] when there is one of this name.
func (s *Store) AddToken(ctx context.Context, t account.Token) error {
	scopes := make([]string, len(t.Scopes))
	for i, scope := range t.Scopes {
		scopes[i] = string(scope)
	}
	return s.accountTx(ctx, "add token", pgx.TxOptions{}, func(tx pgx.Tx) error {
		_, err := tx.Exec(ctx, `INSERT INTO api_token (token_id, name, scopes, hash, created_at, expires_at) VALUES ($1, $2, $3, $4, $5, $6)`,
			t.ID, t.Name, scopes, t.Hash[:], t.Created, t.Expires)
		return exists(err)
	})
}

// RevokeToken deletes a token. It returns [account.ErrUnknown] when there is none.
func (s *Store) RevokeToken(ctx context.Context, name string) error {
	return s.accountTx(ctx, "revoke token", pgx.TxOptions{}, func(tx pgx.Tx) error {
		tag, err := tx.Exec(ctx, `DELETE FROM api_token WHERE name = $1`, name)
		if err == nil && tag.RowsAffected() == 0 {
			err = account.ErrUnknown
		}
		return err
	})
}

// Accounts is [Store.Accounts].
func (r *Reader) Accounts(ctx context.Context) (account.All, error) { return r.s.Accounts(ctx) }

// SaveSessions is [Store.SaveSessions].
func (r *Reader) SaveSessions(ctx context.Context, c account.Sessions) error {
	return r.s.SaveSessions(ctx, c)
}

// PruneSessions is [Store.PruneSessions].
func (r *Reader) PruneSessions(ctx context.Context, now time.Time, l account.Limits) error {
	return r.s.PruneSessions(ctx, now, l)
}
