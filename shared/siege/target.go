package siege

import (
	"bufio"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"time"
)

// Target is the broker under siege, and what the besiegers may do.
type Target struct {
	Address string // host:port
	// As returns the TLS configuration of somebody; nil: the broker is without TLS.
	As func(Who) *tls.Config
	// Connects and Packets are how many of them an attack makes a second.
	Connects, Packets int
	// Held is how many connections an attack that holds connections holds.
	Held int
}

// Who somebody is. The group of all cells is [Group].
type Who string

// The people of a siege, beside the honest cells. Rogue is a cell whose certificate is
// good and whose software is not; a Stranger has none.
const (
	Plant    Who = "plant"     // a collector
	Rogue    Who = "rogue"     // a cell
	Onlooker Who = "onlooker"  // a viewer
	Stranger Who = "stranger"  // nobody
	Group        = "line1"     // that of the cells
	first        = "cell-%02d" // the honest ones
)

// Cell returns the name of an honest cell, from 0 on.
func Cell(n int) Who { return Who(fmt.Sprintf(first, n)) }

// id returns a client id that the broker takes from somebody, made unique by a suffix.
func (w Who) id(suffix string) string {
	if w == Plant || w == Onlooker {
		return string(w) + "-" + suffix
	}
	return Group + "/" + string(w) + "/" + suffix
}

// topic returns one on which a cell may publish.
func (w Who) topic() string { return "spBv1.0/" + Group + "/NDATA/" + string(w) }

// client is a connection that lives until its context ends.
type client struct {
	net.Conn
	r    *bufio.Reader
	stop func() bool
}

// dial opens a connection, which ctx ends.
func (t *Target) dial(ctx context.Context) (*client, error) {
	d := net.Dialer{Timeout: 5 * time.Second}
	conn, err := d.DialContext(ctx, "tcp", t.Address)
	if err != nil {
		return nil, err
	}
	c := &client{Conn: conn, r: bufio.NewReader(conn)}
	c.stop = context.AfterFunc(ctx, func() { _ = conn.Close() }) // it may be closed already
	return c, nil
}

// open is dial, and the handshake where there is TLS.
func (t *Target) open(ctx context.Context, w Who) (*client, error) {
	c, err := t.dial(ctx)
	if err != nil || t.As == nil {
		return c, err
	}
	secured := tls.Client(c.Conn, t.As(w))
	if err := secured.HandshakeContext(ctx); err != nil {
		c.end()
		return nil, err
	}
	c.Conn, c.r = secured, bufio.NewReader(secured)
	return c, nil
}

// join is open, and a session.
func (t *Target) join(ctx context.Context, w Who, id string, keepalive uint16) (*client, error) {
	c, err := t.open(ctx, w)
	if err != nil {
		return nil, err
	}
	if err := c.begin(connectPacket(id, keepalive, will{})); err != nil {
		c.end()
		return nil, fmt.Errorf("connect %s: %w", id, err)
	}
	return c, nil
}

// begin sends a CONNECT and reads its answer.
func (c *client) begin(p []byte) error {
	if err := c.SetDeadline(time.Now().Add(5 * time.Second)); err != nil {
		return err
	}
	if _, err := c.Write(p); err != nil {
		return err
	}
	kind, body, err := read(c.r)
	if err == nil && (kind != connack || len(body) < 2 || body[1] != 0) {
		err = fmt.Errorf("answered with packet %#x % x", kind, body)
	}
	return errors.Join(err, c.SetDeadline(time.Time{}))
}

// gone waits until the broker has ended the connection, for at most d.
func (c *client) gone(d time.Duration) {
	_ = c.SetReadDeadline(time.Now().Add(d)) // fails on a closed one only
	for {
		if _, _, err := read(c.r); err != nil {
			return
		}
	}
}

func (c *client) end() {
	c.stop()
	_ = c.Conn.Close() // it may be closed already
}
