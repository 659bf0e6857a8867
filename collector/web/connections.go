package web

import (
	"net"
	"net/netip"
	"sync"

	"andon.internal/collector/login"
)

// Connections that are open at a time. Every one takes memory, and the process may be the
// one that stores readings.
const (
	maxConnections = 1024 // beside the event streams
	maxEach        = 256  // of one address; not of proxies and of this machine
)

// bounded is a listener that closes connections beyond its bounds at once: one that made
// them wait would let who holds the others keep everybody out for longer.
type bounded struct {
	net.Listener
	total, each int
	many        func(netip.Addr) bool // whether an address stands for many people
	refused     func()

	mu   sync.Mutex
	open int
	from map[string]int
}

// Accept returns the next connection within the bounds.
func (b *bounded) Accept() (net.Conn, error) {
	for {
		c, err := b.Listener.Accept()
		if err != nil {
			return nil, err
		}
		if who, ok := b.enter(c.RemoteAddr()); ok {
			return &boundedConn{Conn: c, leave: sync.OnceFunc(func() { b.leave(who) })}, nil
		}
		b.refused()
		_ = c.Close() // nothing was promised to it
	}
}

func (b *bounded) enter(a net.Addr) (who string, ok bool) {
	ap, _ := netip.ParseAddrPort(a.String()) // the zero one is as good as any
	if addr := ap.Addr().Unmap().WithZone(""); !addr.IsValid() || !b.many(addr) {
		who = login.Network(addr)
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.open >= b.total || who != "" && b.from[who] >= b.each {
		return "", false
	}
	b.open++
	if b.from == nil {
		b.from = map[string]int{}
	}
	b.from[who]++
	return who, true
}

func (b *bounded) leave(who string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.open--
	if b.from[who]--; b.from[who] <= 0 {
		delete(b.from, who)
	}
}

// boundedConn is a connection that leaves its place when it is closed.
type boundedConn struct {
	net.Conn
	leave func()
}

// Close closes the connection; it may be called again.
func (c *boundedConn) Close() error {
	defer c.leave()
	return c.Conn.Close()
}
