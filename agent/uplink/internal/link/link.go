package link

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/url"
	"sync"
	"sync/atomic"
	"time"

	mqtt "github.com/eclipse/paho.mqtt.golang"

	"andon.internal/shared/mtls"
)

// Options describe a connection. Every field must be set.
type Options struct {
	URL         *url.URL    // tcp:// or mqtt://; mqtts:// with TLS
	TLS         *mtls.Store // nil: none
	ClientID    string
	WillTopic   string // published by the broker at QoS 1, not retained
	WillPayload []byte
	Subscribe   []string // topics, at QoS 1

	KeepAlive      time.Duration // whole seconds
	PingTimeout    time.Duration
	ConnectTimeout time.Duration // for each of: dialling and the handshake, subscribing
	WriteTimeout   time.Duration // for 64 KiB to get into the connection
	Inbox          int           // messages received and not yet read
}

// Message is what the broker delivered.
type Message struct {
	Topic    string
	Payload  []byte
	Retained bool
}

// Packet is a buffer for one message to send. Its bytes belong to whoever has the
// Packet.
type Packet struct {
	Topic   string
	Payload []byte
	qos     byte
	sent    chan struct{} // closed when it was sent, for the last packet; nil otherwise
}

// packets is how many are being encoded or written at a time.
const packets = 3

// queueTimeout is how long the library may take to pick up a packet. Only one at a
// time is given to it, so it is quick unless the connection is gone.
const queueTimeout = time.Second

// dropTimeout is how long the library's goroutines have to end.
const dropTimeout = 500 * time.Millisecond

// ErrRefused is wrapped by errors of [Dial] that come from the broker's policy and
// not from the network.
var ErrRefused = errors.New("refused by the broker")

// Link is an open connection. Its methods are for one goroutine.
type Link struct {
	client  mqtt.Client
	raw     atomic.Pointer[conn]
	inbox   chan Message
	ignored atomic.Uint64
	out     chan *Packet // closed by shut
	free    chan *Packet
	written chan struct{} // capacity 1
	writer  sync.WaitGroup
	lost    chan struct{} // closed by fail
	dropped chan struct{} // closed by Drop: nothing more is expected of client
	failed  sync.Once
	ended   sync.Once
	err     error
}

// Dial connects, subscribes and checks what the broker granted. Until it returns
// ctx ends it at once.
func Dial(ctx context.Context, o Options) (*Link, error) {
	l := &Link{
		inbox:   make(chan Message, o.Inbox),
		out:     make(chan *Packet, packets),
		free:    make(chan *Packet, packets),
		written: make(chan struct{}, 1),
		lost:    make(chan struct{}),
		dropped: make(chan struct{}),
	}
	for range packets {
		l.free <- &Packet{}
	}
	l.client = mqtt.NewClient(l.clientOptions(ctx, o))
	if err := l.open(ctx, o); err != nil {
		l.Drop()
		return nil, err
	}
	l.writer.Go(l.write)
	return l, nil
}

func (l *Link) clientOptions(ctx context.Context, o Options) *mqtt.ClientOptions {
	c := mqtt.NewClientOptions()
	c.AddBroker(o.URL.String())
	c.SetClientID(o.ClientID)
	c.SetProtocolVersion(4)
	c.SetCleanSession(true)
	c.SetAutoReconnect(false)
	c.SetConnectRetry(false)
	c.SetKeepAlive(o.KeepAlive)
	c.SetPingTimeout(o.PingTimeout)
	c.SetConnectTimeout(o.ConnectTimeout)
	c.SetWriteTimeout(queueTimeout)
	c.SetBinaryWill(o.WillTopic, o.WillPayload, 1, false)
	c.SetDefaultPublishHandler(l.receive)
	c.SetConnectionLostHandler(func(_ mqtt.Client, err error) { l.fail(err) })
	c.SetCustomOpenConnectionFn(func(u *url.URL, _ mqtt.ClientOptions) (net.Conn, error) {
		d := net.Dialer{Timeout: o.ConnectTimeout}
		raw, err := d.DialContext(ctx, "tcp", u.Host)
		if err != nil {
			return nil, err
		}
		c := newConn(raw, o.WriteTimeout)
		l.raw.Store(c)
		ctx, cancel := context.WithTimeout(ctx, o.ConnectTimeout)
		defer cancel()
		return o.TLS.Secure(ctx, c, u.Host)
	})
	return c
}

