// Package pgserver runs a private PostgreSQL server: a cluster of its own in one
// folder, on a free port of 127.0.0.1, with a random password and fsync on.
//
// It stands beside the flow: the lab, the demo and the tests put it where a plant
// has its database. It promises that several servers run side by side, that a
// server survives [Server.Kill] as it would a power-off of its processes, that the
// process ends with the one that started it, and that [Server.Remove] leaves
// nothing behind. It needs Linux and PostgreSQL 15 or later; as root on a
// Debian-like system it installs the package where there is none.
package pgserver

import (
	"cmp"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"time"
)

// Options says where and how a server runs. The zero value is a server in a
// temporary folder.
type Options struct {
	// Dir holds the cluster and its log. It is made when missing, and a cluster
	// that is already there is started again. Default: a new temporary folder.
	Dir string
	// Bin is the folder of initdb and postgres. Default: PATH, then the newest in
	// Debian's and Red Hat's places, then the installed Debian package.
	Bin string
	// Port to listen on. Default: a free one, kept for the server's life.
	Port int
	// Host is the address to listen at, in place of 127.0.0.1. Whoever is in a network
	// of the server and has the password may connect then.
	Host string
	// Netns is the file of the network namespace to run in. Default: this one.
	Netns string
	// Settings are added to postgresql.conf and win over this package's own.
	Settings map[string]string
	// Logger hears of installing and of restarts. Default: none.
	Logger *slog.Logger
}

const (
	superuser    = "andon"
	loopback     = "127.0.0.1"
	startTimeout = 60 * time.Second
	stopTimeout  = 30 * time.Second
)

// Server is a private PostgreSQL server. Its methods are safe for concurrent use.
type Server struct {
	opt      Options
	bin      string
	owner    *owner // nil: runs as ourselves
	password string
	port     int

	mu      sync.Mutex
	proc    *process // nil when not running
	removed bool
}

// Start prepares the cluster where there is none, starts the server and returns
// when it takes connections. On an error nothing is left running; a temporary
// folder is removed.
func Start(ctx context.Context, o Options) (*Server, error) {
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	bin, err := newFinder(o.Logger).find(ctx, o.Bin)
	if err != nil {
		return nil, err
	}
	o.Host = cmp.Or(o.Host, loopback)
	temporary := o.Dir == ""
	if temporary {
		if o.Dir, err = os.MkdirTemp("", "andon-pg-"); err != nil {
			return nil, fmt.Errorf("start postgres: %w", err)
		}
	}
	if o.Dir, err = filepath.Abs(o.Dir); err != nil {
		return nil, fmt.Errorf("start postgres: %w", err)
	}
	s := &Server{opt: o, bin: bin, port: o.Port}
	if err = s.prepare(ctx); err == nil {
		err = s.Start(ctx)
	}
	if err == nil {
		return s, nil
	}
	if temporary {
		err = errors.Join(err, os.RemoveAll(o.Dir))
	}
	return nil, err
}

// prepare makes the folder, initialises the cluster once and reads its password.
func (s *Server) prepare(ctx context.Context) error {
	if err := os.MkdirAll(s.opt.Dir, 0o755); err != nil {
		return fmt.Errorf("prepare postgres: %w", err)
	}
	var err error
	if s.owner, err = findOwner(); err != nil {
		return err
	}
	if err := s.owner.take(s.opt.Dir); err != nil {
		return err
	}
	if _, err := os.Stat(s.initialised()); errors.Is(err, os.ErrNotExist) {
		if err := s.initdb(ctx); err != nil {
			return err
		}
	}
	b, err := os.ReadFile(s.passwordFile())
	if err != nil {
		return fmt.Errorf("prepare postgres: %w", err)
	}
	s.password = string(b)
	return nil
}

func (s *Server) data() string         { return filepath.Join(s.opt.Dir, "data") }
func (s *Server) passwordFile() string { return filepath.Join(s.opt.Dir, "password") }
func (s *Server) initialised() string  { return filepath.Join(s.opt.Dir, "initialised") }

// LogFile is where the server writes its log.
func (s *Server) LogFile() string { return filepath.Join(s.opt.Dir, "postgres.log") }

// Dir is the folder that holds the cluster.
func (s *Server) Dir() string { return s.opt.Dir }

// initdb makes the cluster. What an interrupted attempt left is removed first.
func (s *Server) initdb(ctx context.Context) error {
	if err := os.RemoveAll(s.data()); err != nil {
		return fmt.Errorf("initdb: %w", err)
	}
	if err := os.WriteFile(s.passwordFile(), []byte(rand.Text()), 0o600); err != nil {
		return fmt.Errorf("initdb: %w", err)
	}
	if err := s.owner.give(s.passwordFile()); err != nil {
		return err
	}
	cmd := s.owner.command(ctx, filepath.Join(s.bin, "initdb"),
		"--pgdata", s.data(), "--username", superuser, "--pwfile", s.passwordFile(),
		"--auth", "scram-sha-256", "--encoding", "UTF8", "--no-locale", "--no-instructions")
	cmd.Dir = s.opt.Dir
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("initdb in %s: %w: %s", s.opt.Dir, err, tail(out))
	}
	if err := s.letIn(); err != nil {
		return err
	}
	return os.WriteFile(s.initialised(), nil, 0o644)
}

// letIn lets the networks of a server that listens beyond loopback connect to it.
func (s *Server) letIn() error {
	if s.opt.Host == loopback {
		return nil
	}
	f, err := os.OpenFile(filepath.Join(s.data(), "pg_hba.conf"), os.O_WRONLY|os.O_APPEND, 0)
	if err != nil {
		return fmt.Errorf("initdb: %w", err)
	}
	_, err = f.WriteString("host all all samenet scram-sha-256\n")
	if err = errors.Join(err, f.Sync(), f.Close()); err != nil {
		return fmt.Errorf("initdb: %w", err)
	}
	return nil
}

// DSN returns the connection string of the database "postgres", as a superuser.
// It stays the same when the server is stopped and started again.
func (s *Server) DSN() string { return s.DatabaseDSN("postgres") }

// DatabaseDSN is [Server.DSN] for another database.
func (s *Server) DatabaseDSN(name string) string {
	u := url.URL{
		Scheme: "postgres", User: url.UserPassword(superuser, s.password),
		Host: net.JoinHostPort(s.opt.Host, strconv.Itoa(s.Port())), Path: "/" + name,
		RawQuery: "sslmode=disable",
	}
	return u.String()
}

// Port returns the port.
func (s *Server) Port() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.port
}

// PID returns the postmaster's process id, or 0 when the server does not run.
func (s *Server) PID() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.proc == nil || s.proc.exited() {
		return 0
	}
	return s.proc.pid
}

// tail returns the end of a program's output, for an error message.
func tail(out []byte) string {
	const most = 1500
	t := strings.TrimSpace(string(out))
	if len(t) > most {
		t = "..." + t[len(t)-most:]
	}
	return t
}

// logTail returns what the server logged since offset.
func (s *Server) logTail(offset int64) string {
	f, err := os.Open(s.LogFile())
	if err != nil {
		return ""
	}
	defer f.Close()
	if _, err := f.Seek(offset, io.SeekStart); err != nil {
		return ""
	}
	b, _ := io.ReadAll(io.LimitReader(f, 64<<10))
	return tail(b)
}
