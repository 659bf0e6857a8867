package local

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// A bare socket has no file: it is for the time in which the data folder cannot be used. Its
// address is in Linux's abstract namespace, where no file's mode says who may connect; so
// both ends ask the kernel who the other one is.

// bare is the address of a data folder's bare socket.
func bare(dir string) string {
	if abs, err := filepath.Abs(dir); err == nil {
		dir = abs
	}
	sum := sha256.Sum256([]byte(filepath.Clean(dir)))
	return fmt.Sprintf("@andon-agent-%x", sum[:12])
}

// ListenBare answers for a data folder in which no socket can be made, to its own user and
// to root alone.
func ListenBare(dir string, h http.Handler, log *slog.Logger) (*Server, error) {
	s := &Server{log: log}
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: bare(dir), Net: "unix"})
	if err != nil {
		return nil, fmt.Errorf("listen without a file for %s: %w", dir, err)
	}
	s.serve(known{l}, h)
	return s, nil
}

// known is a listener for its own user and root.
type known struct{ *net.UnixListener }

// Accept returns the next connection of somebody who may connect.
func (l known) Accept() (net.Conn, error) {
	for {
		c, err := l.AcceptUnix()
		if err != nil {
			return nil, err
		}
		if uid, err := peer(c); err == nil && (uid == 0 || uid == uint32(os.Geteuid())) {
			return c, nil
		}
		_ = c.Close()
	}
}

// peer returns who is at the other end.
func peer(c *net.UnixConn) (uid uint32, err error) {
	raw, err := c.SyscallConn()
	if err != nil {
		return 0, err
	}
	var cred *unix.Ucred
	if e := raw.Control(func(fd uintptr) { cred, err = unix.GetsockoptUcred(int(fd), unix.SOL_SOCKET, unix.SO_PEERCRED) }); e != nil || err != nil {
		return 0, errors.Join(e, err)
	}
	return cred.Uid, nil
}

// dialBare connects to the bare socket, if it is of somebody whose word counts here: oneself,
// root, or whose the data folder is. Root asks anybody.
func dialBare(ctx context.Context, dir string) (net.Conn, error) {
	d := net.Dialer{Timeout: patience}
	c, err := d.DialContext(ctx, "unix", bare(dir))
	if err != nil {
		return nil, err
	}
	self := uint32(os.Geteuid())
	uid, err := peer(c.(*net.UnixConn))
	if err == nil && uid != 0 && uid != self && self != 0 {
		var st unix.Stat_t
		if unix.Stat(dir, &st) != nil || st.Uid != uid {
			err = fmt.Errorf("user %d answers for %s: %w", uid, dir, fs.ErrPermission)
		}
	}
	if err != nil {
		return nil, errors.Join(err, c.Close())
	}
	return c, nil
}

// Answers reports whether an agent answers for a data folder.
func Answers(ctx context.Context, dir string) bool {
	ctx, cancel := context.WithTimeout(ctx, time.Second)
	defer cancel()
	c, err := dial(ctx, dir)
	if err != nil {
		return false
	}
	return c.Close() == nil
}

// dial connects to the socket in the data folder, or where there is none to the bare one.
func dial(ctx context.Context, dir string) (net.Conn, error) {
	c, err := dialFile(ctx, dir)
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, syscall.ECONNREFUSED) || errors.Is(err, syscall.ENOTDIR) {
		if bare, e := dialBare(ctx, dir); e == nil {
			return bare, nil
		}
	}
	return c, err
}

func dialFile(ctx context.Context, dir string) (net.Conn, error) {
	path, done, err := short(dir, Name)
	if err != nil {
		return nil, err
	}
	defer done()
	d := net.Dialer{Timeout: patience}
	return d.DialContext(ctx, "unix", path)
}
