package enroll

import (
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"errors"
	"strings"
)

// Token lets a cell get one certificate, once.
type Token struct {
	CA     [sha256.Size]byte // the fingerprint of the authority's certificate
	Secret Secret
}

// Secret is the part of a token that is its worth: 256 random bits.
type Secret [32]byte

// prefix marks a token of this form.
const prefix = "andon1"

// NewToken returns a new token of an authority.
func NewToken(authority *x509.Certificate) Token {
	t := Token{CA: Fingerprint(authority)}
	_, _ = rand.Read(t.Secret[:]) // never fails
	return t
}

// Fingerprint is the SHA-256 of a certificate.
func Fingerprint(c *x509.Certificate) [sha256.Size]byte { return sha256.Sum256(c.Raw) }

// Reveal returns the token as it is handed on: andon1.FINGERPRINT.SECRET.
func (t Token) Reveal() string {
	return strings.Join([]string{prefix, encoding.EncodeToString(t.CA[:]), t.Secret.Reveal()}, ".")
}

// String leaves the secret out.
func (t Token) String() string { return prefix + "." + encoding.EncodeToString(t.CA[:]) + "..." }

// GoString leaves the secret out.
func (t Token) GoString() string { return t.String() }

var encoding = base64.RawURLEncoding.Strict()

// ErrToken is returned for what is no token. It says nothing of what was given.
var ErrToken = errors.New("this is no token of andon-broker ca token, or a part of one")

// ParseToken reads a token; blanks and line ends around it do not matter.
func ParseToken(text string) (t Token, err error) {
	parts := strings.Split(strings.TrimSpace(text), ".")
	if len(parts) != 3 || parts[0] != prefix {
		return Token{}, ErrToken
	}
	if err := decode(t.CA[:], parts[1]); err != nil {
		return Token{}, err
	}
	if t.Secret, err = ParseSecret(parts[2]); err != nil {
		return Token{}, err
	}
	return t, nil
}

func decode(dst []byte, text string) error {
	if len(text) != encoding.EncodedLen(len(dst)) {
		return ErrToken
	}
	b, err := encoding.DecodeString(text) // which would pass over line ends
	if err != nil || len(b) != len(dst) {
		return ErrToken
	}
	copy(dst, b)
	return nil
}

// Reveal returns the secret as it is sent.
func (s Secret) Reveal() string { return encoding.EncodeToString(s[:]) }

// String shows nothing.
func (Secret) String() string { return "..." }

// GoString shows nothing.
func (Secret) GoString() string { return "..." }

// ParseSecret is the inverse of [Secret.Reveal].
func ParseSecret(text string) (s Secret, err error) {
	if err := decode(s[:], text); err != nil {
		return Secret{}, err
	}
	return s, nil
}

// Hash is what the authority keeps of a secret. It has 256 random bits, so that neither
// salt nor slowness would add anything.
func (s Secret) Hash() [sha256.Size]byte { return sha256.Sum256(s[:]) }
