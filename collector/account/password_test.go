package account_test

import (
	"context"
	"errors"
	"strings"
	"sync"
	"testing"

	"andon.internal/collector/account"
)

func TestPasswordRules(t *testing.T) {
	for _, tt := range []struct {
		name, password string
		good           bool
	}{
		{"ann", "correct horse battery", true},
		{"ann", "ünïcödé wörds", true},
		{"ann", strings.Repeat("abcdefgh", 32), true},
		{"ann", "short", false},
		{"ann", "elevenchars", false},
		{"ann", "", false},
		{"annabella.lee", "annabella.lee", false},
		{"annabella", "Annabella123", false},
		{"annabella", "annabella annabella", false},
		{"ann", "anna went to lunch", true},
		{"ann", "aaaaaaaaaaaaaaa", false},
		{"ann", "abababababababab", false},
		{"ann", "two\nlines of text", false},
		{"ann", "not utf-8 \xff\xfe here", false},
		{"ann", strings.Repeat("abcdefgh", 33), false},
	} {
		if err := account.CheckPassword(tt.name, tt.password); (err == nil) != tt.good {
			t.Errorf("%q of %s: %v", tt.password, tt.name, err)
		}
	}
}

func TestHashes(t *testing.T) {
	h := account.NewHasher(2)
	const password = "correct horse battery"
	hash, err := h.Hash(t.Context(), password)
	if err != nil || !strings.HasPrefix(hash, "$argon2id$v=19$m=19456,t=2,p=1$") || account.CheckHash(hash) != nil {
		t.Fatalf("hash %q, %v", hash, err)
	}
	if again, _ := h.Hash(t.Context(), password); again == hash {
		t.Error("two hashes of one password are the same: there is no salt")
	}
	for _, tt := range []struct {
		hash, password string
		want           bool
	}{
		{hash, password, true},
		{hash, password + " ", false},
		{hash, "", false},
		{hash, strings.Repeat(password, 100), false},
		{"", password, false},
		{"", "", false},
		// Of the reference implementation: echo -n password | argon2 somesalt -id -t 2 -k 1024 -p 1 -l 32
		{"$argon2id$v=19$m=65536,t=2,p=1$c29tZXNhbHQ$CTFhFdXPJO1aFaMaO6Mm5c8y7cJHAph8ArZWb2GRPPc", "password", true},
	} {
		before := h.Hashes()
		got, err := h.Verify(t.Context(), tt.hash, tt.password)
		if got != tt.want || err != nil {
			t.Errorf("%.20q with %.20q: %v, %v", tt.hash, tt.password, got, err)
		}
		// Whether somebody is known must not be told by the time that it takes.
		if n := h.Hashes() - before; n != 1 {
			t.Errorf("%.20q with %.20q: %d hashes, want 1", tt.hash, tt.password, n)
		}
	}
}

func TestBadHashes(t *testing.T) {
	h := account.NewHasher(1)
	const salt, key = "c29tZXNhbHQ", "CTFhFdXPJO1aFaMaO6Mm5c8y7cJHAph8ArZWb2GRPPc"
	for _, bad := range []string{
		"secret", "$argon2i$v=19$m=64,t=2,p=1$" + salt + "$" + key, "$argon2id$v=16$m=64,t=2,p=1$" + salt + "$" + key,
		"$argon2id$v=19$m=99999999,t=2,p=1$" + salt + "$" + key, "$argon2id$v=19$m=64,t=0,p=1$" + salt + "$" + key,
		"$argon2id$v=19$m=64,t=999,p=1$" + salt + "$" + key, "$argon2id$v=19$m=64,t=2,p=0$" + salt + "$" + key,
		"$argon2id$v=19$m=64,t=2,p=1$" + salt + "$c2hvcnQ", "$argon2id$v=19$m=64,t=2,p=1$$" + key,
		"$argon2id$v=19$m=64,t=2,p=1$" + salt, "$argon2id$v=19$m=64,t=2,p=1$" + salt + "$" + key + "$",
	} {
		if ok, err := h.Verify(t.Context(), bad, "password"); ok || err == nil || strings.Contains(err.Error(), salt) {
			t.Errorf("%q: %v, %v", bad, ok, err)
		}
	}
	if h.Hashes() != 0 {
		t.Errorf("%d were hashed", h.Hashes())
	}
}

// TestHashingIsBounded: many at once wait for their turn, more are turned away, and who
// gives up gets no answer.
func TestHashingIsBounded(t *testing.T) {
	h := account.NewHasher(1)
	var wg sync.WaitGroup
	var mu sync.Mutex
	busy, done := 0, 0
	for range 40 {
		wg.Go(func() {
			_, err := h.Verify(t.Context(), "", "correct horse battery")
			mu.Lock()
			defer mu.Unlock()
			switch {
			case errors.Is(err, account.ErrBusy):
				busy++
			case err == nil:
				done++
			}
		})
	}
	wg.Wait()
	if done < 16 || busy+done != 40 || h.Hashes() != int64(done) {
		t.Errorf("%d were done, %d turned away, %d hashed", done, busy, h.Hashes())
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	refused := 0
	for range 50 { // a free slot may be taken first
		if ok, err := h.Verify(ctx, "", "x"); err != nil && !ok {
			refused++
		}
	}
	if refused == 0 {
		t.Error("who gave up is served")
	}
}

func FuzzCheckHash(f *testing.F) {
	f.Add("$argon2id$v=19$m=65536,t=2,p=1$c29tZXNhbHQ$CTFhFdXPJO1aFaMaO6Mm5c8y7cJHAph8ArZWb2GRPPc")
	f.Add("$argon2id$v=19$m=-1,t=,p=$$")
	f.Fuzz(func(t *testing.T, hash string) {
		if account.CheckHash(hash) == nil && !strings.HasPrefix(hash, "$argon2id$v=19$m=") {
			t.Errorf("%q is taken for a hash", hash)
		}
	})
}
