package broker_test

import (
	"crypto/tls"
	"fmt"
	"net"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	paho "github.com/eclipse/paho.mqtt.golang"

	"andon.internal/broker"
	"andon.internal/broker/access"
)

// What comes beyond its sender's rate is read later, and none of it is lost.
func TestRatesAreBounded(t *testing.T) {
	for name, c := range map[string]struct {
		change  func(*broker.Limits)
		n, size int
	}{
		"packets": {func(l *broker.Limits) { l.MaxPacketRate = 100 }, 200, 1},
		"bytes":   {func(l *broker.Limits) { l.MaxByteRate, l.MaxPacket = 100<<10, 11<<10 }, 20, 10 << 10},
	} {
		t.Run(name, func(t *testing.T) {
			b := start(t, func(cfg *broker.Config) { c.change(&cfg.Limits) })
			got := make(chan struct{}, c.n)
			wait(t, b.client("reader", nil).Subscribe("a", 0, func(paho.Client, paho.Message) { got <- struct{}{} }))
			flood := b.session(4, "flood")
			begin := time.Now()
			for range c.n {
				flood.send(publish("a", make([]byte, c.size)))
			}
			for range c.n {
				next(t, got)
			}
			// Twice what a second may bring, a part of it at once.
			if took := time.Since(begin); took < time.Second {
				t.Errorf("all came within %v", took)
			}
			if b.metric("paced_packets_total") == 0 || !strings.Contains(b.log.String(), "a client is slowed down") {
				t.Errorf("it is not told: %v\n%s", b.metric("paced_packets_total"), b.log)
			}
		})
	}
}

// What the broker refuses costs more of the sender's rate than what it takes.
func TestRefusalsCountForTen(t *testing.T) {
	b := start(t, func(c *broker.Config) { c.Limits.MaxPacketRate, c.Limits.MaxRetainedSize = 100, 4 })
	got := make(chan struct{}, 20)
	wait(t, b.client("reader", nil).Subscribe("a", 0, func(paho.Client, paho.Message) { got <- struct{}{} }))
	send := func(size int) time.Duration {
		begin := time.Now()
		flood := b.session(4, fmt.Sprint("flood-", size))
		for range cap(got) {
			retained := publish("a", make([]byte, size))
			retained[0] |= 1
			flood.send(retained)
		}
		for range cap(got) {
			next(t, got)
		}
		return time.Since(begin)
	}
	kept, refused := send(4), send(5)
	if refused < time.Second {
		t.Errorf("what is too large to be kept took %v: 20 refusals of 100 packets a second", refused)
	}
	for range 4 { // a machine that stands still meanwhile has no part in it
		if kept < refused/2 {
			return
		}
		kept = min(kept, send(4))
	}
	t.Errorf("what is kept took %v, and what is too large %v", kept, refused)
}

// An identity has one share, however many connections it opens.
func TestShareOfAnIdentityIsBounded(t *testing.T) {
	a := newAuthority(t)
	r := a.broker(func(c *broker.Config) { c.Limits.MaxConnectionsPerIdentity, c.Limits.MaxPacketRate = 2, 50 })
	certificate := a.tls(a.issue(cell07, time.Hour))
	lost := make(chan int, 10)
	session := func(n int) paho.Client {
		t.Helper()
		c, err := a.connect(r, certificate, fmt.Sprint("line1/cell-07/", n), func(o *paho.ClientOptions) {
			o.SetConnectionLostHandler(func(paho.Client, error) { lost <- n })
		})
		if err != nil {
			t.Fatal(err)
		}
		return c
	}
	session(1)
	second := session(2)
	other := a.must(r, access.Identity{Role: access.Node, Group: "line1", Name: "cell-08"})
	third := session(3)
	if n := next(t, lost); n != 1 {
		t.Errorf("session %d ended, want the oldest", n)
	}
	eventually(t, "counted and told", func() bool {
		return r.metric("broken_sessions_total", "max_connections_per_identity") == 1 &&
			strings.Contains(r.log.String(), "reason=max_connections_per_identity")
	})
	const each = 300 // six seconds of their share, and twice that for both
	var heard atomic.Int64
	viewer := a.must(r, ann)
	wait(t, viewer.Subscribe("spBv1.0/line1/NDATA/cell-07", 0, func(paho.Client, paho.Message) { heard.Add(1) }))
	for range each {
		for _, c := range []paho.Client{second, third} {
			c.Publish("spBv1.0/line1/NDATA/cell-07", 0, false, "x")
		}
	}
	eventually(t, "the two together are slowed down", func() bool { return r.metric("paced_packets_total") > 0 })
	wait(t, other.Publish("spBv1.0/line1/NDATA/cell-08", 1, false, "x"))
	if heard.Load() >= 2*each {
		t.Error("another cell waits with them")
	}
	if len(lost) > 0 {
		t.Errorf("session %d ended too", next(t, lost))
	}
}

// Connections without a session make room for others, the oldest first.
func TestPendingConnectionsAreBounded(t *testing.T) {
	b := start(t, func(c *broker.Config) { c.Limits.MaxPending = 3 })
	first := b.dial()
	eventually(t, "it is there", func() bool { return b.metric("pending_connections") == 1 })
	var others []*raw
	for range 2 {
		others = append(others, b.dial())
	}
	eventually(t, "it is full", func() bool { return b.metric("pending_connections") == 3 })
	honest := b.session(4, "honest")
	first.ended()
	eventually(t, "it is counted", func() bool { return b.metric("refused_connections_total", "max_pending") == 1 })
	honest.send([]byte{0xc0, 0})
	honest.expect(0xd0)
	for i, c := range others {
		c.join(4, fmt.Sprint("other-", i))
	}
	eventually(t, "none is pending", func() bool { return b.metric("pending_connections") == 0 })
}

// The handshake and the CONNECT have one time together.
func TestHandshakeAndConnectHaveOneTime(t *testing.T) {
	a := newAuthority(t)
	r := a.broker(func(c *broker.Config) { c.Limits.ConnectTimeout = 4 * time.Second })
	c, err := net.Dial("tcp", r.Addr())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	time.Sleep(2 * time.Second) // the slowness under test
	secured := tls.Client(c, a.tls(a.issue(cell07, time.Hour)))
	if err := secured.Handshake(); err != nil {
		t.Fatal(err)
	}
	begin := time.Now()
	if _, err := secured.Read(make([]byte, 1)); err == nil {
		t.Error("an answer to nothing")
	}
	if took := time.Since(begin); took > 4*time.Second {
		t.Errorf("it had %v behind the handshake alone", took)
	}
	eventually(t, "counted", func() bool { return r.metric("refused_connections_total", "connect_timeout") == 1 })
}
