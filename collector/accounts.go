package collector

import (
	"context"
	"errors"
	"log/slog"
	"maps"
	"time"

	"andon.internal/collector/account"
	"andon.internal/collector/auditlog"
	"andon.internal/collector/store"
	"andon.internal/shared/ops"
)

// deed is a change of who may do what, for the audit log.
type deed struct {
	action, object string
	detail         map[string]any
}

// withAccounts opens the database of a configuration for f, which does the deed; nil
// where it only looks.
func withAccounts(ctx context.Context, c Config, log *slog.Logger, d *deed, f func(s *store.Store) error) error {
	s, err := openStore(ctx, c, log, nil, nil)
	if err != nil {
		return err
	}
	defer s.Close()
	err = f(s)
	if d != nil {
		err = errors.Join(err, noteDeed(ctx, s, *d, err, log))
	}
	switch {
	case errors.Is(err, account.ErrExists), errors.Is(err, account.ErrUnknown):
		return ops.Hint(err, "andon-collector user list, and token list, show who there is")
	case errors.Is(err, account.ErrLastAdmin):
		return ops.Hint(err, "make another admin first, or add --force")
	case err != nil:
		return ops.Hint(err, "andon-collector check --config FILE tries the database")
	}
	return nil
}

// noteDeed notes how a deed ended.
func noteDeed(ctx context.Context, s *store.Store, d deed, why error, log *slog.Logger) error {
	result, detail := auditlog.OK, map[string]any{}
	maps.Copy(detail, d.detail)
	if why != nil {
		result, detail["why"] = auditlog.Failed, why.Error()
	}
	return noteAll(ctx, s, log, own(d.action, d.object, result, detail))
}

// AddUser makes a user who logs in with a password.
func AddUser(ctx context.Context, c Config, name string, role account.Role, password string, log *slog.Logger) error {
	hash, err := hashPassword(ctx, name, password)
	if err != nil {
		return err
	}
	d := deed{"add user", name, map[string]any{"role": role}}
	return withAccounts(ctx, c, log, &d, func(s *store.Store) error {
		return s.AddUser(ctx, account.User{Name: name, Role: role, Hash: hash})
	})
}

// hashPassword checks name and password, and hashes the password.
func hashPassword(ctx context.Context, name, password string) (string, error) {
	if err := errors.Join(account.CheckName(name), account.CheckPassword(name, password)); err != nil {
		return "", ops.UsageError(err, "for example: andon-collector user add ann --role operator --config collector.yaml")
	}
	return account.NewHasher(1).Hash(ctx, password)
}

// UserChange is what to change of a user; nil is left as it is.
type UserChange struct {
	Role     *account.Role
	Disabled *bool
	Password *string
	Force    bool // also where nobody would be left who is admin
}

// SetUser changes a user, whose sessions end.
func SetUser(ctx context.Context, c Config, name string, u UserChange, log *slog.Logger) error {
	change := account.Change{Role: u.Role, Disabled: u.Disabled}
	if u.Password != nil {
		hash, err := hashPassword(ctx, name, *u.Password)
		if err != nil {
			return err
		}
		change.Hash = &hash
	}
	d := deed{"change user", name, map[string]any{"role": u.Role, "disabled": u.Disabled, "password": u.Password != nil, "force": u.Force}}
	return withAccounts(ctx, c, log, &d, func(s *store.Store) error { return s.ChangeUser(ctx, name, change, u.Force) })
}

// RemoveUser removes a user, whose sessions end.
func RemoveUser(ctx context.Context, c Config, name string, force bool, log *slog.Logger) error {
	d := deed{"remove user", name, map[string]any{"force": force}}
	return withAccounts(ctx, c, log, &d, func(s *store.Store) error { return s.RemoveUser(ctx, name, force) })
}

// EndSessions ends all sessions of a name, also of whom the identity provider vouches for,
// and returns how many.
func EndSessions(ctx context.Context, c Config, name string, log *slog.Logger) (ended int64, err error) {
	d := deed{action: "end sessions", object: name}
	err = withAccounts(ctx, c, log, &d, func(s *store.Store) (err error) {
		ended, err = s.EndSessions(ctx, name)
		return err
	})
	return ended, err
}

// AddToken makes an API token and returns its text, which is kept nowhere.
func AddToken(ctx context.Context, c Config, name string, scopes []account.Scope, lasts time.Duration, log *slog.Logger) (account.Token, string, error) {
	if err := account.CheckName(name); err != nil {
		return account.Token{}, "", ops.UsageError(err, "for example: andon-collector token add hourly --scopes health --for 90d --config collector.yaml")
	}
	now := time.Now().UTC().Truncate(time.Microsecond)
	t, text := account.NewToken(name, scopes, now, now.Add(lasts))
	d := deed{"add token", name, map[string]any{"scopes": scopes, "expires": t.Expires}}
	err := withAccounts(ctx, c, log, &d, func(s *store.Store) error { return s.AddToken(ctx, t) })
	return t, text, err
}

// RevokeToken ends an API token.
func RevokeToken(ctx context.Context, c Config, name string, log *slog.Logger) error {
	return withAccounts(ctx, c, log, &deed{action: "revoke token", object: name}, func(s *store.Store) error { return s.RevokeToken(ctx, name) })
}

// Accounts returns every user, session and token.
func Accounts(ctx context.Context, c Config, log *slog.Logger) (all account.All, err error) {
	err = withAccounts(ctx, c, log, nil, func(s *store.Store) error {
		all, err = s.Accounts(ctx)
		return err
	})
	return all, err
}
