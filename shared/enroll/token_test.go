package enroll_test

import (
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"testing"

	"andon.internal/shared/enroll"
)

func TestTokenAsText(t *testing.T) {
	c := &x509.Certificate{Raw: []byte("a certificate")}
	token := enroll.NewToken(c)
	got, err := enroll.ParseToken(" " + token.Reveal() + "\n")
	if err != nil || got.Reveal() != token.Reveal() || got.CA != enroll.Fingerprint(c) || got.Secret != token.Secret {
		t.Errorf("%v reads as %v, %v", token, got, err)
	}
	if again := enroll.NewToken(c); again.Secret == token.Secret {
		t.Error("two tokens have one secret")
	}
	if token.Secret.Hash() == token.Secret {
		t.Error("the hash is the secret")
	}
}

// TestATokenHidesItsSecret: wherever it is printed as a value.
func TestATokenHidesItsSecret(t *testing.T) {
	token := enroll.NewToken(&x509.Certificate{})
	var log strings.Builder
	slog.New(slog.NewTextHandler(&log, nil)).Info("x", "token", token, "secret", token.Secret)
	fmt.Fprintf(&log, "%v %+v %#v %s %v %#v %v", token, token, token, token, token.Secret, token.Secret, &token)
	if secret := token.Secret.Reveal(); strings.Contains(log.String(), secret) || strings.Contains(log.String(), fmt.Sprint([32]byte(token.Secret))) {
		t.Error(log.String())
	}
}

func TestWhatIsNoToken(t *testing.T) {
	good := enroll.NewToken(&x509.Certificate{}).Reveal()
	for _, text := range []string{
		"", "andon1", "andon1..", good[1:], good[:len(good)-1], good + "A", good + ".x", strings.Replace(good, "andon1", "andon2", 1),
		strings.Replace(good, ".", " ", 1), strings.Repeat("x", 1<<20),
	} {
		if token, err := enroll.ParseToken(text); !errors.Is(err, enroll.ErrToken) || token != (enroll.Token{}) {
			t.Errorf("%.90q: %v, %v", text, token, err)
		}
	}
}

// FuzzParseToken: what reads as a token is written the same.
func FuzzParseToken(f *testing.F) {
	f.Add(enroll.NewToken(&x509.Certificate{}).Reveal())
	f.Add("andon1.a.b")
	f.Fuzz(func(t *testing.T, text string) {
		if token, err := enroll.ParseToken(text); err == nil && token.Reveal() != strings.TrimSpace(text) {
			t.Errorf("%q reads as %q", text, token.Reveal())
		}
	})
}
