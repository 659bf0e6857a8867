package siege

import (
	"crypto/tls"
	"fmt"
	"math/rand/v2"
	"net"
	"strings"
	"sync"
	"time"

	"golang.org/x/time/rate"
)

// topicFlood publishes as much as it can, every message on a topic of its own.
func topicFlood(a *assault) {
	a.session(Rogue, a.packets, func(c *client, n int) error {
		return c.send(publishPacket(fmt.Sprintf("spBv1.0/%s/DDATA/%s/unit-%d", Group, Rogue, n), make([]byte, 64)))
	})
}

// absurdTopics are long, deep, or reserved.
func absurdTopics(a *assault) {
	var packets [][]byte
	for _, topic := range []string{strings.Repeat("/", 60000), strings.Repeat("a", 60000), "$SYS/broker/uptime"} {
		packets = append(packets, publishPacket(topic, nil))
	}
	a.session(Rogue, a.packets, func(c *client, n int) error { return c.send(packets[n%len(packets)]) })
}

// foreignTopics are those of the honest cells, and their commands.
func foreignTopics(a *assault) {
	a.session(Rogue, a.packets, func(c *client, n int) error {
		topic := Cell(n % 4).topic()
		if n%2 == 1 {
			topic = strings.Replace(topic, "NDATA", "NCMD", 1)
		}
		return c.send(publishPacket(topic, make([]byte, 64)))
	})
}

// subscriptionFlood subscribes one filter after another.
func subscriptionFlood(a *assault) {
	a.session(Rogue, a.packets, func(c *client, n int) error {
		return c.send(subscribePacket(fmt.Sprintf("flood/%d/+/%d", n, n)))
	})
}

// retainedFlood wants one message after another to be kept.
func retainedFlood(a *assault) {
	body := make([]byte, 4<<10)
	a.session(Rogue, a.packets, func(c *client, n int) error {
		return c.send(packet(publish|0x01, text(fmt.Sprintf("spBv1.0/%s/DDATA/%s/kept-%d", Group, Rogue, n)), body))
	})
}

// malformed sends packets that are nearly right.
func malformed(a *assault) {
	random := rand.New(rand.NewPCG(1, 2)) // the same ones every time
	a.session(Rogue, a.connects, func(c *client, _ int) error {
		// Behind each a right one: where the size is what is wrong, it is taken for more.
		return c.send(append(mangle(random), packet(pingreq)...))
	})
}

// mangle returns a packet with some of its bytes changed, lost or doubled.
func mangle(r *rand.Rand) []byte {
	good := [][]byte{
		connectPacket("x", 30, will{"a", []byte("b"), false}),
		publishPacket("a/b", []byte("x")), packet(publishAck, text("a/b"), number(7), []byte("x")),
		packet(0x34, text("a"), number(7), []byte("x")), packet(puback, number(1)), packet(0x62, number(1)),
		subscribePacket("a/#"), packet(0xa2, number(1), text("a/b")), packet(pingreq), packet(0xf0, []byte{0}),
	}
	b := append([]byte(nil), good[r.IntN(len(good))]...)
	for range 1 + r.IntN(4) {
		switch i := r.IntN(len(b)); r.IntN(3) {
		case 0:
			b[i] = byte(r.Uint32())
		case 1:
			b = append(b[:i:i], b[min(i+1, len(b)-1):]...)
		default:
			b = append(b[:i:i], append([]byte{byte(r.Uint32())}, b[i:]...)...)
		}
	}
	return b
}

// stuckReader has an onlooker who asks for a flood and does not read it.
func stuckReader(a *assault) {
	var all sync.WaitGroup
	defer all.Wait()
	for n := range 4 {
		all.Go(func() {
			a.again(a.connects, func(again int) {
				c, err := a.join(a, Onlooker, Onlooker.id(fmt.Sprint("stuck", n, "-", again)), 60)
				if err != nil {
					return
				}
				defer c.end()
				c.deafen()
				if c.send(subscribePacket(Rogue.topic())) == nil {
					c.stand(a)
				}
			})
		})
	}
	body := make([]byte, 32<<10)
	pace := rate.NewLimiter(rate.Limit(max(1, a.Packets/32)), 16)
	a.session(Rogue, pace, func(c *client, _ int) error { return c.send(publishPacket(Rogue.topic(), body)) })
}

// deafen has the kernel take in as little as it can.
func (c *client) deafen() {
	raw := c.Conn
	if secured, ok := raw.(*tls.Conn); ok {
		raw = secured.NetConn()
	}
	if tcp, ok := raw.(*net.TCPConn); ok {
		_ = tcp.SetReadBuffer(4096) // else it takes longer to stand
	}
}

// stand keeps a connection without reading, until it is reset or the attack ends.
func (c *client) stand(a *assault) {
	tick := time.NewTicker(200 * time.Millisecond)
	defer tick.Stop()
	for {
		select {
		case <-a.Done():
			return
		case <-tick.C:
			if c.send(packet(pingreq)) != nil {
				return
			}
		}
	}
}

func (c *client) send(p []byte) error {
	_, err := c.Write(p)
	return err
}
