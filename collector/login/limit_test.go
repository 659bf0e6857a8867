package login_test

import (
	"errors"
	"fmt"
	"net/netip"
	"testing"
	"testing/synctest"
	"time"

	"andon.internal/collector/account"
	"andon.internal/collector/login"
)

func TestGuessingGetsSlower(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := desk(t, newTable())
		began := time.Now()
		guess := func(from netip.Addr) time.Duration {
			_, _, err := d.LogIn(t.Context(), "ann", "wrong password", from)
			var limited *login.LimitError
			if errors.As(err, &limited) {
				return limited.After
			}
			return 0
		}
		n := 0
		for time.Since(began) < time.Hour {
			if after := guess(home); after > 0 {
				time.Sleep(after)
			} else {
				n++
			}
		}
		if n > 30 || n < 5 {
			t.Errorf("%d guesses in an hour", n)
		}
		hashes := d.Hashes()
		for range 100 {
			guess(home)
		}
		if d.Hashes()-hashes > 1 {
			t.Errorf("%d of 100 guesses at once are hashed", d.Hashes()-hashes)
		}
		// The user is not locked out by it, from elsewhere.
		if _, _, err := d.LogIn(t.Context(), "ann", password, other); err != nil {
			t.Errorf("the user from elsewhere: %v", err)
		}
	})
}

// TestManyNamesDoNotMakeWrongTriesForgotten: what is remembered of who guesses is bounded,
// and they must not be able to push themselves out of it.
func TestManyNamesDoNotMakeWrongTriesForgotten(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := desk(t, newTable())
		guesses := 0
		for range 16 {
			_, _, err := d.LogIn(t.Context(), "ann", "wrong password", home)
			if errors.Is(err, login.ErrWrong) {
				guesses++
			}
			for i := range 10_000 {
				_, _, _ = d.LogIn(t.Context(), fmt.Sprint("user", i), "wrong password", home)
			}
			time.Sleep(20 * time.Second)
		}
		if guesses > 12 {
			t.Errorf("%d of 16 guesses in 320 s are hashed", guesses)
		}
	})
}

// TestFloodsAreBounded: one address with many names, and many addresses.
func TestFloodsAreBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := desk(t, newTable())
		flood := func(addr func(i int) netip.Addr) int64 {
			before := d.Hashes()
			for i := range 300 {
				_, _, _ = d.LogIn(t.Context(), fmt.Sprint("user", i), "wrong password", addr(i))
			}
			return d.Hashes() - before
		}
		if n := flood(func(int) netip.Addr { return home }); n != 20 {
			t.Errorf("one address has %d hashed at once", n)
		}
		time.Sleep(time.Minute)
		if n := flood(func(i int) netip.Addr { return netip.AddrFrom16([16]byte{0x20, 1, 15: byte(i)}) }); n != 20 {
			t.Errorf("one network of IPv6 has %d hashed at once", n)
		}
		time.Sleep(time.Minute)
		if n := flood(func(i int) netip.Addr { return netip.AddrFrom4([4]byte{10, 1, byte(i >> 8), byte(i)}) }); n != 60 {
			t.Errorf("many addresses have %d hashed at once", n)
		}
	})
}

func TestOneUserHasABoundedNumberOfSessions(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		tab := newTable()
		d := desk(t, tab)
		first := ""
		for i := range 51 {
			secret, _, err := d.Admit("bob", account.Viewer, home)
			if err != nil {
				t.Fatal(err)
			}
			if i == 0 {
				first = secret
			}
			time.Sleep(time.Second)
		}
		if _, ok := d.Session(first); ok || tab.Sessions() != 50 {
			t.Errorf("%d sessions", tab.Sessions())
		}
	})
}

func TestTokensAreKnownAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		tab := newTable()
		tok, text := account.NewToken("hourly", []account.Scope{account.ScopeRead}, time.Now(), time.Now().Add(time.Hour))
		tab.AddToken(tok)
		d := desk(t, tab)
		if got, ok := d.Token(text); !ok || got.Name != "hourly" {
			t.Errorf("%+v, %v", got, ok)
		}
		if _, forged := account.NewToken("hourly", nil, time.Now(), time.Now().Add(time.Hour)); forged == text {
			t.Fatal("two tokens are the same")
		} else if _, ok := d.Token(forged); ok {
			t.Error("a forged one is taken")
		}
		other := tok
		other.Hash = account.HashOf("another secret of the same id")
		tab.Revoke()
		tab.AddToken(other)
		time.Sleep(2 * time.Second)
		if _, ok := d.Token(text); ok || d.TokenHolds(tok) {
			t.Error("a text with the id of another token is taken")
		}
		tab.Revoke()
		tab.AddToken(tok)
		time.Sleep(time.Hour)
		if _, ok := d.Token(text); ok || d.TokenHolds(tok) {
			t.Error("an expired one is taken")
		}
	})
}
