package link

import (
	"net"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

const (
	// chunk is how much of a packet has to get through within the write timeout, so
	// that a large one may take its time on a thin link.
	chunk = 64 << 10
	// maxUnsent is how much the kernel takes before it is on its way. What waits there
	// can no longer be overtaken by a fresher record.
	maxUnsent = 16 << 10
)

// conn bounds how long a write may make no progress. Packets of several goroutines
// do not mix.
type conn struct {
	net.Conn
	stall time.Duration
	mu    sync.Mutex // held while one packet is written
}

func newConn(c net.Conn, stall time.Duration) *conn {
	if t, ok := c.(*net.TCPConn); ok {
		if raw, err := t.SyscallConn(); err == nil {
			_ = raw.Control(func(fd uintptr) {
				// Only a matter of latency: without it things work.
				_ = unix.SetsockoptInt(int(fd), unix.IPPROTO_TCP, unix.TCP_NOTSENT_LOWAT, maxUnsent)
			})
		}
	}
	return &conn{Conn: c, stall: stall}
}

func (c *conn) Write(b []byte) (int, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	done := 0
	for {
		if err := c.Conn.SetWriteDeadline(time.Now().Add(c.stall)); err != nil {
			return done, err
		}
		n, err := c.Conn.Write(b[done:min(len(b), done+chunk)])
		done += n
		if err != nil || done == len(b) {
			return done, err
		}
	}
}

// SetWriteDeadline does nothing: the library would set one for a whole packet.
func (c *conn) SetWriteDeadline(time.Time) error { return nil }
