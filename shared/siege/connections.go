package siege

import (
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"time"
)

// slow is the pause between two bytes of somebody slow.
const slow = 50 * time.Millisecond

// hugeFirst says that its first packet has 256 MiB, and begins to send it.
func hugeFirst(a *assault) {
	body := make([]byte, 64<<10)
	a.again(a.connects, func(int) {
		c, err := a.open(a, Rogue)
		if err != nil {
			return
		}
		defer c.end()
		if _, err := c.Write([]byte{connect, 0xff, 0xff, 0xff, 0x7f}); err == nil {
			_, _ = c.Write(body) // it is cut off meanwhile
			c.gone(time.Second)
		}
	})
}

// silentConnections are opened and say nothing.
func silentConnections(a *assault) {
	a.hold(a.Held, func(int) {
		if c, err := a.dial(a); err == nil {
			c.gone(time.Hour)
			c.end()
		}
	})
}

// slowConnect sends its CONNECT a byte at a time. It holds few: many would be crowded out.
func slowConnect(a *assault) {
	a.hold(16, func(n int) {
		c, err := a.open(a, Rogue)
		if err != nil {
			return
		}
		defer c.end()
		c.trickle(connectPacket(Rogue.id(fmt.Sprintf("slow-%d-%0200d", n, n)), 30, will{}))
	})
}

// trickle sends a byte at a time until the broker has had enough.
func (c *client) trickle(b []byte) {
	for i := range b {
		if _, err := c.Write(b[i : i+1]); err != nil {
			return
		}
		_ = c.SetReadDeadline(time.Now().Add(slow)) // fails on a closed one only
		if _, err := c.Read(make([]byte, 1)); err != nil && !isTimeout(err) {
			return
		}
	}
}

func isTimeout(err error) bool {
	timeout, ok := err.(net.Error) //nolint:errorlint // as the connection returns it
	return ok && timeout.Timeout()
}

// keepaliveZero has sessions that want to be left alone for ever.
func keepaliveZero(a *assault) {
	a.hold(a.Held/4, func(n int) {
		if c, err := a.join(a, Rogue, Rogue.id(fmt.Sprint("zero", n)), 0); err == nil {
			c.gone(time.Hour)
			c.end()
		}
	})
}

// halfPackets has sessions in the middle of a packet that never ends.
func halfPackets(a *assault) {
	begun := packet(publish, make([]byte, 500<<10))[:100]
	a.hold(a.Held/2, func(n int) {
		c, err := a.join(a, Rogue, Rogue.id(fmt.Sprint("half", n)), 60)
		if err != nil {
			return
		}
		defer c.end()
		if c.send(begun) == nil {
			c.gone(time.Hour)
		}
	})
}

// willAbuse leaves a will to everybody, which is refused, and then as large a one as it
// may and is cut off, so that the will is published.
func willAbuse(a *assault) {
	a.again(a.connects, func(n int) {
		c, err := a.open(a, Rogue)
		if err != nil {
			return
		}
		defer c.end()
		w := will{"spBv1.0/#", []byte("gone"), false}
		if n%2 == 1 {
			w = will{"spBv1.0/" + Group + "/NDEATH/" + string(Rogue), make([]byte, 15<<10), false}
		}
		_ = c.begin(connectPacket(Rogue.id(fmt.Sprint("will", n)), 30, w)) // which may be refused
	})
}

// takeOver has clients that take one session from each other.
func takeOver(a *assault) {
	a.hold(4, func(int) {
		if c, err := a.join(a, Rogue, Rogue.id("same"), 30); err == nil {
			c.gone(time.Hour)
			c.end()
		}
	})
}

// takeOverOfAnother comes with the client ids of the honest cells.
func takeOverOfAnother(a *assault) {
	a.again(a.connects, func(n int) {
		if c, err := a.join(a, Rogue, Cell(n%4).id(honestSuffix), 30); err == nil {
			c.end()
		}
	})
}

// unfinishedHandshakes begin TLS and have the broker wait for the rest.
func unfinishedHandshakes(a *assault) {
	hello := clientHello(a.As(Stranger))
	a.hold(a.Held, func(int) {
		c, err := a.dial(a)
		if err != nil {
			return
		}
		defer c.end()
		if _, err := c.Write(hello); err == nil {
			_, _ = io.Copy(io.Discard, c) // until it is closed
		}
	})
}

// slowHello sends its ClientHello a byte at a time.
func slowHello(a *assault) {
	hello := clientHello(a.As(Stranger))
	a.hold(16, func(int) {
		if c, err := a.dial(a); err == nil {
			c.trickle(hello)
			c.end()
		}
	})
}

// handshakes are made to their end, without a certificate.
func handshakes(a *assault) {
	a.hold(64, func(int) {
		c, err := a.open(a, Stranger)
		if err == nil {
			c.gone(time.Second)
			c.end()
		}
	})
}

// clientHello returns the bytes with which a client begins a handshake.
func clientHello(config *tls.Config) []byte {
	ours, theirs := net.Pipe()
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() {
		defer close(done)
		_ = tls.Client(ours, config).HandshakeContext(ctx) // which nobody answers
	}()
	b := make([]byte, 64<<10)
	n, _ := theirs.Read(b) // one write, which a pipe hands over whole
	cancel()
	<-done
	_ = ours.Close() // a pipe: always nil
	_ = theirs.Close()
	return b[:n]
}
