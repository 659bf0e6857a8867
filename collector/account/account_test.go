package account_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"andon.internal/collector/account"
)

func TestRolesGrow(t *testing.T) {
	want := map[account.Role]string{
		account.Viewer: "[view health]", account.Operator: "[view health acknowledge]",
		account.Engineer: "[view health acknowledge]", account.Admin: "[view health acknowledge administer]", "nobody": "[]", "": "[]",
	}
	for role, may := range want {
		got := slices.DeleteFunc(account.Permissions(), func(p account.Permission) bool { return !role.May(p) })
		if fmt.Sprint(got) != may {
			t.Errorf("%q may %v, want %s", role, got, may)
		}
	}
	for _, role := range account.Roles() {
		if got, err := account.ParseRole(string(role)); got != role || err != nil {
			t.Errorf("%s is read as %q, %v", role, got, err)
		}
		if role.May("") {
			t.Errorf("%s may what has no name", role)
		}
	}
	if _, err := account.ParseRole("root"); err == nil {
		t.Error("root is a role")
	}
}

func TestNames(t *testing.T) {
	for name, good := range map[string]bool{
		"ann": true, "a": true, "ann.lee@plant.example": true, "a-1_b": true, strings.Repeat("a", 64): true,
		"": false, "Ann": false, "ann ": false, ".ann": false, "ann-": false, "a/b": false, "ä": false, "a\n": false, strings.Repeat("a", 65): false,
	} {
		if err := account.CheckName(name); (err == nil) != good {
			t.Errorf("%q: %v", name, err)
		}
	}
}

func TestSessionsEnd(t *testing.T) {
	now := time.Now()
	l := account.Limits{Idle: time.Hour, Absolute: 24 * time.Hour}
	for _, tt := range []struct {
		seen, created time.Duration
		over          bool
	}{{0, 0, false}, {59 * time.Minute, 23 * time.Hour, false}, {time.Hour, time.Hour, true}, {0, 24 * time.Hour, true}} {
		s := account.Session{Created: now.Add(-tt.created), Seen: now.Add(-tt.seen)}
		if s.Over(now, l) != tt.over {
			t.Errorf("%+v: over is %v", tt, !tt.over)
		}
	}
}

func TestSecrets(t *testing.T) {
	a, b := account.NewSecret(), account.NewSecret()
	if len(a) != 43 || a == b || account.HashOf(a) == account.HashOf(b) || account.FormKey(a) == account.FormKey(b) {
		t.Errorf("secrets %q and %q", a, b)
	}
	key := account.FormKey(a)
	if strings.Contains(key, a) || key != account.FormKey(a) {
		t.Error("the key of a form tells the secret, or changes")
	}
	if !account.Same("abc", "abc") || account.Same("abc", "abd") || account.Same("abc", "ab") {
		t.Error("secrets are compared wrongly")
	}
}

func TestTokens(t *testing.T) {
	now := time.Now()
	scopes, err := account.ParseScopes([]string{"read", " health", "read"})
	if err != nil || fmt.Sprint(scopes) != "[read health]" {
		t.Fatalf("scopes %v, %v", scopes, err)
	}
	tok, text := account.NewToken("hourly", scopes, now, now.Add(time.Hour))
	id, err := account.ParseToken(text)
	if err != nil || id != tok.ID || !tok.Is(text) {
		t.Fatalf("%s is read as %q, %v", text, id, err)
	}
	if !strings.HasPrefix(text, "andon_") || strings.Contains(fmt.Sprintf("%+v %x", tok, tok.Hash), text) {
		t.Errorf("the token %+v tells its text", tok)
	}
	_, other := account.NewToken("hourly", scopes, now, now.Add(time.Hour))
	if tok.Is(other) {
		t.Error("another's text is taken")
	}
	for _, bad := range []string{"", "andon_", text[:len(text)-1], text + "a", strings.ToUpper(text), text[:20] + "b" + text[21:] + "", "x" + text[1:]} {
		if bad == text {
			continue
		}
		if _, err := account.ParseToken(bad); err == nil {
			t.Errorf("%q is taken for a token", bad)
		}
	}
	if tok.Expired(now) || !tok.Expired(now.Add(time.Hour)) {
		t.Error("the token expires at another time")
	}
	if !tok.May(account.View) || !tok.May(account.Health) || tok.May(account.Acknowledge) || tok.May(account.Administer) || tok.May("") {
		t.Errorf("the token %v may other than its scopes", scopes)
	}
	for _, bad := range [][]string{nil, {""}, {"admin"}, {"read", "administer"}} {
		if _, err := account.ParseScopes(bad); err == nil {
			t.Errorf("scopes %q are taken", bad)
		}
	}
}

func FuzzParseToken(f *testing.F) {
	_, text := account.NewToken("x", nil, time.Now(), time.Now())
	f.Add(text)
	f.Add("andon_" + strings.Repeat("ä", 33) + "a")
	f.Fuzz(func(t *testing.T, s string) {
		if id, err := account.ParseToken(s); err == nil && !strings.HasPrefix(s, "andon_"+id) {
			t.Errorf("%q has the id %q", s, id)
		}
	})
}
