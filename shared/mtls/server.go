package mtls

import (
	"crypto/tls"
	"errors"

	"andon.internal/shared/config"
)

// ServerConfig is the part `tls:` of a server for people's browsers, which show no
// certificates. Empty: no TLS.
type ServerConfig struct {
	// Cert and Key are our own, in PEM; cert with the intermediates behind it.
	Cert config.Path `yaml:"cert"`
	Key  config.Path `yaml:"key"`
}

// On reports whether TLS is wanted.
func (c ServerConfig) On() bool { return c != ServerConfig{} }

// Check reports one file without the other.
func (c *ServerConfig) Check() error {
	if (c.Cert == "") == (c.Key == "") {
		return nil
	}
	key := "cert"
	if c.Key == "" {
		key = "key"
	}
	return config.At(key, errors.New("is required: cert and key go together"))
}

// OpenServer reads the files and returns a configuration that asks nobody for a
// certificate: TLS 1.2 or later, for browsers. Replaced files count for the next
// handshake, as for [Open]. Without TLS it returns nil.
func OpenServer(c ServerConfig, o Options) (*tls.Config, error) {
	if !c.On() {
		return nil, nil
	}
	s, err := open(Config{Cert: c.Cert, Key: c.Key}, o)
	if err != nil {
		return nil, err
	}
	return &tls.Config{
		MinVersion: tls.VersionTLS12,
		GetCertificate: func(*tls.ClientHelloInfo) (*tls.Certificate, error) {
			own := s.current().own
			return &own, nil
		},
	}, nil
}
