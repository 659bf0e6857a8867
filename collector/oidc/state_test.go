package oidc

import (
	"strings"
	"testing"
	"time"
)

var noon = time.Date(2026, 1, 2, 12, 0, 0, 0, time.UTC)

func sealed(t testing.TB) (*sealer, pending, string) {
	t.Helper()
	s, err := newSealer()
	if err != nil {
		t.Fatal(err)
	}
	p := pending{"STATE", "NONCE", "VERIFIER", "/unit/dyno-1?from=now", noon.Add(pendingFor)}
	text, err := s.seal(p)
	if err != nil {
		t.Fatal(err)
	}
	return s, p, text
}

func TestSealedLoginIsReadBack(t *testing.T) {
	s, p, text := sealed(t)
	if got, err := s.open(text, noon); err != nil || got != p {
		t.Errorf("%+v, %v", got, err)
	}
	if _, err := s.open(text, p.Until); err == nil {
		t.Error("a login that is too old is read")
	}
	other, _, _ := sealed(t)
	if _, err := other.open(text, noon); err == nil {
		t.Error("another process's login is read")
	}
	// The longest page fits into what browsers keep, and nobody reads what is in it.
	p.Back = "/" + strings.Repeat("\"", maxBack-1)
	long, err := s.seal(p)
	if err != nil || len(long) > maxCookie || strings.Contains(long, "VERIFIER") {
		t.Errorf("%d bytes, %v", len(long), err)
	}
}

// FuzzOpen: whatever a browser sends, only what was sealed is read.
func FuzzOpen(f *testing.F) {
	s, p, text := sealed(f)
	f.Add(text)
	f.Add(text[:len(text)-1])
	f.Add(text + "A")
	f.Add("")
	f.Add(strings.Repeat("A", maxCookie+1))
	f.Fuzz(func(t *testing.T, got string) {
		read, err := s.open(got, noon)
		if err == nil && read != p {
			t.Errorf("%q is read as %+v", got, read)
		}
		if err != nil && read != (pending{}) {
			t.Errorf("%q is an error and %+v", got, read)
		}
	})
}

func TestLocalPath(t *testing.T) {
	for back, want := range map[string]string{
		"/":                              "/",
		"/unit/dyno-1?from=1&to=2#a":     "/unit/dyno-1?from=1&to=2#a",
		"":                               "/",
		"unit":                           "/",
		"//elsewhere.example.com":        "/",
		"/\\elsewhere.example.com":       "/",
		"/\t/elsewhere.example.com":      "/",
		"/a\r\nSet-Cookie: a=b":          "/",
		"https://elsewhere.example.com/": "/",
		"javascript:alert(1)":            "/",
		"/" + strings.Repeat("a", 1024):  "/",
	} {
		if got := localPath(back); got != want {
			t.Errorf("%q leads to %q, want %q", back, got, want)
		}
	}
}

func TestSpentLoginsAreBounded(t *testing.T) {
	var s spent
	at := func(i int) pending { return pending{State: string(rune(i)), Until: noon.Add(pendingFor)} }
	for i := range maxSpent {
		if !s.take(at(i), noon) || s.take(at(i), noon) {
			t.Fatalf("login %d does not count once", i)
		}
	}
	s.take(at(maxSpent), noon)
	if len(s.until) != maxSpent || len(s.order) != maxSpent {
		t.Errorf("%d and %d are remembered", len(s.until), len(s.order))
	}
	s.take(pending{State: "late", Until: noon.Add(2 * pendingFor)}, noon.Add(pendingFor))
	if len(s.until) != 1 || len(s.order) != 1 {
		t.Errorf("%d and %d old ones are remembered", len(s.until), len(s.order))
	}
}
