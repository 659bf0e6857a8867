package ca

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"fmt"
	"net"
	"net/url"
	"slices"
	"strings"
	"time"

	"andon.internal/broker/access"
)

// Pair is a certificate and its key, in PEM.
type Pair struct{ Cert, Key []byte }

// Issue makes a key and a certificate for an identity.
func (c *CA) Issue(i access.Identity, life time.Duration) (Pair, Issued, error) {
	if err := i.Check(); err != nil {
		return Pair{}, Issued{}, fmt.Errorf("issue certificate: %w", err)
	}
	return c.issue(&x509.Certificate{
		Subject:     pkix.Name{CommonName: i.Username()},
		URIs:        []*url.URL{i.URI()},
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth},
	}, i.String(), &i, life)
}

// IssueServer makes a key and a certificate for a broker that is reached under the given
// names and addresses.
func (c *CA) IssueServer(hosts []string, life time.Duration) (Pair, Issued, error) {
	t := &x509.Certificate{ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}}
	for _, h := range hosts {
		switch ip := net.ParseIP(h); {
		case ip != nil:
			t.IPAddresses = append(t.IPAddresses, ip)
		case h == "" || strings.ContainsAny(h, "/:*@ \x00"):
			return Pair{}, Issued{}, fmt.Errorf("issue certificate: %q is neither a host's name nor an address", h)
		default:
			t.DNSNames = append(t.DNSNames, h)
		}
	}
	if len(hosts) == 0 {
		return Pair{}, Issued{}, errors.New("issue certificate: a broker needs at least one name or address")
	}
	t.Subject.CommonName = hosts[0]
	return c.issue(t, "broker "+strings.Join(hosts, ", "), nil, life)
}

// issue signs a template for a new key. The list has it before anybody can.
func (c *CA) issue(t *x509.Certificate, holder string, identity *access.Identity, life time.Duration) (Pair, Issued, error) {
	fail := func(err error) (Pair, Issued, error) {
		return Pair{}, Issued{}, fmt.Errorf("issue certificate for %s: %w", holder, err)
	}
	if life <= 0 {
		return fail(errors.New("its life must be above 0"))
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return fail(err)
	}
	now := c.now()
	t.SerialNumber, t.KeyUsage, t.BasicConstraintsValid = newSerial(), x509.KeyUsageDigitalSignature, true
	t.NotBefore, t.NotAfter = now.Add(-backdate), now.Add(life)
	if t.NotAfter.After(c.cert.NotAfter) {
		t.NotAfter = c.cert.NotAfter
	}
	der, err := x509.CreateCertificate(rand.Reader, t, c.cert, key.Public(), c.key)
	if err != nil {
		return fail(err)
	}
	keyPEM, err := encodeKey(key)
	if err != nil {
		return fail(err)
	}
	entry := Issued{Serial: t.SerialNumber.Text(16), Holder: holder, Identity: identity, Made: now.UTC(), Expires: t.NotAfter.UTC()}
	c.issued = append(c.issued, entry)
	if err := c.save(); err != nil {
		c.issued = c.issued[:len(c.issued)-1]
		return fail(err)
	}
	return Pair{encodeCert(der), keyPEM}, entry, nil
}

// ErrNotIssued says that nothing that is still good was issued under a name.
var ErrNotIssued = errors.New("there is no such certificate that is not revoked already")

// Revoke puts certificates on the list of those that are no longer good: the one with the
// serial number, or all of a holder, as [CA.List] has them. It returns what it revoked.
func (c *CA) Revoke(which string) ([]Issued, error) {
	before := c.List()
	now := c.now().UTC()
	var out []Issued
	for n := range c.issued {
		i := &c.issued[n]
		if i.Revoked.IsZero() && (i.Serial == which || i.Holder == which) {
			i.Revoked = now
			out = append(out, *i)
		}
	}
	err := ErrNotIssued
	if len(out) > 0 {
		err = c.save()
	}
	if err != nil {
		c.issued = before
		return nil, fmt.Errorf("revoke %q: %w", which, err)
	}
	return out, nil
}

// Holders returns the identities that have a certificate which is good at a time, each
// once.
func (c *CA) Holders(now time.Time) []access.Identity {
	var out []access.Identity
	for _, i := range c.issued {
		if i.Identity != nil && i.Revoked.IsZero() && now.Before(i.Expires) && !slices.Contains(out, *i.Identity) {
			out = append(out, *i.Identity)
		}
	}
	return out
}
