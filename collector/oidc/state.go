package oidc

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"errors"
	"net/http"
	"strings"
	"time"
)

const (
	pendingFor = 5 * time.Minute // from Start to Callback
	maxBack    = 1024            // bytes of the page to return to
	maxCookie  = 4096            // bytes; browsers keep no longer ones
)

// pending is a login under way. Only the browser holds it.
type pending struct {
	State    string    `json:"s"`
	Nonce    string    `json:"n"`
	Verifier string    `json:"v"` // of PKCE
	Back     string    `json:"b"`
	Until    time.Time `json:"u"`
}

// sealer writes pending logins into a cookie and reads them back. Its key lives as long
// as the process: who logs in while it is restarted begins again.
type sealer struct{ aead cipher.AEAD }

func newSealer() (*sealer, error) {
	key := make([]byte, 32)
	_, _ = rand.Read(key) // never fails
	block, err := aes.NewCipher(key)
	if err != nil {
		return nil, err
	}
	aead, err := cipher.NewGCMWithRandomNonce(block)
	return &sealer{aead}, err
}

// seal returns a login as the text of a cookie.
func (s *sealer) seal(p pending) (string, error) {
	plain, err := json.Marshal(p)
	if err != nil {
		return "", err
	}
	return base64.RawURLEncoding.EncodeToString(s.aead.Seal(nil, nil, plain, nil)), nil
}

// open returns a login that seal wrote and that is not too old.
func (s *sealer) open(text string, now time.Time) (pending, error) {
	if len(text) > maxCookie {
		return pending{}, errors.New("the cookie is too long")
	}
	sealed, err := base64.RawURLEncoding.DecodeString(text)
	if err != nil {
		return pending{}, errors.New("the cookie is not ours")
	}
	plain, err := s.aead.Open(nil, nil, sealed, nil)
	if err != nil {
		return pending{}, errors.New("the cookie is not ours, or of before a restart")
	}
	var p pending
	if err := json.Unmarshal(plain, &p); err != nil {
		return pending{}, errors.New("the cookie holds no login")
	}
	if !now.Before(p.Until) {
		return pending{}, errors.New("the login was begun too long ago")
	}
	return p, nil
}

// maxPending bounds the logins under way in one browser: people open several tabs, and
// some providers go back to the first.
const maxPending = 4

// cookieName returns the name of the cookies, without the part that is a login's own. The
// prefix __Host- keeps other hosts of the domain from planting one.
func (p *Provider) cookieName() string {
	if strings.HasPrefix(p.config.RedirectURL, "https:") {
		return "__Host-andon-oidc-"
	}
	return "andon-oidc-"
}

// cookie returns the cookie of a login; with value "" one that removes it. The callback
// comes from the provider's site, so Strict would keep the cookie from it.
func (p *Provider) cookie(name, value string) *http.Cookie {
	c := &http.Cookie{
		Name: name, Value: value, Path: "/", HttpOnly: true, Secure: strings.HasPrefix(name, "__Host-"),
		SameSite: http.SameSiteLaxMode, MaxAge: int(pendingFor.Seconds()),
	}
	if value == "" {
		c.MaxAge = -1
	}
	return c
}

// nameOf returns the name of a login's cookie; "" for what is no state of ours.
func (p *Provider) nameOf(state string) string {
	if len(state) != stateLength || strings.Trim(state, base32) != "" {
		return ""
	}
	return p.cookieName() + state[:8]
}

// What rand.Text makes.
const (
	stateLength = 26
	base32      = "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567"
)

// makeRoom removes cookies of logins where a browser has too many.
func (p *Provider) makeRoom(rw http.ResponseWriter, r *http.Request) {
	n := 0
	for _, c := range r.Cookies() {
		if !strings.HasPrefix(c.Name, p.cookieName()) {
			continue
		}
		if n++; n >= maxPending {
			http.SetCookie(rw, p.cookie(c.Name, ""))
		}
	}
}

// localPath returns where to go after the login: a path of this server, else the start.
func localPath(back string) string {
	if len(back) > maxBack || !strings.HasPrefix(back, "/") || strings.HasPrefix(back, "//") ||
		strings.ContainsFunc(back, func(r rune) bool { return r < ' ' || r == '\\' || r == 0x7f }) {
		return "/"
	}
	return back
}
