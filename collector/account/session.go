package account

import (
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"time"
)

// Hash is the SHA-256 of a secret of 256 random bits.
type Hash [sha256.Size]byte

// Session is one login.
type Session struct {
	ID   Hash // of the secret in the cookie
	User string
	Role Role
	// Revision is the user's when they logged in; 0: their identity provider vouches for
	// them, and they have no [User].
	Revision int64
	Created  time.Time
	Seen     time.Time // the last use, to the minute
	From     string    // the address of the login
}

// Limits are how long a session lasts.
type Limits struct {
	Idle     time.Duration // since its last use
	Absolute time.Duration // since the login
}

// Over reports whether a session has come to its end by time alone.
func (s *Session) Over(now time.Time, l Limits) bool {
	return now.Sub(s.Seen) >= l.Idle || now.Sub(s.Created) >= l.Absolute
}

// NewSecret returns 256 random bits as text, for a cookie.
func NewSecret() string {
	var b [32]byte
	_, _ = rand.Read(b[:]) // it never fails
	return base64.RawURLEncoding.EncodeToString(b[:])
}

// HashOf returns what is kept of a secret.
func HashOf(secret string) Hash { return sha256.Sum256([]byte(secret)) }

// FormKey is what the forms of a session carry, so that a page of somebody else's
// cannot send one. It follows from the session's secret, which it does not tell.
func FormKey(secret string) string {
	m := hmac.New(sha256.New, []byte(secret))
	_, _ = m.Write([]byte("andon form")) // it never fails
	return base64.RawURLEncoding.EncodeToString(m.Sum(nil))
}

// Same compares two secrets in a time that does not tell how much of them is the same.
func Same(a, b string) bool { return subtle.ConstantTimeCompare([]byte(a), []byte(b)) == 1 }

// All is everything that is kept.
type All struct {
	Users    []User
	Sessions []Session
	Tokens   []Token
}

// Sessions is what changed of sessions.
type Sessions struct {
	New   []Session // of a user's earlier revision: not kept
	Seen  []Session // those used; only ID and Seen count
	Ended []Hash
}

// Empty reports whether nothing changed.
func (s *Sessions) Empty() bool { return len(s.New)+len(s.Seen)+len(s.Ended) == 0 }
