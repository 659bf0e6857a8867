package ca

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"fmt"
	"math/big"
	"net"
	"net/url"
	"strings"
	"time"

	"andon.internal/broker/access"
)

// Pair is a certificate and its key, in PEM.
type Pair struct{ Cert, Key []byte }

// Issue makes a key and a certificate for an identity.
func (c *CA) Issue(i access.Identity, life time.Duration) (Pair, Issued, error) {
	return c.pair(order{template: clientTemplate(i), holder: i.String(), identity: &i, life: life})
}

// IssueFor signs the key of a certificate request (PKCS #10, in PEM or DER) for an
// identity. Whatever else the request asks for does not count.
func (c *CA) IssueFor(i access.Identity, request []byte, life time.Duration) ([]byte, Issued, error) {
	public, err := requestedKey(request)
	if err != nil {
		return nil, Issued{}, fmt.Errorf("issue certificate for %s: %w", i, err)
	}
	o := order{template: clientTemplate(i), holder: i.String(), identity: &i, life: life}
	return c.single(o, public)
}

// IssueServer makes a key and a certificate for a broker that is reached under the given
// names and addresses.
func (c *CA) IssueServer(hosts []string, life time.Duration) (Pair, Issued, error) {
	return c.issueServer("broker", hosts, life)
}

// IssueService makes a key and a certificate for this authority's own service.
func (c *CA) IssueService(hosts []string, life time.Duration) (Pair, Issued, error) {
	return c.issueServer("enrolment", hosts, life)
}

func (c *CA) issueServer(what string, hosts []string, life time.Duration) (Pair, Issued, error) {
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
		return Pair{}, Issued{}, errors.New("issue certificate: a server needs at least one name or address")
	}
	t.Subject.CommonName = hosts[0]
	return c.pair(order{template: t, holder: what + " " + strings.Join(hosts, ", "), life: life})
}

// order is a certificate that is wanted.
type order struct {
	template *x509.Certificate
	holder   string
	identity *access.Identity
	life     time.Duration
}

func clientTemplate(i access.Identity) *x509.Certificate {
	return &x509.Certificate{
		Subject:     pkix.Name{CommonName: i.Username()},
		URIs:        []*url.URL{i.URI()},
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth},
	}
}

// pair fulfils an order with a new key.
func (c *CA) pair(o order) (Pair, Issued, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return Pair{}, Issued{}, fmt.Errorf("issue certificate for %s: %w", o.holder, err)
	}
	keyPEM, err := encodeKey(key)
	if err != nil {
		return Pair{}, Issued{}, fmt.Errorf("issue certificate for %s: %w", o.holder, err)
	}
	cert, issued, err := c.single(o, key.Public())
	return Pair{cert, keyPEM}, issued, err
}

// single fulfils an order with somebody's key.
func (c *CA) single(o order, public crypto.PublicKey) (cert []byte, issued Issued, err error) {
	err = c.change(func(l *lists) error {
		cert, issued, err = c.sign(l, o, public)
		return err
	})
	if err != nil {
		return nil, Issued{}, fmt.Errorf("issue certificate for %s: %w", o.holder, err)
	}
	return cert, issued, nil
}

// sign makes a certificate. The list has it before anybody can.
func (c *CA) sign(l *lists, o order, public crypto.PublicKey) ([]byte, Issued, error) {
	if o.identity != nil {
		if err := o.identity.Check(); err != nil {
			return nil, Issued{}, err
		}
	}
	now, t := c.now(), o.template
	if o.life <= 0 {
		return nil, Issued{}, errors.New("its life must be above 0")
	}
	if now.Before(c.cert.NotBefore) {
		return nil, Issued{}, fmt.Errorf("this machine's clock says %s, and the authority was made at %s: set the clock",
			now.UTC().Format(time.RFC3339), c.cert.NotBefore.UTC().Format(time.RFC3339))
	}
	t.SerialNumber, t.KeyUsage, t.BasicConstraintsValid = newSerial(), x509.KeyUsageDigitalSignature, true
	t.NotBefore, t.NotAfter = now.Add(-min(backdate, o.life/10)), now.Add(o.life)
	if t.NotAfter.After(c.cert.NotAfter) {
		t.NotAfter = c.cert.NotAfter
	}
	der, err := x509.CreateCertificate(rand.Reader, t, c.cert, public, c.key)
	if err != nil {
		return nil, Issued{}, err
	}
	entry := Issued{Serial: t.SerialNumber.Text(16), Holder: o.holder, Identity: o.identity, Made: now.UTC(), Expires: t.NotAfter.UTC()}
	l.issued = append(l.issued, entry)
	if err := c.saveIssued(l.issued); err != nil {
		return nil, Issued{}, err
	}
	return encodeCert(der), entry, nil
}

// newSerial returns 127 random bits: serial numbers are never used twice.
func newSerial() *big.Int {
	n, _ := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 127)) // never fails
	return n
}

// ErrNotIssued says that nothing that is still good was issued under a name.
var ErrNotIssued = errors.New("there is no such certificate that is not revoked already")

// Revoke puts certificates on the list of those that are no longer good: the one with the
// serial number, or all of a holder, as [CA.List] has them. It returns what it revoked.
func (c *CA) Revoke(which string) ([]Issued, error) {
	var out []Issued
	err := c.change(func(l *lists) error {
		now := c.now().UTC()
		for n := range l.issued {
			i := &l.issued[n]
			if i.Revoked.IsZero() && (i.Serial == which || i.Holder == which) {
				i.Revoked = now
				out = append(out, *i)
			}
		}
		if len(out) > 0 {
			if err := c.saveIssued(l.issued); err != nil {
				return err
			}
		}
		// Also where nothing is new: an earlier attempt may have come this far only.
		if err := c.saveCRL(l.issued); err != nil {
			return err
		}
		if len(out) == 0 {
			return ErrNotIssued
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("revoke %q: %w", which, err)
	}
	return out, nil
}
