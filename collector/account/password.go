package account

import (
	"context"
	"crypto/rand"
	"crypto/subtle"
	"encoding/base64"
	"errors"
	"fmt"
	"strings"
	"sync/atomic"
	"unicode/utf8"

	"golang.org/x/crypto/argon2"
)

// Bounds of a password: of the least in characters, of the most in bytes.
const (
	MinPassword = 12
	MaxPassword = 256
)

// CheckPassword reports a password that is too short or too easy to guess for a user.
func CheckPassword(name, password string) error {
	folded := strings.ToLower(password)
	switch {
	case utf8.RuneCountInString(password) < MinPassword:
		return fmt.Errorf("a password has at least %d characters; a few words are easy to remember", MinPassword)
	case len(password) > MaxPassword:
		return fmt.Errorf("a password has at most %d bytes", MaxPassword)
	case !utf8.ValidString(password) || strings.ContainsAny(password, "\x00\r\n"):
		return errors.New("a password is one line of text")
	case len(name) >= 3 && strings.Trim(strings.ReplaceAll(folded, strings.ToLower(name), ""), " .-_!0123456789") == "":
		return errors.New("this password is the user's name, with little else")
	case distinct(password) < 5:
		return errors.New("this password repeats a few characters")
	}
	return nil
}

func distinct(s string) int {
	seen := map[rune]bool{}
	for _, r := range s {
		seen[r] = true
	}
	return len(seen)
}

// params are argon2id's: OWASP's second choice, which takes 19 MiB and some tens of
// milliseconds. The first takes 46 MiB, too much for many logins at once on a small box.
type params struct {
	memory  uint32 // KiB
	time    uint32
	threads uint8
}

var current = params{memory: 19 * 1024, time: 2, threads: 1}

// What a stored hash may ask for, so that a row of the table cannot take all memory.
var most = params{memory: 256 * 1024, time: 16, threads: 8}

const saltLength, keyLength = 16, 32

// ErrBusy means that too many passwords wait to be hashed.
var ErrBusy = errors.New("too many logins at once")

// Hasher hashes passwords, few at a time. It is safe for concurrent use.
type Hasher struct {
	slots   chan struct{} // who holds one hashes
	waiting atomic.Int64
	queue   int64
	hashes  atomic.Int64
	nobody  string // the hash of no password
}

// NewHasher returns a Hasher that hashes as many at once as given, of 19 MiB each, and
// lets sixteen times as many wait.
func NewHasher(atOnce int) *Hasher {
	atOnce = max(atOnce, 1)
	h := &Hasher{slots: make(chan struct{}, atOnce), queue: int64(16 * atOnce)}
	var salt [saltLength]byte
	h.nobody = format(current, salt[:], make([]byte, keyLength))
	return h
}

// Hashes is how many passwords were hashed.
func (h *Hasher) Hashes() int64 { return h.hashes.Load() }

// Hash returns what is kept of a password, as a PHC string. It returns ErrBusy, or
// ctx's error while it waits for its turn.
func (h *Hasher) Hash(ctx context.Context, password string) (string, error) {
	var salt [saltLength]byte
	_, _ = rand.Read(salt[:]) // it never fails
	key, err := h.derive(ctx, current, salt[:], password, keyLength)
	if err != nil {
		return "", err
	}
	return format(current, salt[:], key), nil
}

// Verify reports whether a password is the one of a hash. With an empty hash, for
// somebody who is not known, it takes as long and the answer is no.
func (h *Hasher) Verify(ctx context.Context, hash, password string) (bool, error) {
	unknown := hash == ""
	if unknown {
		hash = h.nobody
	}
	p, salt, want, err := parse(hash)
	if err != nil {
		return false, err
	}
	if len(password) > MaxPassword {
		unknown, password = true, password[:MaxPassword]
	}
	got, err := h.derive(ctx, p, salt, password, uint32(len(want)))
	if err != nil {
		return false, err
	}
	return subtle.ConstantTimeCompare(got, want) == 1 && !unknown, nil
}

func (h *Hasher) derive(ctx context.Context, p params, salt []byte, password string, length uint32) ([]byte, error) {
	if h.waiting.Add(1) > h.queue {
		h.waiting.Add(-1)
		return nil, ErrBusy
	}
	defer h.waiting.Add(-1)
	select {
	case h.slots <- struct{}{}:
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	defer func() { <-h.slots }()
	h.hashes.Add(1)
	return argon2.IDKey([]byte(password), salt, p.time, p.memory, p.threads, length), nil
}

var encoding = base64.RawStdEncoding.Strict()

func format(p params, salt, key []byte) string {
	return fmt.Sprintf("$argon2id$v=%d$m=%d,t=%d,p=%d$%s$%s", argon2.Version, p.memory, p.time, p.threads,
		encoding.EncodeToString(salt), encoding.EncodeToString(key))
}

// CheckHash reports a text that is not a hash of ours.
func CheckHash(hash string) error {
	_, _, _, err := parse(hash)
	return err
}

// parse reads a PHC string. Its error does not show it.
func parse(hash string) (p params, salt, key []byte, err error) {
	bad := errors.New("the stored password is not an argon2id hash in the form $argon2id$v=19$m=,t=,p=$salt$key")
	parts := strings.Split(hash, "$")
	if len(hash) > 512 || len(parts) != 6 || parts[0] != "" || parts[1] != "argon2id" || parts[2] != fmt.Sprintf("v=%d", argon2.Version) {
		return p, nil, nil, bad
	}
	if n, err := fmt.Sscanf(parts[3], "m=%d,t=%d,p=%d", &p.memory, &p.time, &p.threads); err != nil || n != 3 {
		return p, nil, nil, bad
	}
	if p.time < 1 || p.time > most.time || p.threads < 1 || p.threads > most.threads ||
		p.memory < 8*uint32(p.threads) || p.memory > most.memory {
		return p, nil, nil, bad
	}
	salt, err = encoding.DecodeString(parts[4])
	if err != nil || len(salt) < 8 {
		return p, nil, nil, bad
	}
	key, err = encoding.DecodeString(parts[5])
	if err != nil || len(key) < 16 || len(key) > 64 {
		return p, nil, nil, bad
	}
	return p, salt, key, nil
}
