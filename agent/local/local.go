// Package local is the agent's Unix socket: how other commands on the same machine ask
// an agent that runs.
//
// It stands beside the flow. The socket lies in the data folder, for its owner and root
// alone; there is no TCP. While that folder cannot be used the socket has no file, and both
// ends ask the kernel who the other one is: see [ListenBare]. What it promises: connections, requests and the time of each are
// bounded, so that whoever connects cannot hold the agent up; a socket that a crash left
// behind is replaced; a folder whose path is too long for a socket's address works too.
package local

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"time"

	"golang.org/x/net/netutil"
	"golang.org/x/sys/unix"
)

// Name is the socket's name in the data folder.
const Name = "agent.sock"

const (
	making   = Name + ".new"   // a folder in which the socket is made
	maxPath  = 107             // bytes of a socket's address, without its final zero
	maxConns = 8               // at once; others wait
	maxHead  = 8 << 10         // bytes of a request before its body
	patience = 5 * time.Second // for a request, and for writing an answer
	// StopTakes is how long the answers under way at the stop may take.
	StopTakes = time.Second
)

// Server answers at the socket of one data folder.
type Server struct {
	path     string // empty without a file: see ListenBare
	listener net.Listener
	http     *http.Server
	log      *slog.Logger
}

// Listen makes the socket in a data folder. The caller must hold the folder: a socket
// that is there is a left-over, and replaced. Anything else of its name stays, and is an
// error.
func Listen(dir string, h http.Handler, log *slog.Logger) (*Server, error) {
	s := &Server{path: filepath.Join(dir, Name), log: log}
	if info, err := os.Lstat(s.path); err == nil && info.Mode().Type() != os.ModeSocket {
		return nil, fmt.Errorf("listen at %s: it is there, and no socket", s.path)
	}
	l, err := bind(dir)
	if err != nil {
		return nil, fmt.Errorf("listen at %s: %w", s.path, err)
	}
	s.serve(l, h)
	return s, nil
}

func (s *Server) serve(l net.Listener, h http.Handler) {
	s.listener = netutil.LimitListener(l, maxConns)
	s.http = &http.Server{
		Handler:           h,
		ReadHeaderTimeout: patience,
		ReadTimeout:       patience,
		WriteTimeout:      patience,
		IdleTimeout:       patience,
		MaxHeaderBytes:    maxHead,
		ErrorLog:          slog.NewLogLogger(s.log.Handler(), slog.LevelDebug),
	}
}

// bind makes the socket in a folder that nobody else may enter, and puts it in its place
// when its mode is right: at no moment may another user connect.
func bind(dir string) (l *net.UnixListener, err error) {
	made := filepath.Join(dir, making)
	if err := os.RemoveAll(made); err != nil {
		return nil, err
	}
	if err := os.Mkdir(made, 0o700); err != nil {
		return nil, err
	}
	defer os.RemoveAll(made)
	path, done, err := short(made, "s")
	if err != nil {
		return nil, err
	}
	defer done()
	if l, err = net.ListenUnix("unix", &net.UnixAddr{Name: path, Net: "unix"}); err != nil {
		return nil, err
	}
	l.SetUnlinkOnClose(false) // it is renamed
	if err = os.Chmod(filepath.Join(made, "s"), 0o600); err == nil {
		err = os.Rename(filepath.Join(made, "s"), filepath.Join(dir, Name))
	}
	if err != nil {
		return nil, errors.Join(err, l.Close())
	}
	return l, nil
}

// short returns a path of a socket that is not too long for its address: where need be by
// way of the open folder, whose name in /proc is short. done closes that.
func short(dir, name string) (path string, done func(), err error) {
	if path = filepath.Join(dir, name); len(path) <= maxPath {
		return path, func() {}, nil
	}
	fd, err := unix.Open(dir, unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return "", nil, &os.PathError{Op: "open", Path: dir, Err: err}
	}
	done = func() { _ = unix.Close(fd) }
	path = filepath.Join("/proc/self/fd", strconv.Itoa(fd), name)
	if _, err := os.Stat(filepath.Dir(path)); err != nil {
		done()
		return "", nil, fmt.Errorf("the path %s has %d bytes, a socket's has at most %d, and the way around needs /proc: %w",
			filepath.Join(dir, name), len(filepath.Join(dir, name)), maxPath, err)
	}
	return path, done, nil
}

// Run answers until ctx ends, gives the answers under way a moment, and removes the
// socket. It returns nil at the end of ctx.
func (s *Server) Run(ctx context.Context) error {
	failed := make(chan error, 1)
	go func() { failed <- s.http.Serve(s.listener) }()
	select {
	case err := <-failed:
		return fmt.Errorf("serve %s: %w", s.path, err)
	case <-ctx.Done():
	}
	if s.path != "" {
		_ = os.Remove(s.path) // the next start replaces it
	}
	late, cancel := context.WithTimeout(context.WithoutCancel(ctx), StopTakes)
	defer cancel()
	if s.http.Shutdown(late) != nil {
		_ = s.http.Close() // cuts off what is still under way
	}
	if err := <-failed; !errors.Is(err, http.ErrServerClosed) {
		return fmt.Errorf("serve %s: %w", s.path, err)
	}
	return nil
}

// Close removes the socket of a server that is not run. It may be called again, and
// after Run.
func (s *Server) Close() error {
	err := s.listener.Close()
	if errors.Is(err, net.ErrClosed) {
		return nil // Run did
	}
	if s.path == "" {
		return err
	}
	return errors.Join(err, os.Remove(s.path))
}

// ExtendWrite gives an answer in parts its time anew for the next part.
func ExtendWrite(w http.ResponseWriter) error {
	return http.NewResponseController(w).SetWriteDeadline(time.Now().Add(patience))
}

// Client returns a client whose every request goes to the socket of a data folder,
// whatever host its URL names.
func Client(dir string) *http.Client {
	return &http.Client{Transport: &http.Transport{
		DisableKeepAlives:     true,
		ResponseHeaderTimeout: 2 * patience,
		DialContext:           func(ctx context.Context, _, _ string) (net.Conn, error) { return dial(ctx, dir) },
	}}
}