func (l *Link) open(ctx context.Context, o Options) error {
	defer context.AfterFunc(ctx, l.cut)()
	connect := l.client.Connect()
	if err := wait(ctx, connect, 2*o.ConnectTimeout); err != nil {
		return fmt.Errorf("connect to %s: %w", o.URL.Host, err)
	}
	if len(o.Subscribe) == 0 {
		return nil
	}
	filters := make(map[string]byte, len(o.Subscribe))
	for _, topic := range o.Subscribe {
		filters[topic] = 1
	}
	token := l.client.SubscribeMultiple(filters, nil)
	if err := wait(ctx, token, o.ConnectTimeout); err != nil {
		return fmt.Errorf("subscribe at %s: %w", o.URL.Host, err)
	}
	granted := token.(*mqtt.SubscribeToken).Result()
	for _, topic := range o.Subscribe {
		if qos, ok := granted[topic]; !ok || qos > 1 {
			return fmt.Errorf("subscribe to %s at %s: %w: check its access rules", topic, o.URL.Host, ErrRefused)
		}
	}
	return nil
}

// wait waits for a token, bounded by ctx and by d.
func wait(ctx context.Context, t mqtt.Token, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-t.Done():
		return t.Error()
	case <-ctx.Done():
		return ctx.Err()
	case <-timer.C:
		return fmt.Errorf("no answer within %v", d)
	}
}

// receive is called by the library, one message at a time; it must not block.
func (l *Link) receive(_ mqtt.Client, m mqtt.Message) {
	select {
	case l.inbox <- Message{m.Topic(), m.Payload(), m.Retained()}:
	default:
		l.ignored.Add(1)
	}
}

// Inbox delivers received messages in order. It is never closed.
func (l *Link) Inbox() <-chan Message { return l.inbox }

// Ignored returns how many messages found the inbox full and were dropped.
func (l *Link) Ignored() uint64 { return l.ignored.Load() }

// Lost is closed when the connection is gone; [Link.Err] then says why.
func (l *Link) Lost() <-chan struct{} { return l.lost }

// Err returns why the connection was lost, or nil while it is not.
func (l *Link) Err() error {
	select {
	case <-l.lost:
		return l.err
	default:
		return nil
	}
}

func (l *Link) fail(err error) {
	l.failed.Do(func() {
		l.err = err
		close(l.lost)
	})
}

// Free delivers packets to fill and to give to [Link.Send]. There are few: while
// the connection is slow, none comes.
func (l *Link) Free() <-chan *Packet { return l.free }

// Under reports how many packets are being filled or wait to be sent.
func (l *Link) Under() int { return packets - len(l.free) }

// Written delivers when a packet was sent, as [Link.Under] then tells.
func (l *Link) Written() <-chan struct{} { return l.written }

// Send sends the packet's payload to its topic at QoS 0, after all earlier ones. It
// does not block. Packets that were not sent when the connection broke are gone.
func (l *Link) Send(p *Packet) { l.out <- p }

// write hands packets to the library one by one.
func (l *Link) write() {
	for p := range l.out {
		if err := l.publish(p); err != nil {
			l.fail(err)
		}
		if p.sent != nil {
			close(p.sent)
			continue
		}
		l.free <- p
		select {
		case l.written <- struct{}{}:
		default:
		}
	}
}

// publish hands a packet to the library and waits until that is done with it. A packet
// that meets the end of the connection may be forgotten: the library takes it while it
// disconnects, and never says more. So the wait ends with Drop at the latest.
func (l *Link) publish(p *Packet) error {
	select {
	case <-l.dropped:
		return net.ErrClosed
	default:
	}
	t := l.client.Publish(p.Topic, p.qos, false, p.Payload)
	select {
	case <-t.Done():
		return t.Error()
	case <-l.dropped:
		return net.ErrClosed
	}
}

// cut closes the connection, if there is one.
func (l *Link) cut() {
	if c := l.raw.Load(); c != nil {
		c.Close()
	}
}

// Drop breaks the connection off without a farewell, so that the broker publishes
// the will. It takes a second at most.
func (l *Link) Drop() {
	l.fail(net.ErrClosed)
	l.ended.Do(func() {
		l.cut()
		close(l.out)
		l.client.Disconnect(uint(dropTimeout.Milliseconds()))
		close(l.dropped)
		l.writer.Wait()
	})
}

// Close says farewell in order: a last message at QoS 1, then DISCONNECT, which
// makes the broker forget the will. After limit it drops the connection instead.
func (l *Link) Close(topic string, payload []byte, limit time.Duration) {
	end := time.Now().Add(limit)
	timer := time.NewTimer(limit)
	defer timer.Stop()
	last := &Packet{Topic: topic, Payload: payload, qos: 1, sent: make(chan struct{})}
	select {
	case <-l.lost:
	case <-timer.C:
	case l.out <- last:
		select {
		case <-l.lost:
		case <-timer.C:
		case <-last.sent:
		}
	}
	if left := time.Until(end); left > 0 && l.Err() == nil {
		l.client.Disconnect(uint(max(left.Milliseconds(), 1)))
	}
	l.Drop()
}
