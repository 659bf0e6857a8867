package ca

import (
	"crypto/subtle"
	"encoding/hex"
	"errors"
	"fmt"
	"time"

	"andon.internal/broker/access"
	"andon.internal/shared/enroll"
)

// Token is what the authority keeps of a token: who may enrol with it, and until when.
type Token struct {
	Hash     string          `json:"hash"` // of its secret, hexadecimal
	Identity access.Identity `json:"identity"`
	Made     time.Time       `json:"made"`
	Expires  time.Time       `json:"expires"`
	Used     time.Time       `json:"used,omitzero"` // it is worth nothing from then on
}

// open reports whether the token can be used at a time.
func (t *Token) open(now time.Time) bool { return t.Used.IsZero() && now.Before(t.Expires) }

// LongestToken is how long a token may be good.
const LongestToken = 30 * 24 * time.Hour

// What is wrong with a token, or with who shows it.
var (
	ErrTokenUnknown = errors.New("the token is unknown: it is another authority's, or was forgotten")
	ErrTokenUsed    = errors.New("the token was used already")
	ErrTokenExpired = errors.New("the token has expired, or was ended")
	ErrTokenOther   = errors.New("the token is another cell's")
)

// NewToken makes a token with which a node can enrol once.
func (c *CA) NewToken(i access.Identity, good time.Duration) (enroll.Token, Token, error) {
	fail := func(err error) (enroll.Token, Token, error) {
		return enroll.Token{}, Token{}, fmt.Errorf("make token for %s: %w", i, err)
	}
	if err := i.Check(); err != nil {
		return fail(err)
	}
	if good <= 0 || good > LongestToken {
		return fail(fmt.Errorf("it must be good for more than 0s and at most %v", LongestToken))
	}
	token := enroll.NewToken(c.cert)
	hash := token.Secret.Hash()
	now := c.now().UTC()
	entry := Token{Hash: hex.EncodeToString(hash[:]), Identity: i, Made: now, Expires: now.Add(good)}
	err := c.change(func(l *lists) error { return c.saveTokens(append(l.tokens, entry)) })
	if err != nil {
		return fail(err)
	}
	return token, entry, nil
}

func (c *CA) saveTokens(list []Token) error { return writeJSON(c.path(tokensFile), list) }

// Redeem uses a token up for a certificate with the key of a certificate request. With a
// node that is not the token's, or a request that cannot be taken, the token stays as it
// is; from then on it is used, durably, before there is a certificate. Whoever does not
// get the answer needs another token.
func (c *CA) Redeem(secret enroll.Secret, group, node string, request []byte, life time.Duration) (cert []byte, issued Issued, err error) {
	hash := secret.Hash()
	err = c.change(func(l *lists) error {
		t := l.find(hash[:])
		now := c.now().UTC()
		switch {
		case t == nil:
			return ErrTokenUnknown
		case !t.Used.IsZero():
			return fmt.Errorf("%w at %s: if that was not you, revoke %q, and in any case make another",
				ErrTokenUsed, t.Used.Format(time.RFC3339), t.Identity)
		case !t.open(now):
			return fmt.Errorf("%w at %s: make another", ErrTokenExpired, t.Expires.Format(time.RFC3339))
		case group+node != "" && (group != t.Identity.Group || node != t.Identity.Name):
			return fmt.Errorf("%w: of %s, and this is node %s/%s", ErrTokenOther, t.Identity, group, node)
		}
		public, err := requestedKey(request)
		if err != nil {
			return err
		}
		t.Used = now
		if err := c.saveTokens(l.tokens); err != nil {
			return err
		}
		i := t.Identity
		cert, issued, err = c.sign(l, order{template: clientTemplate(i), holder: i.String(), identity: &i, life: life}, public)
		if err != nil {
			return fmt.Errorf("the token is used up, make another: %w", err)
		}
		return nil
	})
	if err != nil {
		return nil, Issued{}, fmt.Errorf("enrol: %w", err)
	}
	return cert, issued, nil
}

// EndTokens ends the tokens of a holder that were not used, and returns how many.
func (c *CA) EndTokens(holder string) (ended int, err error) {
	err = c.change(func(l *lists) error {
		now := c.now().UTC()
		for n := range l.tokens {
			if t := &l.tokens[n]; t.Identity.String() == holder && t.open(now) {
				t.Expires = now
				ended++
			}
		}
		if ended == 0 {
			return nil
		}
		return c.saveTokens(l.tokens)
	})
	if err != nil {
		return 0, fmt.Errorf("end the tokens of %q: %w", holder, err)
	}
	return ended, nil
}

// find returns the token with a hash, or nil, in the same time for every hash.
func (l *lists) find(hash []byte) *Token {
	var found *Token
	for n := range l.tokens {
		h, err := hex.DecodeString(l.tokens[n].Hash)
		if err == nil && subtle.ConstantTimeCompare(h, hash) == 1 {
			found = &l.tokens[n]
		}
	}
	return found
}
