package login_test

import (
	"context"
	"errors"
	"net/netip"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"andon.internal/collector/account"
	"andon.internal/collector/login"
	"andon.internal/collector/login/logintest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const password = logintest.Password

var (
	home  = netip.MustParseAddr("10.0.0.7")
	other = netip.MustParseAddr("10.0.0.8")
)

// desk runs a Desk over a table with the user ann until the bubble's test ends.
func desk(t *testing.T, tab *logintest.Table, change ...func(*login.Config)) *login.Desk {
	t.Helper()
	c := login.Config{Accounts: tab}
	for _, f := range change {
		f(&c)
	}
	d, err := login.New(c)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() { d.Run(ctx); close(done) }()
	t.Cleanup(func() { cancel(); <-done })
	synctest.Wait()
	return d
}

func newTable() *logintest.Table {
	t := &logintest.Table{}
	t.Set("ann", account.Operator, false)
	return t
}

// in logs ann in.
func in(t *testing.T, d *login.Desk) string {
	t.Helper()
	secret, s, err := d.LogIn(t.Context(), "ann", password, home)
	if err != nil || s.User != "ann" || s.From != "10.0.0.7" {
		t.Fatalf("session %+v, %v", s, err)
	}
	return secret
}

func TestLogInAndOut(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		tab := newTable()
		tab.Set("gone", account.Admin, true)
		d := desk(t, tab)
		for _, name := range []string{"ann", "gone", "nobody", ""} {
			pass := "wrong password"
			if name != "ann" {
				pass = password
			}
			before := d.Hashes()
			if _, _, err := d.LogIn(t.Context(), name, pass, home); !errors.Is(err, login.ErrWrong) {
				t.Errorf("%q: %v", name, err)
			}
			if n := d.Hashes() - before; n != 1 { // as long for one as for another
				t.Errorf("%q takes %d hashes", name, n)
			}
		}
		one, two := in(t, d), in(t, d)
		if one == two {
			t.Error("two sessions share a secret")
		}
		s, ok := d.Session(one)
		if !ok || s.Role != account.Operator {
			t.Fatalf("the session is %+v, %v", s, ok)
		}
		synctest.Wait()
		if n := tab.Sessions(); n != 2 {
			t.Errorf("%d sessions are kept", n)
		}
		d.LogOut(s.ID)
		if _, ok := d.Session(one); ok {
			t.Error("a session goes on after the logout")
		}
		time.Sleep(3 * time.Second)
		if _, ok := d.Session(one); ok || tab.Sessions() != 1 {
			t.Error("the session came back")
		}
		if _, ok := d.Session(two); !ok {
			t.Error("the other session ended too")
		}
		for _, bad := range []string{"", one + "x", "nonsense"} {
			if _, ok := d.Session(bad); ok {
				t.Errorf("%q is taken for a session", bad)
			}
		}
	})
}

// between changes what was read of the accounts, before it is taken.
type between struct {
	*logintest.Table
	mu sync.Mutex
	f  func(all *account.All) // nil: nothing
}

func (b *between) set(f func(all *account.All)) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.f = f
}

func (b *between) Accounts(ctx context.Context) (account.All, error) {
	all, err := b.Table.Accounts(ctx)
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.f != nil {
		b.f(&all)
	}
	return all, err
}

// TestWhatHappensWhileTheAccountsAreRead is not undone by what was read before it: a
// logout holds, and so does a login.
func TestWhatHappensWhileTheAccountsAreRead(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		tab := &between{Table: newTable()}
		d := desk(t, tab.Table, func(c *login.Config) { c.Accounts = tab })
		secret, fresh := in(t, d), ""
		time.Sleep(1500 * time.Millisecond)
		s, _ := d.Session(secret)
		reads := 0
		tab.set(func(*account.All) {
			switch reads++; reads {
			case 1:
				d.LogOut(s.ID)
				fresh, _, _ = d.Admit("bob", account.Viewer, home)
			case 2: // the first was taken
				if _, ok := d.Session(secret); ok {
					t.Error("the session came back")
				}
				if _, ok := d.Session(fresh); !ok {
					t.Error("the new session is lost")
				}
			}
		})
		time.Sleep(2 * time.Second)
		tab.set(nil)
		if reads < 2 {
			t.Errorf("the accounts were read %d times", reads)
		}
	})
}

