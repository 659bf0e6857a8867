package broker

import (
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"runtime/debug"
	"sync"
	"time"

	mqtt "github.com/mochi-mqtt/server/v2"
	"github.com/mochi-mqtt/server/v2/listeners"

	"andon.internal/broker/access"
)

// listenerID is the name the library knows our only listener by.
const listenerID = "mqtt"

// listener accepts connections within the limits and hands them to the library. It
// implements the library's listeners.Listener.
type listener struct {
	inner   net.Listener
	limits  Limits
	metrics *metrics
	log     *slog.Logger
	depot   *depot
	gate    *gate              // nil without TLS
	rescue  func(*mqtt.Client) // cleans up behind a panic of the library
	told    *repeats           // of what the log tells of ended sessions
	lobby   *room              // of connections without a session
	hall    *room              // of those in the middle of a large packet
	shares  *shares
	turns   turns

	mu      sync.Mutex
	conns   map[*conn]struct{}
	perIP   map[string]int
	stopped chan struct{} // closed by Close
	failing error         // why the last Accept failed; nil when it did not
	serving sync.WaitGroup
}

func newListener(inner net.Listener, limits Limits, m *metrics, log *slog.Logger, d *depot, lobby, hall *room) *listener {
	return &listener{
		inner: inner, limits: limits, metrics: m, log: log, depot: d, told: newRepeats(),
		lobby: lobby, hall: hall, shares: newShares(limits), turns: newTurns(),
		conns:   map[*conn]struct{}{},
		perIP:   map[string]int{},
		stopped: make(chan struct{}),
	}
}

// Init, ID, Address and Protocol are what the library asks for.
func (l *listener) Init(*slog.Logger) error { return nil }
func (l *listener) ID() string              { return listenerID }
func (l *listener) Address() string         { return l.inner.Addr().String() }
func (l *listener) Protocol() string        { return l.inner.Addr().Network() }

// Serve accepts until Close. An Accept that fails (no file descriptors left, say)
// is tried again, at first after 5 ms and then ever later, up to a second.
func (l *listener) Serve(establish listeners.EstablishFn) {
	const first, last = 5 * time.Millisecond, time.Second
	pause := first
	for {
		c, err := l.inner.Accept()
		l.setFailing(err)
		switch {
		case err == nil:
			pause = first
			l.admit(c, establish)
			continue
		case errors.Is(err, net.ErrClosed):
			return
		}
		l.metrics.acceptErrors.Inc()
		if pause == first {
			l.log.Error("connections cannot be accepted", "error", err, "hint", "is the limit of open files too low?")
		}
		select {
		case <-time.After(pause):
		case <-l.stopped:
			return
		}
		pause = min(2*pause, last)
	}
}

func (l *listener) setFailing(err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.failing = err
}

// Check returns why connections are not accepted at present, or nil.
func (l *listener) Check() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.failing
}

// admit takes the connection within the limits, or closes it.
func (l *listener) admit(raw net.Conn, establish listeners.EstablishFn) {
	ip, reason := addressOf(raw), ""
	l.mu.Lock()
	defer l.mu.Unlock()
	select {
	case <-l.stopped:
		reason = "stopping"
	default:
		if len(l.conns) >= l.limits.MaxConnections {
			reason = "max_connections"
		} else if ip != "" && l.perIP[ip] >= l.limits.MaxConnectionsPerIP {
			reason = "max_connections_per_ip"
		}
	}
	if reason != "" {
		l.metrics.refused.WithLabelValues(reason).Inc()
		_ = raw.Close() // nothing was promised to it
		return
	}
	c := &conn{
		Conn: raw, raw: raw, identity: access.Identity{Role: access.Local},
		until:   time.Now().Add(l.limits.ConnectTimeout),
		metrics: l.metrics, ended: make(chan struct{}), shut: make(chan struct{}), lobby: l.lobby, hall: l.hall,
		opening:   opening{limit: int(l.limits.MaxConnectPacket)},
		writeTime: l.limits.WriteTimeout,
		maxPacket: int(l.limits.MaxPacket),
		queue:     queue{depot: l.depot, limit: int64(l.limits.ClientQueueBytes)},
	}
	if l.gate != nil {
		c.identity = access.Identity{}
		c.handshake = &handshake{Conn: raw, turns: l.turns, until: c.until}
		c.Conn = tls.Server(c.handshake, l.gate.tls)
	}
	l.conns[c] = struct{}{}
	c.pending = l.lobby.enter(c, 1)
	if ip != "" {
		l.perIP[ip]++
	}
	l.metrics.connections.Set(float64(len(l.conns)))
	l.serving.Go(func() {
		defer l.forget(c, ip)
		l.serve(c, establish)
	})
}

