package ca

import (
	"crypto/rand"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"math/big"
	"os"
	"path/filepath"
	"slices"
	"time"

	"golang.org/x/sys/unix"

	"andon.internal/broker/access"
	"andon.internal/shared/atomicfile"
)

// Issued is a certificate that the authority signed.
type Issued struct {
	Serial string `json:"serial"` // hexadecimal
	Holder string `json:"holder"` // an identity, or a server and its names
	// Identity is that of the holder; nil for a server.
	Identity *access.Identity `json:"identity,omitempty"`
	Made     time.Time        `json:"made"`
	Expires  time.Time        `json:"expires"`
	Revoked  time.Time        `json:"revoked,omitzero"`
}

// good reports whether the certificate is so at a time.
func (i *Issued) good(now time.Time) bool { return i.Revoked.IsZero() && now.Before(i.Expires) }

// lists are what changes in the folder, as they were read under the lock.
type lists struct {
	issued []Issued
	tokens []Token
}

// forgetAfter is how long what has expired is still listed. What was revoked is never
// forgotten: a wrong clock would make it good again.
const forgetAfter = 90 * 24 * time.Hour

// change lets fn change the lists and save them, while no other process does. It reads
// them anew: another one may have.
func (c *CA) change(fn func(*lists) error) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	unlock, err := lock(c.path(lockFile))
	if err != nil {
		return err
	}
	defer unlock()
	l, err := c.readLists()
	if err != nil {
		return err
	}
	old := c.now().Add(-forgetAfter)
	l.issued = slices.DeleteFunc(l.issued, func(i Issued) bool { return i.Revoked.IsZero() && i.Expires.Before(old) })
	l.tokens = slices.DeleteFunc(l.tokens, func(t Token) bool { return t.Expires.Before(old) })
	return fn(l)
}

// lockPatience is how long another process may have the lists.
const lockPatience = 10 * time.Second

// lock takes the folder's lock, which ends with the process at the latest.
func lock(path string) (unlock func(), err error) {
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, err
	}
	if err := atomicfile.LeaveToOwner(f.Name()); err != nil {
		return nil, errors.Join(err, f.Close())
	}
	for end := time.Now().Add(lockPatience); ; time.Sleep(10 * time.Millisecond) {
		err = unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB)
		if err == nil {
			return func() { f.Close() }, nil
		}
		if !errors.Is(err, unix.EWOULDBLOCK) && !errors.Is(err, unix.EINTR) || time.Now().After(end) {
			return nil, errors.Join(fmt.Errorf("lock %s: %w", path, err), f.Close())
		}
	}
}

func (c *CA) readLists() (*lists, error) {
	l := &lists{}
	if err := readJSON(c.path(issuedFile), &l.issued); err != nil {
		return nil, err
	}
	err := readJSON(c.path(tokensFile), &l.tokens)
	if errors.Is(err, fs.ErrNotExist) { // until there is a first
		err = nil
	}
	return l, err
}

func readJSON(path string, v any) error {
	b, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	if err := json.Unmarshal(b, v); err != nil {
		return fmt.Errorf("%s: %w", filepath.Base(path), err)
	}
	return nil
}

func writeJSON(path string, v any) error {
	b, err := json.MarshalIndent(v, "", "  ")
	if err != nil {
		return err
	}
	return atomicfile.Write(path, 0o600, append(b, '\n'))
}

func (c *CA) saveIssued(list []Issued) error { return writeJSON(c.path(issuedFile), list) }

// List returns what was issued, oldest first.
func (c *CA) List() ([]Issued, error) {
	l, err := c.readLists()
	if err != nil {
		return nil, fmt.Errorf("read what was issued: %w", err)
	}
	return l.issued, nil
}

// Holders returns the identities that have a certificate which is good at a time, each
// once.
func (c *CA) Holders(now time.Time) ([]access.Identity, error) {
	list, err := c.List()
	var out []access.Identity
	for n := range list {
		if i := &list[n]; i.Identity != nil && i.good(now) && !slices.Contains(out, *i.Identity) {
			out = append(out, *i.Identity)
		}
	}
	return out, err
}

// saveCRL signs and writes the list of what was revoked.
func (c *CA) saveCRL(issued []Issued) error {
	now := c.now()
	list := &x509.RevocationList{Number: big.NewInt(now.UnixNano()), ThisUpdate: now, NextUpdate: now.Add(crlLife)}
	for _, i := range issued {
		if i.Revoked.IsZero() {
			continue
		}
		n, ok := new(big.Int).SetString(i.Serial, 16)
		if !ok {
			return fmt.Errorf("%s: the serial number %q is none", issuedFile, i.Serial)
		}
		list.RevokedCertificateEntries = append(list.RevokedCertificateEntries,
			x509.RevocationListEntry{SerialNumber: n, RevocationTime: i.Revoked})
	}
	der, err := x509.CreateRevocationList(rand.Reader, list, c.cert, c.key)
	if err != nil {
		return err
	}
	return atomicfile.Write(c.path(CRLFile), 0o644, pem.EncodeToMemory(&pem.Block{Type: "X509 CRL", Bytes: der}))
}