// TestSessionsOfAnEarlierRevisionAreOver also where the database still has them.
func TestSessionsOfAnEarlierRevisionAreOver(t *testing.T) {
	for name, change := range map[string]func(all *account.All){
		"another revision": func(all *account.All) { all.Users[0].Revision++ },
		"disabled":         func(all *account.All) { all.Users[0].Disabled = true },
		"removed":          func(all *account.All) { all.Users = nil },
	} {
		synctest.Test(t, func(t *testing.T) {
			tab := &between{Table: newTable()}
			d := desk(t, tab.Table, func(c *login.Config) { c.Accounts = tab })
			secret := in(t, d)
			time.Sleep(1500 * time.Millisecond)
			tab.set(change)
			time.Sleep(2 * time.Second)
			if _, ok := d.Session(secret); ok || len(d.Overview().Sessions) != 0 {
				t.Errorf("%s: the session goes on", name)
			}
		})
	}
}

func TestSessionsEndByTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := desk(t, newTable(), func(c *login.Config) { c.Limits = account.Limits{Idle: time.Hour, Absolute: 3 * time.Hour} })
		idle, used := in(t, d), in(t, d)
		for range 4 {
			time.Sleep(40 * time.Minute)
			if _, ok := d.Session(used); !ok {
				t.Fatal("a session that is used ended")
			}
		}
		if _, ok := d.Session(idle); ok {
			t.Error("an idle session goes on")
		}
		time.Sleep(20 * time.Minute)
		if _, ok := d.Session(used); ok {
			t.Error("a session goes on for ever")
		}
	})
}

// TestChangesOfAUserCountWithinTwoSeconds for sessions, and for who logs in then.
func TestChangesOfAUserCountWithinTwoSeconds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		tab := newTable()
		d := desk(t, tab)
		secret := in(t, d)
		time.Sleep(time.Second)
		tab.Set("ann", account.Viewer, false)
		time.Sleep(2 * time.Second)
		if _, ok := d.Session(secret); ok {
			t.Error("a session outlives a change of the role")
		}
		if s, _ := d.Session(in(t, d)); s.Role != account.Viewer {
			t.Errorf("the role is %s", s.Role)
		}
		tab.Set("ann", account.Viewer, true)
		time.Sleep(2 * time.Second)
		if _, _, err := d.LogIn(t.Context(), "ann", password, home); !errors.Is(err, login.ErrWrong) {
			t.Errorf("who is disabled: %v", err)
		}
	})
}

// TestRevocationsCountWhereNothingCanBeSaved: a full disk still tells who is disabled.
func TestRevocationsCountWhereNothingCanBeSaved(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		tab := newTable()
		d := desk(t, tab)
		tab.SetFull(true)
		secret := in(t, d)
		time.Sleep(2 * time.Second)
		if _, ok := d.Session(secret); !ok {
			t.Error("a session that cannot be saved ended")
		}
		tab.Set("ann", account.Operator, true)
		time.Sleep(2 * time.Second)
		if _, ok := d.Session(secret); ok {
			t.Error("a session outlives its user's end")
		}
		tab.Set("ann", account.Operator, false)
		time.Sleep(2 * time.Second)
		late := in(t, d)
		tab.SetFull(false)
		time.Sleep(2 * time.Second)
		if _, ok := d.Session(late); !ok || tab.Sessions() != 1 {
			t.Errorf("%d sessions are kept, want the last", tab.Sessions())
		}
	})
}

func TestWithoutTheDatabase(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		tab := newTable()
		tab.SetDown(true)
		d := desk(t, tab)
		if _, _, err := d.LogIn(t.Context(), "ann", password, home); !errors.Is(err, login.ErrNotKnown) || d.Known() {
			t.Fatalf("nobody is known: %v", err)
		}
		tab.SetDown(false)
		time.Sleep(2 * time.Second)
		before := in(t, d)
		time.Sleep(2 * time.Second)
		tab.SetDown(true)
		meanwhile, left := in(t, d), in(t, d)
		s, _ := d.Session(left)
		d.LogOut(s.ID)
		time.Sleep(time.Hour)
		for name, secret := range map[string]string{"before": before, "meanwhile": meanwhile} {
			if _, ok := d.Session(secret); !ok {
				t.Errorf("the session from %s ended", name)
			}
		}
		tab.SetDown(false)
		time.Sleep(2 * time.Second)
		if n := tab.Sessions(); n != 2 {
			t.Errorf("%d sessions are kept, want 2", n)
		}
		if _, ok := d.Session(left); ok {
			t.Error("a logout is forgotten")
		}
		// A change that was made by the time the database is back ends what was begun before.
		tab.SetDown(true)
		late := in(t, d)
		tab.Set("ann", account.Admin, false)
		tab.SetDown(false)
		time.Sleep(2 * time.Second)
		if _, ok := d.Session(late); ok || tab.Sessions() != 0 {
			t.Errorf("a session of before the change goes on; %d are kept", tab.Sessions())
		}
	})
}
