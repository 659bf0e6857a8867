package ops

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"
)

// HTTPConfig is the part `http:` of a configuration.
type HTTPConfig struct {
	// Listen is the address of /healthz, /readyz and /metrics, such as
	// 127.0.0.1:9101; port 0 takes a free one; empty turns them off. They have
	// neither login nor encryption, so an address beyond loopback needs Plaintext.
	Listen string `yaml:"listen"`
	// Plaintext allows an address beyond loopback: for an isolated network of one
	// machine, such as that of its containers, or behind a proxy that speaks TLS.
	Plaintext bool `yaml:"plaintext"`
}

// Check reports an address that is not host:port, or reaches beyond this machine.
func (c *HTTPConfig) Check() error {
	if c.Listen == "" {
		return nil
	}
	host, _, err := net.SplitHostPort(c.Listen)
	if err != nil {
		return fmt.Errorf("listen %q must be host:port, such as 127.0.0.1:9101", c.Listen)
	}
	if !c.Plaintext && !Local(host) {
		return fmt.Errorf("listen %q is beyond this machine, and there is neither login nor TLS: listen on 127.0.0.1, "+
			"or set plaintext: true where the network is one of this machine alone", c.Listen)
	}
	return nil
}

// Local reports whether a host, a name or an address, is this machine only. An empty one
// is every address.
func Local(host string) bool {
	ip := net.ParseIP(host)
	return host == "localhost" || ip != nil && ip.IsLoopback()
}

// Server serves /healthz, /readyz and /metrics.
type Server struct {
	log      *slog.Logger
	listener net.Listener // nil when off
	mux      *http.ServeMux
	http     *http.Server
}

// Listen opens the port and returns a server to Run. With an empty address the
// server only waits.
func Listen(program string, c HTTPConfig, h *Health, reg prometheus.Gatherer, log *slog.Logger) (*Server, error) {
	s := &Server{log: log}
	if c.Listen == "" {
		return s, nil
	}
	l, err := net.Listen("tcp", c.Listen)
	if err != nil {
		return nil, Hint(fmt.Errorf("listen for http: %w", err), "choose another http.listen, or port 0 for a free one")
	}
	s.listener = l
	mux := http.NewServeMux()
	s.mux = mux
	mux.HandleFunc("GET /healthz", answer(program, h.Liveness, log))
	mux.Handle("GET /readyz", Readiness(program, h, log))
	mux.Handle("GET /metrics", promhttp.HandlerFor(reg, promhttp.HandlerOpts{
		MaxRequestsInFlight: 4,
		Timeout:             10 * time.Second,
	}))
	s.http = &http.Server{
		Handler:           mux,
		ReadHeaderTimeout: 5 * time.Second,
		ReadTimeout:       5 * time.Second,
		WriteTimeout:      15 * time.Second,
		IdleTimeout:       time.Minute,
		MaxHeaderBytes:    16 << 10,
		ErrorLog:          slog.NewLogLogger(log.Handler(), slog.LevelDebug),
	}
	return s, nil
}

// Handle adds a handler for a pattern of [http.ServeMux]. It must come before Run.
func (s *Server) Handle(pattern string, h http.Handler) {
	if s.mux != nil {
		s.mux.Handle(pattern, h)
	}
}

// Addr returns the address the server listens on, or "" when it is off.
func (s *Server) Addr() string {
	if s.listener == nil {
		return ""
	}
	return s.listener.Addr().String()
}

// StopTakes is how long the requests under way at the stop may take.
const StopTakes = 2 * time.Second

// Run serves until ctx ends, then gives the requests under way [StopTakes]. It
// returns nil at the end of ctx, and otherwise why serving stopped.
func (s *Server) Run(ctx context.Context) error {
	if s.listener == nil {
		<-ctx.Done()
		return nil
	}
	s.log.Info("http listens", "address", s.Addr())
	failed := make(chan error, 1)
	go func() { failed <- s.http.Serve(s.listener) }()
	select {
	case err := <-failed:
		return fmt.Errorf("serve http: %w", err)
	case <-ctx.Done():
	}
	grace, cancel := context.WithTimeout(context.WithoutCancel(ctx), StopTakes)
	defer cancel()
	err := s.http.Shutdown(grace)
	if err != nil {
		err = s.http.Close() // cuts off what is still under way
	}
	if served := <-failed; !errors.Is(served, http.ErrServerClosed) {
		err = errors.Join(err, served)
	}
	if err != nil {
		return fmt.Errorf("stop http: %w", err)
	}
	return nil
}

// Close frees the port of a server that is not run. It may be called again, and
// after Run.
func (s *Server) Close() error {
	if s.listener == nil {
		return nil
	}
	if err := s.listener.Close(); err != nil && !errors.Is(err, net.ErrClosed) {
		return fmt.Errorf("close http: %w", err)
	}
	return nil
}

// report is the body of /healthz and /readyz.
type report struct {
	Program string   `json:"program"`
	Version string   `json:"version"`
	OK      bool     `json:"ok"`
	Checks  []Answer `json:"checks"`
}

// Readiness answers as /readyz does, for another server.
func Readiness(program string, h *Health, log *slog.Logger) http.Handler {
	return answer(program, h.Readiness, log)
}

func answer(program string, ask func() ([]Answer, bool), log *slog.Logger) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		answers, ok := ask()
		w.Header().Set("Content-Type", "application/json")
		w.Header().Set("Cache-Control", "no-store")
		if !ok {
			w.WriteHeader(http.StatusServiceUnavailable)
		}
		e := json.NewEncoder(w)
		e.SetIndent("", "  ")
		if err := e.Encode(report{program, Version(), ok, answers}); err != nil {
			log.Debug("answer to a health request was cut off", "error", err)
		}
	}
}
