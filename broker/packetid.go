package broker

import (
	"sync/atomic"

	mqtt "github.com/mochi-mqtt/server/v2"
	"github.com/mochi-mqtt/server/v2/packets"
)

// Client and broker number their packets each for itself (MQTT 3.1.1, 2.3.1; MQTT 5.0,
// 2.2.1). The library has one list for both: it refuses a SUBSCRIBE, and does nothing for an
// UNSUBSCRIBE, whose id is that of a message which the client has not acknowledged. To an
// MQTT 3.1.1 client it says so with a code of MQTT 5, or not at all, and the client waits in
// vain for what it subscribed.

// ask takes the id from a SUBSCRIBE: no message has the id 0, so the library finds none.
func (c *conn) ask(pk packets.Packet) packets.Packet {
	c.asking, pk.PacketID = pk.PacketID, 0
	return pk
}

// answer gives the id of the SUBSCRIBE to its answer.
func (c *conn) answer(pk packets.Packet) packets.Packet {
	pk.PacketID = c.asking
	return pk
}

// OnUnsubscribe ends the subscriptions of an MQTT 3.1.1 client itself: here the library has
// looked for the id already. An MQTT 5 client is sent no message with an id (see
// OnSubscribe), and is owed a code for each filter.
func (p *policy) OnUnsubscribe(cl *mqtt.Client, pk packets.Packet) packets.Packet {
	if cl.Properties.ProtocolVersion == 5 {
		return pk
	}
	for _, s := range pk.Filters {
		if _, there := cl.State.Subscriptions.Get(s.Filter); !there {
			continue
		}
		p.server.Topics.Unsubscribe(s.Filter, cl.ID)
		cl.State.Subscriptions.Delete(s.Filter)
		atomic.AddInt64(&p.server.Info.Subscriptions, -1)
	}
	pk.Filters = nil
	return pk
}
