package broker

import (
	"errors"
	"net"
	"sync"
	"sync/atomic"
	"time"

	mqtt "github.com/mochi-mqtt/server/v2"

	"andon.internal/broker/access"
)

// conn is a client's connection as the MQTT library sees it. It adds what the
// library leaves out: the first packet is held to a size before memory is given to
// it and to a deadline; silence is measured between bytes, not between packets, so
// that a large message on a slow line is no silence; and a write that stands still
// ends the connection instead of standing for ever.
type conn struct {
	net.Conn  // over raw: TLS, or the same
	raw       net.Conn
	identity  access.Identity // who the client is; set before the library has it
	until     time.Time       // by when it must have a session
	handshake *handshake      // nil without TLS
	metrics   *metrics
	opening   opening // only the reading goroutine touches it

	// silence is 1.5 keepalives, set with the CONNECT. patience is how long the
	// connection may bring no byte; 0 until the CONNECT is accepted, while the
	// deadline set by the listener stands.
	silence  time.Duration
	patience atomic.Int64

	writes      sync.Mutex // over writeTime and setting the write deadline
	writeTime   time.Duration
	queue       queue
	client      atomic.Pointer[mqtt.Client]     // once the CONNECT was read
	asked       atomic.Pointer[map[ticket]bool] // the filters of the last SUBSCRIBE
	published   ticket                          // of the client's last message; only the reading goroutine touches it
	asking      uint16                          // the packet id of the last SUBSCRIBE; likewise
	losses      losses                          // as told in the log; only the watch touches it
	closing     sync.Once
	closingErr  error
	ended       chan struct{} // closed by the listener when all is cleaned up
	shut        chan struct{} // closed by Close
	established atomic.Bool   // the session was set up: from here a will is owed
	known       atomic.Bool   // the identity is set
	expelled    atomic.Bool   // the certificate is no longer good, which was counted
	crowded     atomic.Value  // the bound (a string) for which it was closed to make room
	pending     *guest        // of the lobby, while there is no session
	lobby, hall *room
	maxPacket   int     // the largest that the library takes, with one byte of its header
	framing     framing // this and the next: only the reading goroutine touches them
	large       *guest  // of the hall, while a large packet comes in
	share       *share  // of its identity; set before the library has it
}

// Read reads from the client.
func (c *conn) Read(p []byte) (int, error) {
	patience := time.Duration(c.patience.Load())
	if patience > 0 {
		if err := c.Conn.SetReadDeadline(time.Now().Add(patience)); err != nil {
			return 0, err
		}
	}
	n, err := c.Conn.Read(p)
	if patience == 0 {
		if bad := c.opening.feed(p[:n]); bad != nil {
			return 0, bad
		}
	}
	c.framing.feed(p[:n], c.begin, c.end)
	return n, err
}

// begin and end book a large packet for as long as it comes in. One that is larger than the
// library takes, it refuses by its size: nobody makes room for that.
func (c *conn) begin(size int) {
	if size >= largePacket && size < c.maxPacket {
		c.large = c.hall.enter(c, int64(size))
	}
}

func (c *conn) end() {
	c.hall.leave(c.large)
	c.large = nil
}

// Write writes to the client. After an error the connection is closed: part of a
// packet may be out, and the library would go on.
func (c *conn) Write(p []byte) (int, error) {
	c.writes.Lock()
	err := c.Conn.SetWriteDeadline(time.Now().Add(c.writeTime))
	c.writes.Unlock()
	if err != nil {
		return 0, err
	}
	n, err := c.Conn.Write(p)
	if err != nil {
		var timeout net.Error
		if errors.As(err, &timeout) && timeout.Timeout() {
			c.metrics.writeTimeouts.Inc()
		}
		_ = c.Close() // the write's error says it all
	}
	return n, err
}

// hurry gives the write that is under way, and every later one, at most d.
func (c *conn) hurry(d time.Duration) {
	c.writes.Lock()
	defer c.writes.Unlock()
	c.writeTime = min(c.writeTime, d)
	_ = c.Conn.SetWriteDeadline(time.Now().Add(c.writeTime)) // fails on a closed one only
}

// asks reports whether a text is a filter that the client has just subscribed, and
// not the topic of a message, which may read the same.
func (c *conn) asks(filter string) bool {
	asked := c.asked.Load()
	return asked != nil && (*asked)[ticketOf(filter)]
}

// SetDeadline is called by the library before it waits for a packet, first when the
// CONNECT is accepted. Its time is not taken: 1.5 keepalives come out rounded down
// there, and writes have a time of their own.
func (c *conn) SetDeadline(time.Time) error {
	c.patience.Store(int64(c.silence))
	return c.Conn.SetReadDeadline(time.Now().Add(c.silence))
}

// SetReadDeadline does what SetDeadline does.
func (c *conn) SetReadDeadline(t time.Time) error { return c.SetDeadline(t) }

// SetWriteDeadline does nothing: see Write.
func (c *conn) SetWriteDeadline(time.Time) error { return nil }

// Close closes the connection once.
func (c *conn) Close() error {
	// Without a goodbye in TLS, which would wait for a client that does not read.
	c.closing.Do(func() {
		close(c.shut)
		c.closingErr = c.raw.Close()
	})
	return c.closingErr
}

// establish notes that the session was set up.
func (c *conn) establish() {
	c.lobby.leave(c.pending)
	c.established.Store(true)
}

// crowd closes the connection to make room for another within a bound.
func (c *conn) crowd(bound string) {
	c.crowded.Store(bound)
	_ = c.Close() // it may be closing already
}

// crowdedBy returns the bound for which the connection was closed, or "".
func (c *conn) crowdedBy() string {
	bound, _ := c.crowded.Load().(string)
	return bound
}

// The reasons why a first packet is refused.
var (
	errNotConnect  = errors.New("the first packet is no CONNECT")
	errConnectSize = errors.New("the CONNECT is larger than max_connect_packet")
	errConnectForm = errors.New("the length of the first packet is malformed")
)

// opening checks the first packet's fixed header as it comes in, byte by byte where
// need be: MQTT 5.0, 2.1 (type, flags) and 1.5.5 (variable byte integer).
type opening struct {
	limit  int  // bytes the packet may have
	seen   int  // bytes so far
	length int  // as stated
	whole  bool // the length is known
}

func (o *opening) feed(p []byte) error {
	for _, b := range p {
		if o.whole {
			return nil
		}
		o.seen++
		switch {
		case o.seen == 1:
			if b != 0x10 {
				return errNotConnect
			}
			continue
		case o.seen > 5:
			return errConnectForm
		}
		o.length |= int(b&0x7f) << (7 * (o.seen - 2))
		if b&0x80 == 0 {
			o.whole = true
			if o.length > o.limit {
				return errConnectSize
			}
		}
	}
	return nil
}
