package store_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"andon.internal/collector/account"
	"andon.internal/collector/store"
)

// someHash has the form of a hash; nobody knows its password.
const someHash = "$argon2id$v=19$m=19456,t=2,p=1$c29tZXNhbHQ$CTFhFdXPJO1aFaMaO6Mm5c8y7cJHAph8ArZWb2GRPPc"

func addUser(t *testing.T, f *fixture, name string, role account.Role) {
	t.Helper()
	if err := f.s.AddUser(t.Context(), account.User{Name: name, Role: role, Hash: someHash}); err != nil {
		t.Fatal(err)
	}
}

// accounts is what is kept, as text.
func accounts(t *testing.T, f *fixture) (users, sessions string, all account.All) {
	t.Helper()
	all, err := f.s.Accounts(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	var u, s []string
	for _, x := range all.Users {
		u = append(u, fmt.Sprintf("%s:%s:%v", x.Name, x.Role, x.Disabled))
	}
	for _, x := range all.Sessions {
		s = append(s, x.User)
	}
	slices.Sort(s)
	return strings.Join(u, " "), strings.Join(s, " "), all
}

func revision(t *testing.T, f *fixture, name string) int64 {
	t.Helper()
	_, _, all := accounts(t, f)
	for _, u := range all.Users {
		if u.Name == name {
			return u.Revision
		}
	}
	t.Fatalf("there is no user %s", name)
	return 0
}

func session(secret, user string, revision int64) account.Session {
	return account.Session{
		ID: account.HashOf(secret), User: user, Role: account.Viewer, Revision: revision,
		Created: now, Seen: now, From: "10.0.0.7",
	}
}

func TestUsers(t *testing.T) {
	f, ctx := setUp(t), t.Context()
	addUser(t, f, "ann", account.Admin)
	addUser(t, f, "bob", account.Viewer)
	if err := f.s.AddUser(ctx, account.User{Name: "ann", Role: account.Viewer, Hash: someHash}); !errors.Is(err, account.ErrExists) {
		t.Errorf("a second ann: %v", err)
	}
	for _, bad := range []account.User{
		{Name: "Eve", Role: account.Viewer, Hash: someHash}, {Name: "eve", Role: "root", Hash: someHash}, {Name: "eve", Role: account.Viewer, Hash: "plain"},
	} {
		if err := f.s.AddUser(ctx, bad); err == nil {
			t.Errorf("the table takes %+v", bad)
		}
	}
	change := func(name string, c account.Change, force bool, want error) {
		t.Helper()
		if err := f.s.ChangeUser(ctx, name, c, force); !errors.Is(err, want) || (want == nil && err != nil) {
			t.Errorf("change %s: %v, want %v", name, err, want)
		}
	}
	viewer, yes, no, admin := account.Viewer, true, false, account.Admin
	change("eve", account.Change{Disabled: &yes}, false, account.ErrUnknown)
	change("ann", account.Change{Role: &viewer}, false, account.ErrLastAdmin)
	change("ann", account.Change{Disabled: &yes}, false, account.ErrLastAdmin)
	if err := f.s.RemoveUser(ctx, "ann", false); !errors.Is(err, account.ErrLastAdmin) {
		t.Errorf("the last admin is removed: %v", err)
	}
	if users, _, _ := accounts(t, f); users != "ann:admin:false bob:viewer:false" {
		t.Errorf("users %s", users)
	}
	change("bob", account.Change{Role: &admin}, false, nil)
	change("ann", account.Change{Disabled: &yes}, false, nil)
	change("bob", account.Change{Disabled: &yes}, true, nil)
	change("bob", account.Change{Disabled: &no}, false, nil)
	if err := f.s.RemoveUser(ctx, "ann", false); err != nil {
		t.Error(err)
	}
	if users, _, _ := accounts(t, f); users != "bob:admin:false" {
		t.Errorf("users %s", users)
	}
}

// TestSessionsEndWithEveryChangeOfTheirUser also when it comes later than the session,
// which was kept in memory while the database was away.
func TestSessionsEndWithEveryChangeOfTheirUser(t *testing.T) {
	f, ctx := setUp(t), t.Context()
	viewer, yes, hash := account.Viewer, true, someHash
	for name, end := range map[string]func() error{
		"role":     func() error { return f.s.ChangeUser(ctx, "ann", account.Change{Role: &viewer}, true) },
		"password": func() error { return f.s.ChangeUser(ctx, "ann", account.Change{Hash: &hash}, true) },
		"disabled": func() error { return f.s.ChangeUser(ctx, "ann", account.Change{Disabled: &yes}, true) },
		"removed":  func() error { return f.s.RemoveUser(ctx, "ann", true) },
		"made again": func() error {
			return errors.Join(f.s.RemoveUser(ctx, "ann", true), f.s.AddUser(ctx, account.User{Name: "ann", Role: account.Admin, Hash: hash}))
		},
	} {
		exec(t, f.dsn, `DELETE FROM app_user`, `DELETE FROM app_session`)
		addUser(t, f, "ann", account.Admin)
		addUser(t, f, "bob", account.Viewer)
		ann, bob := revision(t, f, "ann"), revision(t, f, "bob")
		save := func(secret, user string, revision int64) {
			t.Helper()
			if err := f.s.SaveSessions(ctx, account.Sessions{New: []account.Session{session(secret, user, revision)}}); err != nil {
				t.Fatal(err)
			}
		}
		save("1", "ann", ann)
		save("1", "ann", ann) // again
		save("2", "bob", bob)
		save("3", "ann", 0) // of the identity provider, another person
		if _, sessions, _ := accounts(t, f); sessions != "ann ann bob" {
			t.Fatalf("%s: sessions %q before", name, sessions)
		}
		if err := end(); err != nil {
			t.Fatal(err)
		}
		save("4", "ann", ann) // begun before the change, written after it
		if _, sessions, _ := accounts(t, f); sessions != "ann bob" {
			t.Errorf("%s: sessions %q after", name, sessions)
		}
	}
}

// TestSessionsAreEndedByName: those of the identity provider too, who is no user here.
func TestSessionsAreEndedByName(t *testing.T) {
	f, ctx := setUp(t), t.Context()
	if err := f.s.SaveSessions(ctx, account.Sessions{New: []account.Session{
		session("1", "Ann Smith", 0), session("2", "Ann Smith", 0), session("3", "Bob Jones", 0),
	}}); err != nil {
		t.Fatal(err)
	}
	if n, err := f.s.EndSessions(ctx, "Ann Smith"); n != 2 || err != nil {
		t.Errorf("%d are ended, %v", n, err)
	}
	if _, err := f.s.EndSessions(ctx, "Ann Smith"); !errors.Is(err, account.ErrUnknown) {
		t.Errorf("once more: %v", err)
	}
	if err := f.s.SaveSessions(ctx, account.Sessions{Seen: []account.Session{session("1", "Ann Smith", 0)}}); err != nil {
		t.Fatal(err)
	}
	if _, sessions, _ := accounts(t, f); sessions != "Bob Jones" {
		t.Errorf("sessions %q are left", sessions)
	}
}

func TestSessionsAreSeenAndPruned(t *testing.T) {
	f, ctx := setUp(t), t.Context()
	addUser(t, f, "ann", account.Viewer)
	a := session("1", "ann", revision(t, f, "ann"))
	b := a
	b.ID = account.HashOf("2")
	save := func(c account.Sessions) {
		t.Helper()
		if err := f.s.SaveSessions(ctx, c); err != nil {
			t.Fatal(err)
		}
	}
	save(account.Sessions{New: []account.Session{a, b}})
	later := a
	later.Seen = now.Add(time.Hour)
	save(account.Sessions{Seen: []account.Session{later}})
	save(account.Sessions{Seen: []account.Session{a}}) // an older news of another process
	_, _, all := accounts(t, f)
	i := slices.IndexFunc(all.Sessions, func(s account.Session) bool { return s.ID == a.ID })
	if i < 0 || !all.Sessions[i].Seen.Equal(later.Seen) || !all.Sessions[i].Created.Equal(now) || all.Sessions[i].From != "10.0.0.7" {
		t.Fatalf("sessions %+v", all.Sessions)
	}
	if err := f.s.PruneSessions(ctx, now.Add(90*time.Minute), account.Limits{Idle: time.Hour, Absolute: 24 * time.Hour}); err != nil {
		t.Fatal(err)
	}
	if _, _, all = accounts(t, f); len(all.Sessions) != 1 || all.Sessions[0].ID != a.ID {
		t.Errorf("after pruning %+v", all.Sessions)
	}
	save(account.Sessions{Ended: []account.Hash{a.ID}})
	if _, sessions, _ := accounts(t, f); sessions != "" {
		t.Errorf("sessions %q after the logout", sessions)
	}
}

func TestTokens(t *testing.T) {
	f, ctx := setUp(t), t.Context()
	tok, text := account.NewToken("hourly", []account.Scope{account.ScopeHealth, account.ScopeRead}, now, now.Add(time.Hour))
	if err := f.s.AddToken(ctx, tok); err != nil {
		t.Fatal(err)
	}
	if err := f.s.AddToken(ctx, tok); !errors.Is(err, account.ErrExists) {
		t.Errorf("a second time: %v", err)
	}
	_, _, all := accounts(t, f)
	if len(all.Tokens) != 1 || !all.Tokens[0].Is(text) || fmt.Sprint(all.Tokens[0].Scopes) != "[health read]" || !all.Tokens[0].Expires.Equal(now.Add(time.Hour)) {
		t.Errorf("tokens %+v", all.Tokens)
	}
	if got := strings.Join(lines(t, f.dsn, `SELECT t::text FROM api_token t`), " "); strings.Contains(got, text[14:66]) {
		t.Errorf("the table tells the token: %s", got)
	}
	if err := f.s.RevokeToken(ctx, "hourly"); err != nil {
		t.Error(err)
	}
	if err := f.s.RevokeToken(ctx, "hourly"); !errors.Is(err, account.ErrUnknown) {
		t.Errorf("a second time: %v", err)
	}
	bad := tok
	bad.Scopes = []account.Scope{"administer"}
	if err := f.s.AddToken(ctx, bad); err == nil {
		t.Error("the table takes any scope")
	}
}

// TestAccountsWithoutDatabase: the error says that it may be tried again.
func TestAccountsWithoutDatabase(t *testing.T) {
	s, err := store.Open(context.Background(), store.Config{DSN: "postgres://x@127.0.0.1:1/x"})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	if _, err := s.Accounts(t.Context()); !store.IsRetry(err) {
		t.Errorf("%v", err)
	}
}
