package web

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"andon.internal/collector/login"
	"andon.internal/collector/web/assets"
)

// Web is the command center, for [Web.Run].
type Web struct {
	config  Config
	sources Sources
	log     *slog.Logger
	display *displays
	links   *links
	hub     *hub
	reports *reports
	pages   *pages
	assets  *assets.Files

	listener net.Listener
	http     *http.Server
	failures sync.Map // when a question that was not answered was logged last

	asks                       bool // a login is required
	audit                      Audit
	knownLimit, anonymousLimit *login.Limiter
	signOnLog                  *login.Limiter
}

// Open checks the configuration and opens the port. A Web that is not run must be
// closed.
func Open(c Config, s Sources) (*Web, error) {
	w, err := New(c, s)
	if err != nil {
		return nil, err
	}
	l, err := net.Listen("tcp", w.config.Listen)
	if err != nil {
		return nil, fmt.Errorf("listen for the pages: %w; choose another address, or port 0 for a free one", err)
	}
	w.listener = &bounded{
		Listener: l, total: maxConnections + w.config.MaxClients, each: maxEach,
		many:    func(a netip.Addr) bool { return a.IsLoopback() || w.isProxy(a) },
		refused: func() { w.refusedRequests("connections") },
	}
	w.http = &http.Server{
		Handler:           w.Handler(),
		ReadHeaderTimeout: 5 * time.Second,
		ReadTimeout:       10 * time.Second,
		IdleTimeout:       time.Minute,
		MaxHeaderBytes:    16 << 10,
		TLSConfig:         w.config.TLS,
		ErrorLog:          slog.NewLogLogger(w.log.Handler(), slog.LevelDebug),
	}
	return w, nil
}

// New is [Open] without a port: for who serves [Web.Handler] and calls [Web.Watch].
func New(c Config, s Sources) (*Web, error) {
	err := c.setDefaults()
	asks, _, exposed := c.Asks()
	if err = errors.Join(err, exposed, s.check(asks)); err != nil {
		return nil, fmt.Errorf("make web: %w", err)
	}
	w := &Web{config: c, sources: s, log: c.Logger, display: newDisplays(c.Displays), asks: asks, audit: s.Audit}
	if w.audit == nil {
		w.audit = logAudit{c.Logger}
	}
	w.knownLimit = login.NewLimiter(knownRate, knownBurst)
	w.anonymousLimit = login.NewLimiter(anonymousRate, anonymousBurst)
	w.signOnLog = login.NewLimiter(signOnLogRate, signOnLogBurst)
	w.links = newLinks(c, s)
	if s.Journal != nil {
		w.links.setUnknown(c.Now())
	}
	w.hub = newHub(w)
	w.reports = newReports(c)
	w.assets = assets.Load()
	if w.pages, err = newPages(w); err == nil {
		err = checkRoutes(w.routes())
	}
	if err != nil {
		return nil, fmt.Errorf("make web: %w", err)
	}
	return w, nil
}

// Addr returns the address of the pages.
func (w *Web) Addr() string { return w.listener.Addr().String() }

// Close frees the port of a Web that is not run.
func (w *Web) Close() error { return w.listener.Close() }

// Watch looks after database, broker, the other roles and the alarms, and feeds the event
// streams, until ctx ends.
func (w *Web) Watch(ctx context.Context) error {
	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() error { w.links.run(ctx, w.hub.tell); return nil })
	g.Go(func() error { w.hub.run(ctx); return nil })
	g.Go(func() error { w.keepAlarms(ctx); return nil })
	if w.sources.Desk != nil {
		g.Go(func() error { w.sources.Desk.Run(ctx); return nil })
	}
	return g.Wait()
}

// Run serves until ctx ends, and returns nil then, otherwise why serving stopped.
func (w *Web) Run(ctx context.Context) error {
	scheme, serve := "http", w.http.Serve
	if w.config.TLS != nil {
		scheme, serve = "https", func(l net.Listener) error { return w.http.ServeTLS(l, "", "") }
	}
	w.log.Info("pages are served", "url", scheme+"://"+w.Addr()+"/", "login", w.asks)
	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() error { return w.Watch(ctx) })
	g.Go(func() error {
		if err := serve(w.listener); !errors.Is(err, http.ErrServerClosed) {
			return fmt.Errorf("serve the pages: %w", err)
		}
		return nil
	})
	g.Go(func() error {
		<-ctx.Done()
		// Event streams end with the hub; the rest gets a moment.
		grace, cancel := context.WithTimeout(context.WithoutCancel(ctx), 2*time.Second)
		defer cancel()
		if err := w.http.Shutdown(grace); err != nil {
			return w.http.Close()
		}
		return nil
	})
	return g.Wait()
}
