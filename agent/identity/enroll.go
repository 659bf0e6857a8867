package identity

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net/url"
	"time"

	"andon.internal/shared/atomicfile"
	"andon.internal/shared/enroll"
	"andon.internal/shared/mtls"
	"andon.internal/shared/ops"
)

// Order is what a cell enrols with.
type Order struct {
	URL   string       // of the service: https://host:port
	Token enroll.Token // which also says whom to believe
	// Group and Node are who the cell takes itself for: a token of another one is refused
	// and stays good. Empty: whoever the token says.
	Group, Node string
	Files       Files            // what is there is replaced
	Now         func() time.Time // default: ops.Now
}

// Enrolled says what came of it.
type Enrolled struct {
	Group, Node string
	Certificate *x509.Certificate
	Files       Files
	URL         string // of the service
}

// Enroll makes a key, has it signed for the token, and writes both. Until the service has
// answered nothing is changed but that the files' folder is there; the hint of an error
// says what has become of the token.
func Enroll(ctx context.Context, o Order) (Enrolled, error) {
	fail := func(err error, hint string) (Enrolled, error) {
		return Enrolled{}, ops.Hint(fmt.Errorf("enrol at %s: %w", o.URL, err), hint)
	}
	if o.Now == nil {
		o.Now = ops.Now
	}
	if err := errors.Join(CheckURL(o.URL), o.Files.prepare()); err != nil {
		return fail(err, "the token is still good")
	}
	keyPEM, a, leaf, err := o.ask(ctx)
	if err != nil {
		return fail(err, hintOf(err))
	}
	err = atomicfile.Write(o.Files.CA, 0o644, []byte(a.CA))
	if err == nil {
		err = atomicfile.Write(o.Files.Pair, 0o600, keyPEM, []byte(a.Certificate))
	}
	if err != nil {
		return fail(err, "the token is used up; make another: andon-broker ca token")
	}
	return Enrolled{a.Group, a.Node, leaf, o.Files, o.URL}, nil
}

// hintOf says what has become of the token of an attempt that failed.
func hintOf(err error) string {
	var refused *Refused
	if !errors.As(err, &refused) {
		return "nothing is changed here; where the token was used up by then, make another: andon-broker ca token"
	}
	switch refused.Code {
	case enroll.BadToken:
		return "make another token: andon-broker ca token"
	case enroll.WrongNode:
		return "the token is still good: use it at its own cell, or correct group and node in the configuration"
	}
	return "try again; the token is used up only where the authority's log says so"
}

// ask exchanges the token for a certificate of a new key.
func (o *Order) ask(ctx context.Context) (keyPEM []byte, a enroll.Answer, leaf *x509.Certificate, err error) {
	u, err := url.Parse(o.URL)
	if err != nil {
		return nil, a, nil, err
	}
	key, keyPEM, csr, err := newKey()
	if err != nil {
		return nil, a, nil, err
	}
	request := enroll.Request{Secret: o.Token.Secret.Reveal(), CSR: csr, Group: o.Group, Node: o.Node}
	a, leaf, err = ask(ctx, o.trust(u.Hostname()), o.URL, enroll.EnrollPath, request, key)
	if err != nil {
		return nil, a, nil, err
	}
	authority, err := parse(a.CA)
	if err != nil || enroll.Fingerprint(authority) != o.Token.CA {
		return nil, a, nil, errors.New("the authority in the answer is not the token's")
	}
	if err := leaf.CheckSignatureFrom(authority); err != nil {
		return nil, a, nil, fmt.Errorf("the certificate in the answer: %w", err)
	}
	return keyPEM, a, leaf, nil
}

// trust believes a server that shows the authority of the token, and is certified by it
// under its name. There is no file yet that says whom to believe.
func (o *Order) trust(name string) *tls.Config {
	return &tls.Config{
		MinVersion: tls.VersionTLS13,
		ServerName: name,
		// VerifyConnection verifies instead.
		InsecureSkipVerify: true,
		VerifyConnection: func(cs tls.ConnectionState) error {
			for _, c := range cs.PeerCertificates {
				if enroll.Fingerprint(c) == o.Token.CA {
					return mtls.VerifyServer(cs.PeerCertificates, c, name, o.Now())
				}
			}
			return errors.New("the server is not of the authority that made the token: wrong address, or somebody is in between")
		},
	}
}