// serve runs the connection to its end.
func (l *listener) serve(c *conn, establish listeners.EstablishFn) {
	defer func() {
		if p := recover(); p != nil {
			l.metrics.panics.Inc()
			l.log.Error("a packet made the mqtt library panic; its connection was closed",
				"panic", fmt.Sprint(p), "remote", c.RemoteAddr().String(), "stack", string(debug.Stack()))
			if cl := c.client.Load(); cl != nil && c.established.Load() {
				l.rescue(cl)
			}
		}
	}()
	if err := c.raw.SetDeadline(c.until); err != nil {
		return // closed already
	}
	if !l.admitted(c) {
		return
	}
	if oldest := l.shares.enter(c); oldest != nil {
		oldest.crowd("max_connections_per_identity")
	}
	// A write has its own time from here on.
	if c.raw.SetDeadline(time.Time{}) != nil || c.raw.SetReadDeadline(c.until) != nil {
		return
	}
	err := establish(listenerID, c)
	l.ended(c, err)
	l.log.Debug("connection ended", "remote", c.RemoteAddr().String(), "error", err)
}

// admitted makes the TLS handshake where there is one, and notes who the client is.
func (l *listener) admitted(c *conn) bool {
	secured, ok := c.Conn.(*tls.Conn)
	if !ok {
		return true
	}
	defer c.handshake.end()
	identity, err := l.gate.pass(secured)
	if err == nil {
		c.identity = identity
		c.known.Store(true)
		return true
	}
	reason := "tls"
	switch {
	case errors.Is(err, errNoIdentity):
		reason = "no_identity"
	case errors.Is(err, os.ErrDeadlineExceeded):
		reason = "handshake_timeout"
	}
	l.refuse(c, reason, err)
	return false
}

func (l *listener) forget(c *conn, ip string) {
	_ = c.Close() // it may be closed already
	l.lobby.leave(c.pending)
	l.hall.leave(c.large)
	l.shares.leave(c)
	c.queue.close()
	l.depot.forget(c)
	close(c.ended)
	l.mu.Lock()
	defer l.mu.Unlock()
	delete(l.conns, c)
	if l.perIP[ip]--; l.perIP[ip] <= 0 {
		delete(l.perIP, ip)
	}
	l.metrics.connections.Set(float64(len(l.conns)))
}

// each calls f for every connection, without holding the lock.
func (l *listener) each(f func(*conn)) {
	l.mu.Lock()
	all := make([]*conn, 0, len(l.conns))
	for c := range l.conns {
		all = append(all, c)
	}
	l.mu.Unlock()
	for _, c := range all {
		f(c)
	}
}

// Close stops accepting, ends connections that have no session yet, gives the
// others' writes half a second, and has the library say goodbye to them.
func (l *listener) Close(sayGoodbye listeners.CloseFn) {
	l.mu.Lock()
	select {
	case <-l.stopped:
		l.mu.Unlock()
		return
	default:
		close(l.stopped)
	}
	l.mu.Unlock()
	_ = l.inner.Close() // the port is free either way
	l.each(func(c *conn) {
		if c.established.Load() {
			c.hurry(500 * time.Millisecond)
		} else {
			_ = c.Close() // nothing was promised to it
		}
	})
	sayGoodbye(listenerID)
}

// addressOf returns the remote IP for counting, or "" for loopback, where every
// client of a proxy or of one box looks the same. Of IPv6 it is the network: a box
// has all the addresses of its /64.
func addressOf(c net.Conn) string {
	a, ok := c.RemoteAddr().(*net.TCPAddr)
	if !ok || a.IP.IsLoopback() {
		return ""
	}
	if ip := a.AddrPort().Addr().Unmap(); ip.Is6() {
		network, err := ip.Prefix(64)
		if err == nil { // of an IPv6 address it never is
			return network.String()
		}
	}
	return a.IP.String()
}
