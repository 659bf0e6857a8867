package mtls

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/url"
	"os"
	"strconv"
	"sync"
	"time"

	"andon.internal/shared/config"
	"andon.internal/shared/ops"
)

// Config is the part `tls:` of a configuration. Empty: no TLS.
type Config struct {
	// CA is the authority: certificates in PEM. Only what they signed is trusted.
	CA config.Path `yaml:"ca"`
	// Cert and Key are our own, in PEM; cert with the intermediates behind it. Both may
	// be one file, which is then always replaced as a whole.
	Cert config.Path `yaml:"cert"`
	Key  config.Path `yaml:"key"`
	// CRL are the authority's revoked certificates (RFC 5280), in PEM; none.
	CRL config.Path `yaml:"crl"`
}

// On reports whether TLS is wanted.
func (c Config) On() bool { return c != Config{} }

// Check reports files that are not named although others are.
func (c *Config) Check() error {
	if !c.On() {
		return nil
	}
	var errs []error
	for _, f := range []struct {
		key  string
		path config.Path
	}{{"ca", c.CA}, {"cert", c.Cert}, {"key", c.Key}} {
		if f.path == "" {
			errs = append(errs, config.At(f.key, errors.New("is required: ca, cert and key go together")))
		}
	}
	return errors.Join(errs...)
}

// Options are what a [Store] does not read from files.
type Options struct {
	Now    func() time.Time // default: ops.Now
	Logger *slog.Logger     // default: none
	// Own is told of our own certificate whenever the files were read. Default: nobody.
	Own func(leaf *x509.Certificate)
	// Signed is told of times that have passed, because the authority signed them: when a
	// server's certificate begins, when a list was made. Default: nobody. It must not
	// call the Store.
	Signed func(time.Time)
}

// Store has what the files hold, and looks at them again when they change.
type Store struct {
	config Config
	now    func() time.Time
	log    *slog.Logger
	own    func(*x509.Certificate)
	signed func(time.Time)

	mu      sync.Mutex
	held    held
	stamps  [4]stamp  // of the files as they were read
	looked  time.Time // when they were last looked at; the machine's own clock
	failing bool      // the last reading failed, and this was logged
}

// held is what the files hold.
type held struct {
	pool    *x509.CertPool
	own     tls.Certificate
	revoked map[string]time.Time // by serial number
	listed  time.Time            // when the newest list of those was made; zero: there is none
}

type stamp struct {
	size int64
	time time.Time
}

// lookEvery is how often a change of the files is looked for, at most.
const lookEvery = time.Second

// Open reads the files.
func Open(c Config, o Options) (*Store, error) {
	if err := c.Check(); err != nil || !c.On() {
		return nil, fmt.Errorf("open certificates: %w", errors.Join(err, errUnset(c)))
	}
	return open(c, o)
}

// open reads the files of a checked configuration; one without an authority is for a
// server that asks nobody who they are.
func open(c Config, o Options) (*Store, error) {
	s := &Store{config: c, now: o.Now, log: o.Logger, own: o.Own, signed: o.Signed}
	if s.now == nil {
		s.now = ops.Now
	}
	if s.own == nil {
		s.own = func(*x509.Certificate) {}
	}
	if s.signed == nil {
		s.signed = func(time.Time) {}
	}
	if s.log == nil {
		s.log = slog.New(slog.DiscardHandler)
	}
	stamps, err := s.look()
	if err == nil {
		s.held, err = read(c)
	}
	if err != nil {
		return nil, fmt.Errorf("open certificates: %w", err)
	}
	s.stamps, s.looked = stamps, time.Now()
	s.tell()
	return s, nil
}

// OpenIf is [Open] where TLS is wanted, and a nil Store otherwise.
func OpenIf(c Config, o Options) (*Store, error) {
	if !c.On() {
		return nil, nil
	}
	return Open(c, o)
}

func errUnset(c Config) error {
	if c.On() {
		return nil
	}
	return errors.New("ca, cert and key are required")
}

// look returns the files' sizes and times.
func (s *Store) look() (out [4]stamp, err error) {
	for i, path := range [...]config.Path{s.config.CA, s.config.Cert, s.config.Key, s.config.CRL} {
		if path == "" {
			continue
		}
		fi, err := os.Stat(string(path))
		if err != nil {
			return out, err
		}
		out[i] = stamp{fi.Size(), fi.ModTime()}
	}
	return out, nil
}

// current returns what the files hold now; where they cannot be read, what they held.
func (s *Store) current() held {
	s.mu.Lock()
	defer s.mu.Unlock()
	if time.Since(s.looked) < lookEvery {
		return s.held
	}
	s.looked = time.Now()
	stamps, err := s.look()
	if err == nil && stamps == s.stamps && !s.failing {
		return s.held
	}
	var h held
	if err == nil {
		h, err = read(s.config)
	}
	if err != nil {
		if !s.failing {
			s.log.Error("certificates cannot be read again; those from before are used", "error", err)
		}
		s.failing = true
		return s.held
	}
	s.held, s.stamps, s.failing = h, stamps, false
	s.tell()
	s.log.Info("certificates were read again", "expires", h.own.Leaf.NotAfter)
	return s.held
}

