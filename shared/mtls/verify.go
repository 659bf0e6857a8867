package mtls

import (
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"sync/atomic"
	"syscall"
	"time"
)

// VerifyServer verifies the certificates that a server of the given name (or address)
// showed, its own first, by one authority.
//
// A certificate that begins in the future says that our clock is behind: the authority
// signed it already. It is then judged by that time, so that a machine without a clock
// can connect. One that has expired is refused, with the clock as a possible cause.
func VerifyServer(shown []*x509.Certificate, authority *x509.Certificate, name string, now time.Time) error {
	pool := x509.NewCertPool()
	pool.AddCert(authority)
	_, err := verifyServer(shown, pool, name, now)
	return err
}

func verifyServer(shown []*x509.Certificate, pool *x509.CertPool, name string, now time.Time) ([][]*x509.Certificate, error) {
	if len(shown) == 0 {
		return nil, errors.New("the server shows no certificate")
	}
	leaf := shown[0]
	if now.Before(leaf.NotBefore) {
		now = leaf.NotBefore
	}
	between := x509.NewCertPool()
	for _, c := range shown[1:] {
		between.AddCert(c)
	}
	chains, err := leaf.Verify(x509.VerifyOptions{Roots: pool, Intermediates: between, DNSName: name, CurrentTime: now})
	if invalid := (x509.CertificateInvalidError{}); errors.As(err, &invalid) && invalid.Reason == x509.Expired {
		err = fmt.Errorf("the certificate of %q is good from %s until %s and this machine's clock says %s: renew it there, or set the clock here if it is wrong: %w",
			invalid.Cert.Subject, stamped(invalid.Cert.NotBefore), stamped(invalid.Cert.NotAfter), stamped(now), err)
	}
	return chains, err
}

func stamped(t time.Time) string { return t.UTC().Format(time.RFC3339) }

// answered is a connection whose end, when it comes before the first answer, is explained:
// in TLS 1.3 a server judges our certificate only after the handshake is done for us.
type answered struct {
	net.Conn
	peer string
	own  *x509.Certificate
	now  func() time.Time
	any  atomic.Bool // something was read
}

// Read reads, and explains.
func (c *answered) Read(b []byte) (int, error) {
	n, err := c.Conn.Read(b)
	if n > 0 {
		c.any.Store(true)
	}
	if err == nil || c.any.Load() {
		return n, err
	}
	var op *net.OpError
	switch {
	case errors.As(err, &op) && op.Op == "remote error": // an alert
		err = fmt.Errorf("%s %w: %w", c.peer, c.why(), err)
	case errors.Is(err, io.EOF), errors.Is(err, syscall.ECONNRESET), errors.Is(err, syscall.EPIPE): // it may have overtaken one
		err = fmt.Errorf("%s ended the connection without an answer; perhaps it %w: %w", c.peer, c.why(), err)
	}
	return n, err
}

// ErrNotAccepted is wrapped where a server has most likely refused our certificate.
var ErrNotAccepted = errors.New("does not accept our certificate")

func (c *answered) why() error {
	if now := c.now(); now.After(c.own.NotAfter) {
		return fmt.Errorf("%w: it expired at %s, and this machine's clock says %s", ErrNotAccepted, stamped(c.own.NotAfter), stamped(now))
	}
	return fmt.Errorf("%w %s of %q: it is revoked, or of another authority, or one of the clocks is wrong (here it is %s)",
		ErrNotAccepted, serial(c.own), c.own.Subject, stamped(c.now()))
}
