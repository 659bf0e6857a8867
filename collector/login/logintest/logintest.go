// Package logintest keeps accounts in memory, for tests of who logs in.
package logintest

import (
	"context"
	"errors"
	"slices"
	"sync"
	"time"

	"andon.internal/collector/account"
)

// Password is every user's.
const Password = "correct horse battery"

// hash is that of Password, made once: it takes a while.
var hash = sync.OnceValue(func() string {
	h, err := account.NewHasher(1).Hash(context.Background(), Password)
	if err != nil {
		panic(err) // nobody else uses this hasher
	}
	return h
})

// Table is the accounts of a database that can be taken away; store's tests hold the real
// one to the same. The zero Table is empty. It is safe for concurrent use.
type Table struct {
	mu   sync.Mutex
	down bool
	full bool // nothing can be saved
	all  account.All
	next int64
}

var (
	errAway = errors.New("connection refused")
	errFull = errors.New("no space left on device")
)

// Accounts implements [login.Accounts].
func (t *Table) Accounts(context.Context) (account.All, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.down {
		return account.All{}, errAway
	}
	return account.All{Users: slices.Clone(t.all.Users), Sessions: slices.Clone(t.all.Sessions), Tokens: slices.Clone(t.all.Tokens)}, nil
}

// SaveSessions implements [login.Accounts].
func (t *Table) SaveSessions(_ context.Context, c account.Sessions) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	switch {
	case t.down:
		return errAway
	case t.full:
		return errFull
	}
	for _, s := range c.New {
		if s.Revision == 0 || slices.ContainsFunc(t.all.Users, func(u account.User) bool { return u.Name == s.User && u.Revision == s.Revision && !u.Disabled }) {
			t.all.Sessions = append(t.all.Sessions, s)
		}
	}
	for _, id := range c.Ended {
		t.all.Sessions = slices.DeleteFunc(t.all.Sessions, func(s account.Session) bool { return s.ID == id })
	}
	return nil
}

// PruneSessions implements [login.Accounts].
func (t *Table) PruneSessions(context.Context, time.Time, account.Limits) error { return nil }

// SetDown takes the database away, or brings it back.
func (t *Table) SetDown(down bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.down = down
}

// SetFull keeps sessions from being saved, or lets them again.
func (t *Table) SetFull(full bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.full = full
}

// Set adds or changes a user, whose sessions end.
func (t *Table) Set(name string, role account.Role, disabled bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.next++
	t.all.Users = slices.DeleteFunc(t.all.Users, func(u account.User) bool { return u.Name == name })
	t.all.Users = append(t.all.Users, account.User{Name: name, Role: role, Disabled: disabled, Hash: hash(), Revision: t.next})
	t.all.Sessions = slices.DeleteFunc(t.all.Sessions, func(s account.Session) bool { return s.User == name && s.Revision > 0 })
}

// Sessions is how many sessions are kept.
func (t *Table) Sessions() int {
	t.mu.Lock()
	defer t.mu.Unlock()
	return len(t.all.Sessions)
}

// AddToken keeps a token.
func (t *Table) AddToken(token account.Token) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.all.Tokens = append(t.all.Tokens, token)
}

// Revoke removes every token.
func (t *Table) Revoke() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.all.Tokens = nil
}