// tell passes on what was read.
func (s *Store) tell() {
	s.own(s.held.own.Leaf)
	if !s.held.listed.IsZero() {
		s.signed(s.held.listed)
	}
}

// Leaf returns our own certificate, as the files have it now.
func (s *Store) Leaf() *x509.Certificate { return s.current().own.Leaf }

// LookNow lets the next look at the files be at once.
func (s *Store) LookNow() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.looked = time.Time{}
}

// Server returns a configuration that asks every client for a certificate of ours.
func (s *Store) Server() *tls.Config {
	c := &tls.Config{MinVersion: tls.VersionTLS13}
	c.GetConfigForClient = func(*tls.ClientHelloInfo) (*tls.Config, error) {
		h := s.current()
		return &tls.Config{
			MinVersion:   tls.VersionTLS13,
			Certificates: []tls.Certificate{h.own},
			ClientAuth:   tls.RequireAndVerifyClientCert,
			ClientCAs:    h.pool,
			Time:         s.now,
			// A resumed session would skip the look at what is revoked.
			SessionTicketsDisabled: true,
			VerifyConnection:       func(cs tls.ConnectionState) error { return h.check(cs.VerifiedChains) },
		}, nil
	}
	return c
}

// Client returns a configuration for one connection to a server of the given name (or
// address), which is held to be in its certificate.
func (s *Store) Client(name string) *tls.Config { return s.client(s.current(), name) }

func (s *Store) client(h held, name string) *tls.Config {
	return &tls.Config{
		MinVersion:   tls.VersionTLS13,
		Certificates: []tls.Certificate{h.own},
		ServerName:   name,
		// VerifyConnection verifies instead: by a time that depends on the certificate.
		InsecureSkipVerify: true,
		VerifyConnection: func(cs tls.ConnectionState) error {
			chains, err := verifyServer(cs.PeerCertificates, h.pool, name, s.now())
			if err == nil {
				err = h.check(chains)
			}
			if err == nil {
				s.signed(cs.PeerCertificates[0].NotBefore)
			}
			return err
		},
	}
}

// check refuses what is revoked. It does not ask when: by a clock that is behind, that
// would be in the future.
func (h *held) check(chains [][]*x509.Certificate) error {
	for _, chain := range chains {
		for _, c := range chain {
			if at, revoked := h.revoked[serial(c)]; revoked {
				return fmt.Errorf("the certificate %s of %q was revoked at %s", serial(c), c.Subject, at.UTC().Format(time.RFC3339))
			}
		}
	}
	return nil
}

func serial(c *x509.Certificate) string { return c.SerialNumber.Text(16) }

// Secure makes the handshake over a connection to address (host:port), bounded by ctx,
// and returns the connection in TLS. With a nil Store it returns conn as it is.
func (s *Store) Secure(ctx context.Context, conn net.Conn, address string) (net.Conn, error) {
	if s == nil {
		return conn, nil
	}
	host, _, err := net.SplitHostPort(address)
	if err != nil {
		return nil, err
	}
	h := s.current()
	secured := tls.Client(conn, s.client(h, host))
	if err := secured.HandshakeContext(ctx); err != nil {
		return nil, fmt.Errorf("TLS handshake with %s: %w", address, err)
	}
	return &answered{Conn: secured, peer: address, own: h.own.Leaf, now: s.now}, nil
}

// schemes of a broker's address, and whether they mean TLS.
var schemes = map[string]bool{"tcp": false, "mqtt": false, "mqtts": true, "ssl": true, "tls": true}

// ShowURL returns a broker's address for a message: without a password, and nothing of
// one that cannot be read.
func ShowURL(address string) string {
	u, err := url.Parse(address)
	if err != nil {
		return "the broker's address"
	}
	return strconv.Quote(u.Redacted())
}

// CheckURL returns an error unless a broker's address and the certificates go together;
// secure says that there are certificates.
func CheckURL(u *url.URL, secure bool) error {
	wants, known := schemes[u.Scheme]
	switch {
	case !known || u.Hostname() == "" || u.Path != "" || u.User != nil:
		return fmt.Errorf("broker address %q must be tcp://host:port, or mqtts://host:port with TLS", u.Redacted())
	case wants && !secure:
		return fmt.Errorf("broker address %q wants TLS: name ca, cert and key under tls", u)
	case secure && !wants:
		return fmt.Errorf("broker address %q is without TLS, and there are certificates: write mqtts://", u)
	}
	return nil
}
