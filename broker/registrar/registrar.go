package registrar

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"golang.org/x/net/netutil"
	"golang.org/x/sync/errgroup"

	"andon.internal/broker/ca"
	"andon.internal/shared/enroll"
	"andon.internal/shared/ops"
)

// Config is what a Registrar is told. Listen and Names are required.
type Config struct {
	Listen string   // host:port; port 0 takes a free one
	Names  []string // under which it is reached: names and addresses, for its own certificate
	// Life is that of the certificates that it issues: 90 days.
	Life time.Duration
	// OwnLife is that of its own certificate: 30 days. It is renewed after two thirds.
	OwnLife time.Duration

	Logger   *slog.Logger          // nil: nothing is logged
	Registry prometheus.Registerer // nil: nothing is registered
}

// Lives by default.
const (
	DefaultLife    = 90 * 24 * time.Hour
	defaultOwnLife = 30 * 24 * time.Hour
)

// Bounds that nobody has a reason to change.
const (
	maxConnections = 256
	headerTimeout  = 5 * time.Second // also for the TLS handshake
	readTimeout    = 10 * time.Second
	writeTimeout   = 30 * time.Second // for waiting until the folder is free, too
	idleTimeout    = 15 * time.Second
	stopTimeout    = 5 * time.Second
	maxHeader      = 16 << 10
)

// Registrar serves one authority. Open, then Run once.
type Registrar struct {
	cfg       Config
	authority *ca.CA
	log       *slog.Logger
	metrics   *metrics
	own       *ownCertificate
	strikes   *strikes
	refusals  throttle
	listener  net.Listener
	http      *http.Server
}

// Open issues the service's own certificate and opens its port.
func Open(c Config, authority *ca.CA) (*Registrar, error) {
	if c.Life == 0 {
		c.Life = DefaultLife
	}
	if c.OwnLife == 0 {
		c.OwnLife = defaultOwnLife
	}
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	if c.Life < 0 || c.OwnLife < 0 {
		return nil, errors.New("open registrar: a life must be above 0")
	}
	r := &Registrar{
		cfg: c, authority: authority, log: c.Logger, strikes: newStrikes(),
		own: &ownCertificate{authority: authority, names: c.Names, life: c.OwnLife},
	}
	if err := r.own.renew(); err != nil {
		return nil, fmt.Errorf("open registrar: %w", err)
	}
	r.metrics = newMetrics(c.Registry, r.own)
	l, err := net.Listen("tcp", c.Listen)
	if err != nil {
		return nil, ops.Hint(fmt.Errorf("open registrar: %w", err), "choose another --listen, or port 0 for a free one")
	}
	// What a client shows is judged by the handler, which can say why it is not good.
	r.listener = tls.NewListener(netutil.LimitListener(l, maxConnections), &tls.Config{
		MinVersion:             tls.VersionTLS13,
		GetCertificate:         r.own.get,
		ClientAuth:             tls.RequestClientCert,
		SessionTicketsDisabled: true,
	})
	r.http = &http.Server{
		Handler:           r.handler(),
		ReadHeaderTimeout: headerTimeout, ReadTimeout: readTimeout, WriteTimeout: writeTimeout,
		IdleTimeout: idleTimeout, MaxHeaderBytes: maxHeader,
		ErrorLog: slog.NewLogLogger(r.log.Handler(), slog.LevelDebug),
	}
	return r, nil
}

// Addr is the address on which it listens.
func (r *Registrar) Addr() string { return r.listener.Addr().String() }

// Check returns an error when its own certificate is not good.
func (r *Registrar) Check() error { return r.own.check() }

// Run serves until ctx ends.
func (r *Registrar) Run(ctx context.Context) error {
	r.log.Info("registrar listens", "address", r.Addr(), "names", r.cfg.Names)
	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() error {
		if err := r.http.Serve(r.listener); !errors.Is(err, http.ErrServerClosed) {
			return fmt.Errorf("serve enrolment: %w", err)
		}
		return nil
	})
	g.Go(func() error {
		r.own.keep(ctx, r.log)
		return nil
	})
	g.Go(func() error {
		<-ctx.Done()
		grace, cancel := context.WithTimeout(context.WithoutCancel(ctx), stopTimeout)
		defer cancel()
		if r.http.Shutdown(grace) != nil {
			r.http.Close() // cuts off what is still under way
		}
		return nil
	})
	err := g.Wait()
	r.log.Info("registrar stopped")
	return err
}

func (r *Registrar) handler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("POST "+enroll.EnrollPath, r.enroll)
	mux.HandleFunc("POST "+enroll.RenewPath, r.renew)
	mux.HandleFunc("GET "+enroll.CRLPath, r.crl)
	return mux
}
