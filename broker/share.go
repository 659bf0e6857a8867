package broker

import (
	"sync"
	"time"

	mqtt "github.com/mochi-mqtt/server/v2"
	"github.com/mochi-mqtt/server/v2/packets"
	"golang.org/x/time/rate"

	"andon.internal/broker/access"
)

// share is what one identity may take of the broker: a number of connections, and packets
// and bytes a second over all of them. Without certificates every connection has a share
// of its own.
type share struct {
	packets *rate.Limiter
	bytes   *rate.Limiter
	conns   []*conn // the oldest first; under the lock of shares
}

// refusalCost is how many packets one counts for of which the broker refused what it
// asked for: an honest client hears no and stops, and each refusal costs the broker more
// than a message does.
const refusalCost = 10

// burst is the part of a second's packets and bytes that may come at once.
const burst = 8

// shares has the share of every identity that was ever here, of which there are as many
// as certificates. They stay when the last connection ends: who comes back has not
// earned a new share.
type shares struct {
	limits Limits

	mu   sync.Mutex
	list map[access.Identity]*share
}

func newShares(l Limits) *shares { return &shares{limits: l, list: map[access.Identity]*share{}} }

// enter gives a connection its share. It returns the one that must end for it, which the
// caller closes, or nil: the identity's oldest, because what is behind a cut cable looks
// open for a while, and the client that comes back must get in.
func (s *shares) enter(c *conn) (out *conn) {
	s.mu.Lock()
	defer s.mu.Unlock()
	i := c.identity
	h := s.list[i]
	if h == nil {
		h = &share{
			packets: rate.NewLimiter(rate.Limit(s.limits.MaxPacketRate), max(1, s.limits.MaxPacketRate/burst)),
			bytes:   rate.NewLimiter(rate.Limit(s.limits.MaxByteRate), max(int(s.limits.MaxPacket), int(s.limits.MaxByteRate)/burst)),
		}
		if i.Role != access.Local {
			s.list[i] = h
		}
	}
	c.share = h
	h.conns = append(h.conns, c)
	if i.Role != access.Local && len(h.conns) > s.limits.MaxConnectionsPerIdentity {
		out = h.conns[0]
		h.conns = h.conns[1:]
	}
	return out
}

// leave takes a connection off its share's books.
func (s *shares) leave(c *conn) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if c.share == nil {
		return
	}
	for n, other := range c.share.conns {
		if other == c {
			c.share.conns = append(c.share.conns[:n], c.share.conns[n+1:]...)
			return
		}
	}
}

// charge makes a client's identity pay for a refusal: its next packet waits longer.
func charge(cl *mqtt.Client) {
	if c, ok := cl.Net.Conn.(*conn); ok {
		c.share.packets.ReserveN(time.Now(), min(refusalCost-1, c.share.packets.Burst()))
	}
}

// pace holds the reading of a connection up by as much as its identity has sent too
// early, and reports whether it did. The network then holds up the sender.
func (h *share) pace(c *conn, bytes int) (held bool) {
	now := time.Now()
	wait := max(
		h.packets.ReserveN(now, 1).DelayFrom(now),
		h.bytes.ReserveN(now, min(bytes, h.bytes.Burst())).DelayFrom(now),
	)
	if wait <= 0 {
		return false
	}
	timer := time.NewTimer(wait)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-c.shut:
	}
	return true
}

// OnPacketRead is called with every packet before anything is done for it.
func (p *policy) OnPacketRead(cl *mqtt.Client, pk packets.Packet) (packets.Packet, error) {
	c, ok := cl.Net.Conn.(*conn)
	if !ok || !c.share.pace(c, pk.FixedHeader.Remaining) {
		return pk, nil
	}
	p.metrics.paced.Inc()
	if more, tell := p.repeats.tell("paced", time.Now()); tell {
		p.log.Warn("a client is slowed down: it sends more than max_packet_rate or max_byte_rate", "client", clip(cl.ID),
			"identity", c.identity.String(), "remote", c.RemoteAddr().String(), "more_before", more)
	}
	return pk, nil
}
