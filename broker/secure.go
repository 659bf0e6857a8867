package broker

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"

	"andon.internal/broker/access"
	"andon.internal/shared/config"
	"andon.internal/shared/mtls"
)

// Holder says who holds a certificate that does not say so itself: one of the plant's own
// authority.
type Holder struct {
	// Certificate is its common name, or one of the names (DNS or URI) in it.
	Certificate string `yaml:"certificate,required"`
	// Role is node, collector or viewer.
	Role access.Role `yaml:"role,required"`
	// Group is that of a node.
	Group string `yaml:"group"`
	// Name is the node's id, or a name for the collector or viewer.
	Name string `yaml:"name,required"`
}

func (h *Holder) identity() access.Identity {
	return access.Identity{Role: h.Role, Group: h.Group, Name: h.Name}
}

// Check reports an identity that is none.
func (h *Holder) Check() error {
	i := h.identity()
	if err := i.Check(); err != nil {
		return config.At("role", err)
	}
	return nil
}

// gate shows our certificate to every connection, and learns from theirs who it is.
type gate struct {
	store   *mtls.Store
	tls     *tls.Config
	holders map[string]access.Identity
}

// newGate reads the certificates; nil without them.
func newGate(c *Config) (*gate, error) {
	if !c.TLS.On() {
		return nil, nil
	}
	s, err := mtls.Open(c.TLS, mtls.Options{Logger: c.Logger})
	if err != nil {
		return nil, err
	}
	g := &gate{store: s, tls: s.Server(), holders: map[string]access.Identity{}}
	for i := range c.Holders {
		g.holders[c.Holders[i].Certificate] = c.Holders[i].identity()
	}
	return g, nil
}

// errNoIdentity is wrapped where a certificate is good and says nothing of who holds it.
var errNoIdentity = errors.New("the certificate names no identity")

// pass makes the handshake of a new connection and returns who it is.
func (g *gate) pass(c *tls.Conn) (access.Identity, error) {
	if err := c.Handshake(); err != nil {
		return access.Identity{}, fmt.Errorf("TLS handshake: %w", err)
	}
	return g.identify(c.ConnectionState().PeerCertificates[0])
}

// identify reads a certificate that was verified: its own word first, then the holders
// that the configuration names.
func (g *gate) identify(cert *x509.Certificate) (access.Identity, error) {
	var found []access.Identity
	for _, u := range cert.URIs {
		i, ours, err := access.ParseURI(u)
		if err != nil {
			return access.Identity{}, fmt.Errorf("%w: %w", errNoIdentity, err)
		}
		if ours {
			found = append(found, i)
		}
	}
	if len(found) > 1 {
		return access.Identity{}, fmt.Errorf("%w, but %d of them", errNoIdentity, len(found))
	}
	if len(found) == 1 {
		return found[0], nil
	}
	names := append([]string{cert.Subject.CommonName}, cert.DNSNames...)
	for _, u := range cert.URIs {
		names = append(names, u.String())
	}
	for _, name := range names {
		if i, ok := g.holders[name]; ok {
			return i, nil
		}
	}
	return access.Identity{}, fmt.Errorf("%w: %q, serial number %s; name it under holders, or have it issued by andon-broker ca",
		errNoIdentity, clip(cert.Subject.String()), cert.SerialNumber.Text(16))
}
