package uplink_test

import (
	"fmt"
	"io"
	"log/slog"
	"net"
	"slices"
	"strings"
	"sync"
	"testing"

	mochi "github.com/mochi-mqtt/server/v2"
	"github.com/mochi-mqtt/server/v2/listeners"
	"github.com/mochi-mqtt/server/v2/packets"

	"andon.internal/shared/freeport"
	"andon.internal/shared/mqttserver"
	"andon.internal/shared/sparkplug"
)

// broker is a real MQTT broker on a loopback port.
type broker struct {
	t       testing.TB
	addr    string
	server  *mochi.Server
	door    *door
	hook    *brokerHook
	maximum uint32
}

// brokerHook lets everybody in, notes what clients say, and refuses on demand.
type brokerHook struct {
	mochi.HookBase
	mu        sync.Mutex
	connects  []packets.Packet
	subs      map[string]byte // topic -> requested QoS
	refuse    string          // a topic whose subscription is refused
	published []packets.Packet
	events    []string // of cells, in order
}

func (h *brokerHook) ID() string { return "test" }

func (h *brokerHook) Provides(b byte) bool {
	switch b {
	case mochi.OnConnectAuthenticate, mochi.OnACLCheck, mochi.OnConnect, mochi.OnSubscribed, mochi.OnPublished, mochi.OnWillSent,
		mochi.OnPacketRead:
		return true
	}
	return false
}

func (h *brokerHook) OnConnectAuthenticate(*mochi.Client, packets.Packet) bool { return true }

func (h *brokerHook) OnACLCheck(_ *mochi.Client, topic string, write bool) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	return write || topic != h.refuse
}

func (h *brokerHook) OnConnect(_ *mochi.Client, pk packets.Packet) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.connects = append(h.connects, pk)
	return nil
}

func (h *brokerHook) OnSubscribed(_ *mochi.Client, pk packets.Packet, _ []byte) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, f := range pk.Filters {
		h.subs[f.Filter] = f.Qos
		h.events = append(h.events, fmt.Sprintf("SUBSCRIBED %s %d", f.Filter, f.Qos))
	}
}

func (h *brokerHook) OnPublished(_ *mochi.Client, pk packets.Packet) { h.note("PUBLISH", pk) }
func (h *brokerHook) OnWillSent(_ *mochi.Client, pk packets.Packet)  { h.note("WILL", pk) }

func (h *brokerHook) note(what string, pk packets.Packet) {
	h.mu.Lock()
	defer h.mu.Unlock()
	pk.Payload = nil
	h.published = append(h.published, pk)
	h.events = append(h.events, what+" "+pk.TopicName)
}

func (h *brokerHook) OnPacketRead(cl *mochi.Client, pk packets.Packet) (packets.Packet, error) {
	if pk.FixedHeader.Type == packets.Disconnect && strings.HasPrefix(cl.ID, sparkplug.ClientPrefix(group, node)) {
		h.mu.Lock()
		defer h.mu.Unlock()
		h.events = append(h.events, "DISCONNECT")
	}
	return pk, nil
}

// saw reports whether an event happened.
func (h *brokerHook) saw(event string) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	return slices.Contains(h.events, event)
}

// noted reports whether a cell has published a message of this kind.
func (h *brokerHook) noted(kind string) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	return slices.ContainsFunc(h.events, func(e string) bool { return strings.HasPrefix(e, "PUBLISH spBv1.0/line1/"+kind+"/") })
}

// passedOn reports whether a message went to all who had subscribed its topic.
func (h *brokerHook) passedOn(topic string, retain bool) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	return slices.ContainsFunc(h.published, func(pk packets.Packet) bool {
		return pk.TopicName == topic && pk.FixedHeader.Retain == retain
	})
}

func (h *brokerHook) setRefuse(topic string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.refuse = topic
}

// cellConnects returns the CONNECT packets of cells.
func (h *brokerHook) cellConnects() []packets.Packet {
	h.mu.Lock()
	defer h.mu.Unlock()
	var list []packets.Packet
	for _, pk := range h.connects {
		if pk.Connect.WillFlag {
			list = append(list, pk)
		}
	}
	return list
}

func startBroker(t testing.TB, maximum uint32) *broker {
	t.Helper()
	port, err := freeport.Take()
	if err != nil {
		t.Fatal(err)
	}
	b := &broker{t: t, addr: fmt.Sprintf("127.0.0.1:%d", port), hook: &brokerHook{subs: map[string]byte{}}, maximum: maximum}
	b.start()
	t.Cleanup(b.stop)
	return b
}

// start listens, on the same address as before.
func (b *broker) start() {
	b.t.Helper()
	caps := mochi.NewDefaultServerCapabilities()
	caps.MaximumPacketSize = b.maximum
	b.server = mochi.New(&mochi.Options{Capabilities: caps, Logger: slog.New(slog.NewTextHandler(io.Discard, nil))})
	if err := b.server.AddHook(b.hook, nil); err != nil {
		b.t.Fatal(err)
	}
	b.door = &door{open: map[net.Conn]bool{}}
	eventually(b.t, "the broker's port is free", func() bool {
		var err error
		b.door.Listener, err = net.Listen("tcp", b.addr)
		return err == nil
	})
	if err := b.server.AddListener(listeners.NewNet("tcp", b.door)); err != nil {
		b.t.Fatal(err)
	}
	if err := b.server.Serve(); err != nil {
		b.t.Fatal(err)
	}
}

func (b *broker) stop() {
	b.door.shut()
	_ = mqttserver.Close(b.server)
}

// door is the broker's listener. The library leaves connections open that come while it
// stops: who comes then would wait for an answer, or stay with a broker that is no more.
type door struct {
	net.Listener
	mu     sync.Mutex
	open   map[net.Conn]bool
	closed bool
}

func (d *door) Accept() (net.Conn, error) {
	c, err := d.Listener.Accept()
	if err != nil {
		return nil, err
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.closed {
		c.Close()
		return nil, net.ErrClosed
	}
	d.open[c] = true
	return c, nil
}

// shut takes no more connections and closes those that are open.
func (d *door) shut() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.closed = true
	d.Close()
	for c := range d.open {
		c.Close()
	}
}
