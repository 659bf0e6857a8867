package identity

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net/url"
	"time"

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
// answered nothing is changed. Once it took the token, an error means that another one is
// needed.
func Enroll(ctx context.Context, o Order) (Enrolled, error) {
	e, err := o.enroll(ctx)
	if err == nil {
		return e, nil
	}
	err = fmt.Errorf("enrol at %s: %w", o.URL, err)
	var refused *Refused
	if !errors.As(err, &refused) {
		return Enrolled{}, ops.Hint(err, "nothing is changed here; where the token was used up by then, make another: andon-broker ca token")
	}
	switch refused.Code {
	case enroll.BadToken:
		return Enrolled{}, ops.Hint(err, "make another token: andon-broker ca token")
	case enroll.WrongNode:
		return Enrolled{}, ops.Hint(err, "the token is still good: use it at its own cell, or correct group and node in the configuration")
	}
	return Enrolled{}, ops.Hint(err, "try again; the token is used up only where the authority's log says so")
}

func (o *Order) enroll(ctx context.Context) (Enrolled, error) {
	if err := CheckURL(o.URL); err != nil {
		return Enrolled{}, err
	}
	if o.Now == nil {
		o.Now = ops.Now
	}
	u, err := url.Parse(o.URL)
	if err != nil {
		return Enrolled{}, err
	}
	key, keyPEM, csr, err := newKey()
	if err != nil {
		return Enrolled{}, err
	}
	request := enroll.Request{Secret: o.Token.Secret.Reveal(), CSR: csr, Group: o.Group, Node: o.Node}
	a, leaf, err := ask(ctx, o.trust(u.Hostname()), o.URL, enroll.EnrollPath, request, key)
	if err != nil {
		return Enrolled{}, err
	}
	authority, err := parse(a.CA)
	if err != nil || enroll.Fingerprint(authority) != o.Token.CA {
		return Enrolled{}, errors.New("the authority in the answer is not the token's")
	}
	if err := leaf.CheckSignatureFrom(authority); err != nil {
		return Enrolled{}, fmt.Errorf("the certificate in the answer: %w", err)
	}
	if err := write(o.Files.CA, 0o644, []byte(a.CA)); err != nil {
		return Enrolled{}, err
	}
	if err := write(o.Files.Pair, 0o600, keyPEM, []byte(a.Certificate)); err != nil {
		return Enrolled{}, err
	}
	return Enrolled{a.Group, a.Node, leaf, o.Files, o.URL}, nil
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
