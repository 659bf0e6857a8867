// Package control lets a command in another terminal steer a running lab: status,
// cut, heal, kill, restart, inject, stop, release and down, as HTTP over a Unix socket that only the user
// can reach.
package control

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"time"

	"andon.internal/lab/cable"
	"andon.internal/lab/factory"
	"andon.internal/shared/ops"
)

// Lab is what can be steered; [factory.Factory] is one.
type Lab interface {
	Status(ctx context.Context) factory.Status
	Cut(cell string, how cable.State) error
	Heal(cell string) error
	Kill(process string) error
	Restart(ctx context.Context, process string) error
	Inject(ctx context.Context, unit string, f factory.Fault) error
	Drive(ctx context.Context, unit string, run bool) error
}

// order is the body of a command.
type order struct {
	Target string        `json:"target"`         // a cell, a process or a unit
	How    cable.State   `json:"how,omitempty"`  // of a cut
	Fault  factory.Fault `json:"fault,omitzero"` // of inject
}

// failure is the body of an answer that is not OK.
type failure struct {
	Error string `json:"error"`
	Hint  string `json:"hint,omitempty"`
}

// Server takes commands for one lab.
type Server struct {
	listener net.Listener
	http     *http.Server
}

// Listen opens the socket. down is called, at most once at a time, for the command
// of that name; it must not wait for the server.
func Listen(socket string, lab Lab, down func()) (*Server, error) {
	l, err := net.Listen("unix", socket)
	if err != nil {
		return nil, fmt.Errorf("listen for commands: %w", err)
	}
	if err := os.Chmod(socket, 0o600); err != nil {
		l.Close()
		return nil, fmt.Errorf("listen for commands: %w", err)
	}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /status", func(w http.ResponseWriter, r *http.Request) { answer(w, lab.Status(r.Context()), nil) })
	command(mux, "cut", func(_ context.Context, o order) error { return lab.Cut(o.Target, o.How) })
	command(mux, "heal", func(_ context.Context, o order) error { return lab.Heal(o.Target) })
	command(mux, "kill", func(_ context.Context, o order) error { return lab.Kill(o.Target) })
	command(mux, "restart", func(ctx context.Context, o order) error { return lab.Restart(ctx, o.Target) })
	command(mux, "inject", func(ctx context.Context, o order) error { return lab.Inject(ctx, o.Target, o.Fault) })
	command(mux, "stop", func(ctx context.Context, o order) error { return lab.Drive(ctx, o.Target, false) })
	command(mux, "release", func(ctx context.Context, o order) error { return lab.Drive(ctx, o.Target, true) })
	command(mux, "down", func(context.Context, order) error { down(); return nil })
	return &Server{listener: l, http: &http.Server{Handler: mux, ReadHeaderTimeout: 5 * time.Second}}, nil
}

func command(mux *http.ServeMux, name string, do func(context.Context, order) error) {
	mux.HandleFunc("POST /"+name, func(w http.ResponseWriter, r *http.Request) {
		var o order
		if err := json.NewDecoder(io.LimitReader(r.Body, 1<<16)).Decode(&o); err != nil {
			answer(w, nil, fmt.Errorf("read command: %w", err))
			return
		}
		answer(w, struct{}{}, do(context.WithoutCancel(r.Context()), o))
	})
}

func answer(w http.ResponseWriter, body any, err error) {
	w.Header().Set("Content-Type", "application/json")
	if err != nil {
		f := failure{Error: err.Error()}
		var h interface{ Hint() string }
		if errors.As(err, &h) {
			f.Hint = h.Hint()
		}
		w.WriteHeader(http.StatusConflict)
		body = f
	}
	_ = json.NewEncoder(w).Encode(body) // who asked has gone
}

// Run serves until ctx ends and then gives commands under way a second.
func (s *Server) Run(ctx context.Context) error {
	failed := make(chan error, 1)
	go func() { failed <- s.http.Serve(s.listener) }()
	select {
	case err := <-failed:
		return fmt.Errorf("serve commands: %w", err)
	case <-ctx.Done():
	}
	grace, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Second)
	defer cancel()
	if s.http.Shutdown(grace) != nil {
		s.http.Close()
	}
	if err := <-failed; !errors.Is(err, http.ErrServerClosed) {
		return fmt.Errorf("serve commands: %w", err)
	}
	return nil
}

// Client steers the lab that listens on a socket.
type Client struct{ http *http.Client }

// Dial returns a client; it connects when it is used.
func Dial(socket string) *Client {
	var d net.Dialer
	return &Client{&http.Client{
		Timeout: 2 * time.Minute, // a restart of PostgreSQL may take its time
		Transport: &http.Transport{
			DisableKeepAlives: true,
			DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
				return d.DialContext(ctx, "unix", socket)
			},
		},
	}}
}

// Status asks what everything is doing.
func (c *Client) Status(ctx context.Context) (factory.Status, error) {
	var s factory.Status
	err := c.do(ctx, http.MethodGet, "status", nil, &s)
	return s, err
}

// Cut cuts a cell's cable; see cable.Cable.Cut.
func (c *Client) Cut(ctx context.Context, cell string, how cable.State) error {
	return c.do(ctx, http.MethodPost, "cut", order{Target: cell, How: how}, nil)
}

// Heal mends a cell's cable.
func (c *Client) Heal(ctx context.Context, cell string) error {
	return c.do(ctx, http.MethodPost, "heal", order{Target: cell}, nil)
}

// Kill ends a process with SIGKILL.
func (c *Client) Kill(ctx context.Context, process string) error {
	return c.do(ctx, http.MethodPost, "kill", order{Target: process}, nil)
}

// Restart stops a process where it runs, and starts it.
func (c *Client) Restart(ctx context.Context, process string) error {
	return c.do(ctx, http.MethodPost, "restart", order{Target: process}, nil)
}

// Inject gives a simulated machine a fault; see factory.Factory.Inject.
func (c *Client) Inject(ctx context.Context, unit string, f factory.Fault) error {
	return c.do(ctx, http.MethodPost, "inject", order{Target: unit, Fault: f}, nil)
}

// Drive lets a simulated machine run, or stops it.
func (c *Client) Drive(ctx context.Context, unit string, run bool) error {
	what := "stop"
	if run {
		what = "release"
	}
	return c.do(ctx, http.MethodPost, what, order{Target: unit}, nil)
}

// Down asks the lab to end; it returns before the lab has.
func (c *Client) Down(ctx context.Context) error {
	return c.do(ctx, http.MethodPost, "down", order{}, nil)
}

func (c *Client) do(ctx context.Context, method, path string, body, into any) error {
	b, err := json.Marshal(body)
	if err != nil {
		return fmt.Errorf("ask the lab: %w", err)
	}
	req, err := http.NewRequestWithContext(ctx, method, "http://lab/"+path, bytes.NewReader(b))
	if err != nil {
		return fmt.Errorf("ask the lab: %w", err)
	}
	res, err := c.http.Do(req)
	if err != nil {
		return fmt.Errorf("ask the lab: %w", err)
	}
	defer res.Body.Close()
	if res.StatusCode != http.StatusOK {
		var f failure
		if err := json.NewDecoder(res.Body).Decode(&f); err != nil {
			return fmt.Errorf("ask the lab: status %d", res.StatusCode)
		}
		if f.Hint != "" {
			return ops.Hint(errors.New(f.Error), f.Hint)
		}
		return errors.New(f.Error)
	}
	if into == nil {
		return nil
	}
	if err := json.NewDecoder(res.Body).Decode(into); err != nil {
		return fmt.Errorf("read the lab's answer: %w", err)
	}
	return nil
}
