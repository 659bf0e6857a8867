package edgetest

import (
	"strings"
	"sync"

	mqtt "github.com/mochi-mqtt/server/v2"
	"github.com/mochi-mqtt/server/v2/packets"
)

// Packet is what a client sent to the broker.
type Packet struct {
	Client  string
	Kind    string // CONNECT, SUBSCRIBE, PUBLISH or DISCONNECT
	Topic   string // of a PUBLISH; the filters of a SUBSCRIBE, with spaces between
	Payload []byte
	QoS     byte
	Retain  bool

	Version byte // of a CONNECT, as all below
	Clean   bool
	Will    *Packet
}

// witness is the hook that keeps what clients send, in the order of its arrival.
type witness struct {
	mqtt.HookBase

	mu   sync.Mutex
	list []Packet
}

func (*witness) ID() string { return "witness" }

func (*witness) Provides(b byte) bool {
	return b == mqtt.OnPacketRead
}

func (w *witness) OnPacketRead(cl *mqtt.Client, pk packets.Packet) (packets.Packet, error) {
	p := Packet{Client: cl.ID, QoS: pk.FixedHeader.Qos, Retain: pk.FixedHeader.Retain}
	switch pk.FixedHeader.Type {
	case packets.Connect:
		p.Kind, p.Client = "CONNECT", pk.Connect.ClientIdentifier
		p.Version, p.Clean = pk.ProtocolVersion, pk.Connect.Clean
		if pk.Connect.WillFlag {
			p.Will = &Packet{
				Topic: pk.Connect.WillTopic, Payload: pk.Connect.WillPayload,
				QoS: pk.Connect.WillQos, Retain: pk.Connect.WillRetain,
			}
		}
	case packets.Subscribe:
		var filters []string
		for _, f := range pk.Filters {
			filters = append(filters, f.Filter)
		}
		p.Kind, p.Topic = "SUBSCRIBE", strings.Join(filters, " ")
	case packets.Publish:
		p.Kind, p.Topic, p.Payload = "PUBLISH", pk.TopicName, pk.Payload
	case packets.Disconnect:
		p.Kind = "DISCONNECT"
	default:
		return pk, nil
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.list = append(w.list, p)
	return pk, nil
}

// Packets returns what clients whose id begins with prefix have sent since the
// broker's first start, in order.
func (b *Broker) Packets(prefix string) []Packet {
	b.witness.mu.Lock()
	defer b.witness.mu.Unlock()
	var list []Packet
	for _, p := range b.witness.list {
		if strings.HasPrefix(p.Client, prefix) {
			list = append(list, p)
		}
	}
	return list
}
