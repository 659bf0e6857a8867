package account

import (
	"crypto/rand"
	"crypto/subtle"
	"encoding/base32"
	"encoding/binary"
	"errors"
	"hash/crc32"
	"slices"
	"strings"
	"time"
)

// Token lets a program use the API. Its text is shown once, when it is made.
type Token struct {
	ID      string // the public part of its text
	Name    string
	Scopes  []Scope
	Hash    Hash // of its text
	Created time.Time
	Expires time.Time
}

// A token's text is tokenPrefix, an id, a secret of 256 bits and a checksum, which lets a
// scanner for leaked secrets tell it from chance; in letters and digits only.
const (
	tokenPrefix = "andon_"
	idLength    = 8  // of 5 bytes
	bodyLength  = 52 // of 32 bytes
	sumLength   = 7  // of 4 bytes
)

var base32Lower = base32.NewEncoding("abcdefghijklmnopqrstuvwxyz234567").WithPadding(base32.NoPadding)

// ErrNoToken is for a text that is not a token's.
var ErrNoToken = errors.New("this is not a token of andon's, or a part of it is missing")

// NewToken makes a token and its text.
func NewToken(name string, scopes []Scope, now, expires time.Time) (t Token, text string) {
	var b [5 + 32]byte
	_, _ = rand.Read(b[:]) // it never fails
	t = Token{ID: base32Lower.EncodeToString(b[:5]), Name: name, Scopes: scopes, Created: now, Expires: expires}
	text = tokenPrefix + t.ID + base32Lower.EncodeToString(b[5:])
	text += checksum(text)
	t.Hash = HashOf(text)
	return t, text
}

func checksum(s string) string {
	return base32Lower.EncodeToString(binary.BigEndian.AppendUint32(nil, crc32.ChecksumIEEE([]byte(s))))
}

// ParseToken returns the id in a token's text, which may be anything.
func ParseToken(text string) (id string, err error) {
	const length = len(tokenPrefix) + idLength + bodyLength + sumLength
	if len(text) != length || !strings.HasPrefix(text, tokenPrefix) || checksum(text[:length-sumLength]) != text[length-sumLength:] {
		return "", ErrNoToken
	}
	return text[len(tokenPrefix) : len(tokenPrefix)+idLength], nil
}

// Is reports whether a text is that of the token.
func (t *Token) Is(text string) bool {
	h := HashOf(text)
	return subtle.ConstantTimeCompare(h[:], t.Hash[:]) == 1
}

// Expired reports whether the token's time is over.
func (t *Token) Expired(now time.Time) bool { return !now.Before(t.Expires) }

// May reports whether the token has a permission.
func (t *Token) May(p Permission) bool {
	return slices.ContainsFunc(t.Scopes, func(s Scope) bool { return permits[s] == p })
}
