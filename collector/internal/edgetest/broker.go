package edgetest

import (
	"fmt"
	"io"
	"log/slog"
	"net"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	mqtt "github.com/mochi-mqtt/server/v2"
	"github.com/mochi-mqtt/server/v2/hooks/auth"
	"github.com/mochi-mqtt/server/v2/listeners"
	"github.com/mochi-mqtt/server/v2/packets"

	"andon.internal/shared/freeport"
	"andon.internal/shared/mqttserver"
)

// Broker is an MQTT broker in this process. It can be stopped and started again on
// its port, and can be told to lose messages.
type Broker struct {
	t       testing.TB
	address string
	witness witness

	mu     sync.Mutex
	server *mqtt.Server
	lose   func(topic string) bool
	late   time.Duration // a SUBSCRIBE is answered by so much
}

// StartBroker starts a broker on a free port of the loopback. The test's end stops it.
func StartBroker(t testing.TB) *Broker {
	t.Helper()
	port, err := freeport.Take()
	if err != nil {
		t.Fatal(err)
	}
	b := &Broker{t: t, address: fmt.Sprintf("127.0.0.1:%d", port)}
	b.Start()
	t.Cleanup(b.Stop)
	return b
}

// URL is the broker's address.
func (b *Broker) URL() string { return "tcp://" + b.address }

// Start starts a stopped broker, on its old port and with nothing retained.
func (b *Broker) Start() {
	b.t.Helper()
	l, err := net.Listen("tcp", b.address)
	for end := time.Now().Add(patience); err != nil && time.Now().Before(end); time.Sleep(20 * time.Millisecond) {
		l, err = net.Listen("tcp", b.address) // a connection of others may have its port for a while
	}
	if err != nil {
		b.t.Fatal(err)
	}
	s := mqtt.New(&mqtt.Options{InlineClient: true, Logger: slog.New(slog.NewTextHandler(io.Discard, nil))})
	for _, h := range []mqtt.Hook{new(auth.AllowHook), &fault{broker: b}, &b.witness} {
		if err := s.AddHook(h, nil); err != nil {
			b.t.Fatal(err)
		}
	}
	if err := s.AddListener(listeners.NewNet("test", l)); err != nil {
		b.t.Fatal(err)
	}
	if err := s.Serve(); err != nil {
		b.t.Fatal(err)
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.address, b.server = l.Addr().String(), s
}

// Stop ends the broker and all its connections.
func (b *Broker) Stop() {
	b.mu.Lock()
	s := b.server
	b.server = nil
	b.mu.Unlock()
	if s != nil {
		_ = mqttserver.Close(s)
	}
}

// clients are those whose id begins with prefix.
func (b *Broker) clients(prefix string) []*mqtt.Client {
	b.mu.Lock()
	s := b.server
	b.mu.Unlock()
	var list []*mqtt.Client
	for id, c := range s.Clients.GetAll() {
		if strings.HasPrefix(id, prefix) {
			list = append(list, c)
		}
	}
	return list
}

// Connected reports whether a client whose id begins with prefix has a connection.
func (b *Broker) Connected(prefix string) bool {
	return slices.ContainsFunc(b.clients(prefix), func(c *mqtt.Client) bool { return !c.Closed() })
}

// Drop cuts the connections of all clients whose id begins with prefix.
func (b *Broker) Drop(prefix string) {
	for _, c := range b.clients(prefix) {
		c.Stop(io.ErrClosedPipe)
	}
}

// Forget drops what all clients whose id begins with prefix have subscribed, and tells them
// nothing.
func (b *Broker) Forget(prefix string) {
	b.mu.Lock()
	s := b.server
	b.mu.Unlock()
	for _, c := range b.clients(prefix) {
		s.UnsubscribeClient(c)
	}
}

// Lose makes the broker lose what is published to topics for which lose holds; nil
// loses nothing.
func (b *Broker) Lose(lose func(topic string) bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.lose = lose
}

// AnswerLate makes the broker wait with the answer to every SUBSCRIBE, and with what
// the client sends behind it.
func (b *Broker) AnswerLate(by time.Duration) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.late = by
}

// LoseCommands loses everything that is sent to nodes.
func LoseCommands(topic string) bool { return strings.Contains(topic, "/NCMD/") }

// Retained returns the payload that is retained under a topic.
func (b *Broker) Retained(topic string) (string, bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.server == nil {
		return "", false
	}
	p, ok := b.server.Topics.Retained.Get(topic)
	return string(p.Payload), ok
}

// Publish publishes as the broker itself.
func (b *Broker) Publish(topic, payload string, retain bool) {
	b.t.Helper()
	b.mu.Lock()
	s := b.server
	b.mu.Unlock()
	if err := s.Publish(topic, []byte(payload), retain, 1); err != nil {
		b.t.Fatal(err)
	}
}

// fault is the hook that loses messages and answers late.
type fault struct {
	mqtt.HookBase
	broker *Broker
}

func (*fault) ID() string { return "fault" }

func (*fault) Provides(b byte) bool { return b == mqtt.OnPublish || b == mqtt.OnSubscribe }

func (f *fault) OnPublish(_ *mqtt.Client, pk packets.Packet) (packets.Packet, error) {
	f.broker.mu.Lock()
	lose := f.broker.lose
	f.broker.mu.Unlock()
	if lose != nil && lose(pk.TopicName) {
		return pk, packets.CodeSuccessIgnore
	}
	return pk, nil
}

func (f *fault) OnSubscribe(_ *mqtt.Client, pk packets.Packet) packets.Packet {
	f.broker.mu.Lock()
	late := f.broker.late
	f.broker.mu.Unlock()
	time.Sleep(late)
	return pk
}
