package chaos

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"time"

	"golang.org/x/sys/unix"
)

// watcher sees the changes in a folder: names that appear, and writes.
type watcher struct {
	dir  string
	fd   int
	seen int
}

func watch(dir string) (*watcher, error) {
	fd, err := unix.InotifyInit1(unix.IN_CLOEXEC | unix.IN_NONBLOCK)
	if err != nil {
		return nil, fmt.Errorf("watch %s: %w", dir, err)
	}
	if _, err := unix.InotifyAddWatch(fd, dir, unix.IN_CREATE|unix.IN_MOVED_TO|unix.IN_MODIFY); err != nil {
		return nil, errors.Join(fmt.Errorf("watch %s: %w", dir, err), unix.Close(fd))
	}
	return &watcher{dir: dir, fd: fd}, nil
}

func (w *watcher) close() { _ = unix.Close(w.fd) } // nothing was written

// await waits until n changes have been seen since the watch began, and reports whether
// they came in time. Those that come at once may be seen as one.
func (w *watcher) await(ctx context.Context, n int, limit time.Duration) (bool, error) {
	const breath = 50 * time.Millisecond // an interrupt is not kept waiting longer
	for end := time.Now().Add(limit); ; {
		if err := w.read(); err != nil || w.seen >= n {
			return w.seen >= n, err
		}
		left := time.Until(end)
		if left <= 0 || ctx.Err() != nil {
			return false, ctx.Err()
		}
		poll := []unix.PollFd{{Fd: int32(w.fd), Events: unix.POLLIN}}
		if _, err := unix.Poll(poll, int(min(left, breath).Milliseconds())+1); err != nil && !errors.Is(err, unix.EINTR) {
			return false, fmt.Errorf("watch %s: %w", w.dir, err)
		}
	}
}

// read counts what there is to be read.
func (w *watcher) read() error {
	buf := make([]byte, 4096)
	n, err := unix.Read(w.fd, buf)
	if errors.Is(err, unix.EAGAIN) || errors.Is(err, unix.EINTR) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("watch %s: %w", w.dir, err)
	}
	for at := 0; at+unix.SizeofInotifyEvent <= n; w.seen++ {
		// The name's length, padding included, is the last field.
		at += unix.SizeofInotifyEvent + int(binary.NativeEndian.Uint32(buf[at+12:]))
	}
	return nil
}
