package edgetest

import (
	"fmt"
	"sync"
	"testing"
	"time"

	mqtt "github.com/eclipse/paho.mqtt.golang"

	"andon.internal/shared/ranges"
	"andon.internal/shared/sparkplug"
	"andon.internal/shared/telemetry"
)

// patience is how long a test waits for what must come.
const patience = 30 * time.Second

// Client is a node on the broker. It keeps every command that it is sent.
type Client struct {
	Node *Node

	t      testing.TB
	client mqtt.Client

	mu       sync.Mutex
	news     chan struct{} // closed and made anew with every command
	acks     []sparkplug.Ack
	rebirths int
	answered int // of the rebirths
	acked    map[telemetry.Epoch]ranges.Set
}

// Dial connects a node to the broker at url, with its NDEATH as its will, and
// subscribes its commands. The test's end disconnects it.
func Dial(t testing.TB, url string, n *Node) *Client {
	t.Helper()
	c := &Client{Node: n, t: t, news: make(chan struct{}), acked: map[telemetry.Epoch]ranges.Set{}}
	c.connect(url)
	t.Cleanup(c.Close)
	return c
}

func (c *Client) connect(url string) {
	c.t.Helper()
	o := mqtt.NewClientOptions().AddBroker(url).SetCleanSession(true).SetProtocolVersion(4).
		SetAutoReconnect(false).SetConnectTimeout(patience).
		SetClientID(fmt.Sprintf("edge-%s-%d", c.Node.ID.ID, time.Now().UnixNano()%1e9))
	will := c.Node.Death()
	o.SetBinaryWill(will.Topic, will.Payload, 1, false)
	c.client = mqtt.NewClient(o)
	c.finish(c.client.Connect())
	command := sparkplug.Topic{Type: sparkplug.NCmd, Group: c.Node.ID.Group, Node: c.Node.ID.ID}.String()
	c.finish(c.client.Subscribe(command, 1, func(_ mqtt.Client, m mqtt.Message) { c.take(m.Payload()) }))
}

// Reconnect connects again, as a node does whose connection was lost: in a new
// session.
func (c *Client) Reconnect(url string) {
	c.t.Helper()
	c.client.Disconnect(0)
	c.Node.Connect()
	c.connect(url)
}

// Close disconnects without a death.
func (c *Client) Close() { c.client.Disconnect(100) }

func (c *Client) finish(token mqtt.Token) {
	c.t.Helper()
	if !token.WaitTimeout(patience) {
		c.t.Fatal("the broker does not answer")
	}
	if err := token.Error(); err != nil {
		c.t.Fatal(err)
	}
}

// Send publishes messages, in order.
func (c *Client) Send(list ...Message) {
	c.t.Helper()
	for _, m := range list {
		c.finish(c.client.Publish(m.Topic, 0, false, m.Payload))
	}
}

func (c *Client) take(payload []byte) {
	p, err := sparkplug.Decode(payload, sparkplug.Limits{})
	if err != nil {
		c.t.Errorf("command does not decode: %v", err)
		return
	}
	cmd, err := sparkplug.ParseCommand(p)
	if err != nil {
		c.t.Errorf("command does not parse: %v", err)
		return
	}
	if p.HasSeq {
		c.t.Errorf("a command carries a seq")
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if cmd.Rebirth {
		c.rebirths++
	}
	if cmd.Ack != nil {
		c.acks = append(c.acks, *cmd.Ack)
		for _, e := range cmd.Ack.Epochs {
			set := c.acked[e.Epoch]
			set.AddSet(e.Committed)
			c.acked[e.Epoch] = set
		}
	}
	close(c.news)
	c.news = make(chan struct{})
}

// Until waits until ok holds; it is asked again after every command, and every 100 ms.
func (c *Client) Until(what string, ok func() bool) {
	c.t.Helper()
	limit := time.After(patience)
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	for {
		c.mu.Lock()
		news := c.news
		c.mu.Unlock()
		if ok() {
			return
		}
		select {
		case <-news:
		case <-tick.C:
		case <-limit:
			c.t.Fatalf("node %s waited in vain for: %s\nacknowledged: %v\nrebirths: %d\nlast: %v",
				c.Node.ID, what, c.Acked(), c.Rebirths(), c.LastAck())
		}
	}
}

// Acked returns every position of the present epoch that was ever acknowledged.
func (c *Client) Acked() ranges.Set { return c.AckedOf(c.Node.Epoch) }

// AckedOf returns every position of an epoch that was ever acknowledged.
func (c *Client) AckedOf(e telemetry.Epoch) ranges.Set {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.acked[e].Clone()
}

// Forget forgets what was acknowledged, as if the messages had been lost.
func (c *Client) Forget() {
	c.mu.Lock()
	defer c.mu.Unlock()
	clear(c.acked)
	c.acks = nil
}

// Rebirths returns how often births were asked for.
func (c *Client) Rebirths() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.rebirths
}

// TakeRebirth reports whether births were asked for since it was last called.
func (c *Client) TakeRebirth() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	asked := c.rebirths > c.answered
	c.answered = c.rebirths
	return asked
}

// Acks returns every acknowledgement since the last Forget.
func (c *Client) Acks() []sparkplug.Ack {
	c.mu.Lock()
	defer c.mu.Unlock()
	return append([]sparkplug.Ack(nil), c.acks...)
}

// LastAck returns the last acknowledgement, or nil.
func (c *Client) LastAck() *sparkplug.Ack {
	list := c.Acks()
	if len(list) == 0 {
		return nil
	}
	return &list[len(list)-1]
}

// WaitAcked waits until all positions below next are acknowledged.
func (c *Client) WaitAcked(next uint64) {
	c.t.Helper()
	want := ranges.Of(ranges.Range{From: 0, To: next})
	c.Until("acknowledgement of "+want.String(), func() bool {
		got := c.Acked()
		return got.Intersect(want).Equal(want)
	})
}

// WaitSync waits for the whole answer to the birth of the present session.
func (c *Client) WaitSync() {
	c.t.Helper()
	c.Until("sync of the session", func() bool {
		parts := map[int]bool{}
		of := -1
		for _, a := range c.Acks() {
			if a.Sync != nil && a.Sync.Session == c.Node.Session {
				parts[a.Sync.Part], of = true, a.Sync.Of
			}
		}
		return len(parts) == of
	})
}

// WaitRebirth waits until births were asked for more than n times.
func (c *Client) WaitRebirth(n int) {
	c.t.Helper()
	c.Until("rebirth", func() bool { return c.Rebirths() > n })
}

// WaitDatabase waits for an acknowledgement with this state of the database.
func (c *Client) WaitDatabase(s sparkplug.DBState) {
	c.t.Helper()
	c.Until("db="+s.String(), func() bool { a := c.LastAck(); return a != nil && a.DB == s })
}

// Each calls take with what is acknowledged of the present epoch, with every
// command, until it returns false.
func (c *Client) Each(take func(acked ranges.Set) bool) {
	for {
		c.mu.Lock()
		news, acked := c.news, c.acked[c.Node.Epoch].Clone()
		c.mu.Unlock()
		if !take(acked) {
			return
		}
		<-news
	}
}
