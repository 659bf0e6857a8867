package broker

import (
	"errors"
	"log/slog"
	"strings"
	"time"

	mqtt "github.com/mochi-mqtt/server/v2"
	"github.com/mochi-mqtt/server/v2/packets"

	"andon.internal/broker/access"
)

// policy is our rules, as a hook of the library. Its methods run on the goroutine
// of the client they are called for.
type policy struct {
	mqtt.HookBase
	limits  Limits
	metrics *metrics
	depot   *depot
	server  *mqtt.Server
	log     *slog.Logger
	repeats *repeats
}

// ID names the hook.
func (p *policy) ID() string { return "andon" }

// Provides says which methods are ours.
func (p *policy) Provides(b byte) bool {
	switch b {
	case mqtt.OnConnect, mqtt.OnConnectAuthenticate, mqtt.OnSessionEstablish, mqtt.OnACLCheck,
		mqtt.OnSubscribe, mqtt.OnUnsubscribe, mqtt.OnPublish, mqtt.OnPacketRead, mqtt.OnPacketEncode,
		mqtt.OnPublishDropped, mqtt.OnWill:
		return true
	}
	return false
}

// OnConnect checks a CONNECT and bounds what it asks for.
func (p *policy) OnConnect(cl *mqtt.Client, pk packets.Packet) error {
	c, ok := cl.Net.Conn.(*conn)
	if !ok {
		return packets.ErrServerUnavailable // not from our listener
	}
	c.client.Store(cl)
	if code := p.refuse(cl, pk); code != packets.CodeSuccess {
		_ = p.server.SendConnack(cl, code, false, nil) // the client may be gone; code is returned
		return code
	}
	if limit := uint16(p.limits.KeepaliveMax / time.Second); cl.State.Keepalive == 0 || cl.State.Keepalive > limit {
		cl.State.Keepalive = limit // 0 would mean that silence never ends
		cl.State.ServerKeepalive = true
		p.metrics.keepalives.Inc()
	}
	c.silence = time.Duration(cl.State.Keepalive) * 1500 * time.Millisecond
	// A session ends with its connection: nothing is kept for who is away.
	cl.Properties.Clean = true
	cl.Properties.Props.SessionExpiryInterval = 0
	cl.Properties.Props.SessionExpiryIntervalFlag = cl.Properties.ProtocolVersion == 5
	cl.Properties.Will.WillDelayInterval = 0
	// Topic aliases toward the client would cost a table each.
	cl.Properties.Props.TopicAliasMaximum = 0
	// With a quota the library reads the messages in flight under a lock that it
	// takes twice, and deadlocks with a publisher between the two. No MQTT 5 client
	// is sent QoS 1 or 2 (see OnSubscribe), so the quota would count nothing.
	cl.State.Inflight.ResetSendQuota(0)
	return nil
}

// refuse returns why the CONNECT is not taken, or success.
func (p *policy) refuse(cl *mqtt.Client, pk packets.Packet) packets.Code {
	if len(cl.ID) > maxClientID {
		return packets.ErrClientIdentifierNotValid
	}
	// The library checks neither form nor permission of a will.
	if pk.Connect.WillFlag && !validTopic(pk.Connect.WillTopic) {
		return packets.ErrTopicNameInvalid
	}
	var will *access.Will
	if pk.Connect.WillFlag {
		will = &access.Will{Topic: pk.Connect.WillTopic, Retain: pk.Connect.WillRetain}
	}
	err := identityOf(cl).Connect(cl.ID, will)
	if old, there := p.server.Clients.Get(cl.ID); err == nil && there && identityOf(old) != identityOf(cl) {
		err = errors.New("the client id is in use by another identity")
	}
	if err != nil {
		p.deny(cl, "connect", err.Error())
		if cl.Properties.ProtocolVersion < 5 {
			return packets.Err3NotAuthorized
		}
		return packets.ErrNotAuthorized
	}
	return packets.CodeSuccess
}

// identityOf returns who a client has shown to be. The library's own may do what it
// does.
func identityOf(cl *mqtt.Client) access.Identity {
	if c, ok := cl.Net.Conn.(*conn); ok {
		return c.identity
	}
	return access.Identity{Role: access.Local}
}

// deny counts what an identity may not do, and tells it now and then.
func (p *policy) deny(cl *mqtt.Client, action, what string) {
	p.metrics.denied.WithLabelValues(action).Inc()
	charge(cl)
	if more, tell := p.repeats.tell(action, time.Now()); tell {
		p.log.Warn("a client was denied what it may not do", "action", action, "client", clip(cl.ID),
			"identity", identityOf(cl).String(), "what", clip(what), "more_before", more)
	}
}

// OnConnectAuthenticate lets everybody in whom OnConnect has: who it is was shown by a
// certificate, or is loopback.
func (p *policy) OnConnectAuthenticate(*mqtt.Client, packets.Packet) bool { return true }

// OnSessionEstablish ends the connection of a client whose id is still connected, and
// waits for its end. The library does it later: it would wait for as long as a write to
// it stands, and the end of the old connection, if it came late, would take the new one's
// subscriptions with it.
func (p *policy) OnSessionEstablish(cl *mqtt.Client, _ packets.Packet) {
	if old, ok := p.server.Clients.Get(cl.ID); ok {
		if c, ok := old.Net.Conn.(*conn); ok {
			p.tookOver(cl, c)
			c.hurry(100 * time.Millisecond)
			_ = p.server.DisconnectClient(old, packets.ErrSessionTakenOver) // returns what it is given
			select {
			case <-c.ended:
			case <-time.After(takeOverTimeout): // its will waits for a stuck reader
			}
		}
	}
	if c, ok := cl.Net.Conn.(*conn); ok {
		c.establish()
	}
}

// tookOver counts a session that ended for another of its client id, and tells it now
// and then: two clients of one id take the session from each other for ever.
func (p *policy) tookOver(cl *mqtt.Client, old *conn) {
	p.metrics.takeOvers.Inc()
	if more, tell := p.repeats.tell("take-over", time.Now()); tell {
		p.log.Info("a client took over the session of its id", "client", clip(cl.ID), "identity", identityOf(cl).String(),
			"from", old.RemoteAddr().String(), "to", cl.Net.Remote, "more_before", more)
	}
}

// OnACLCheck is asked before a publish (write), a subscription, and each delivery.
func (p *policy) OnACLCheck(cl *mqtt.Client, topic string, write bool) bool {
	if write {
		if !validTopic(topic) {
			p.metrics.refusedMessages.Inc()
			charge(cl)
			return false
		}
		if !identityOf(cl).MayPublish(topic, false) {
			p.deny(cl, "publish", topic)
			return false
		}
		return true
	}
	c, ok := cl.Net.Conn.(*conn)
	if !ok || c.asks(topic) {
		return true
	}
	return c.queue.admit(ticketOf(topic), p.sizeOf(topic))
}

// sizeOf is what a message takes in a reader's queue: one that is being handed out,
// or a retained one. When another has just taken its place, the largest counts.
func (p *policy) sizeOf(topic string) int64 {
	if size, ok := p.depot.sizes.Load(ticketOf(topic)); ok {
		return size.(int64)
	}
	if kept, ok := p.server.Topics.Retained.Get(topic); ok && ticketOf(kept.TopicName) == ticketOf(topic) {
		return costOf(topic, len(kept.Payload))
	}
	return costOf(topic, int(p.limits.MaxRetainedSize))
}

// OnSubscribe refuses filters that are malformed, shared or too many, and grants
// QoS 0 where more would put others at risk. What a client asks for again counts once in what
// it has, but a packet may not ask for more than it may have: each filter has the retained
// messages sent again.
func (p *policy) OnSubscribe(cl *mqtt.Client, pk packets.Packet) packets.Packet {
	have := cl.State.Subscriptions.Len()
	filters := make(packets.Subscriptions, len(pk.Filters))
	asked := make(map[ticket]bool, len(pk.Filters))
	for i, s := range pk.Filters {
		_, again := cl.State.Subscriptions.Get(s.Filter)
		if !validFilter(s.Filter) || !again && have >= p.limits.MaxSubscriptions || i >= p.limits.MaxSubscriptions {
			s.Filter = "" // which the library answers with a failure
			p.metrics.refusedSubscriptions.Inc()
			charge(cl)
		} else if qos, may := identityOf(cl).MayRead(s.Filter); !may {
			p.deny(cl, "subscribe", s.Filter)
			s.Filter = ""
		} else if s.Qos > qos {
			s.Qos = qos
			p.metrics.downgraded.Inc()
		}
		// Before a message at QoS 1 is queued, the library waits for the lock that a
		// write to the same reader holds: a stuck one would stall who publishes.
		if s.Qos > 0 && (spansNodes(s.Filter) || cl.Properties.ProtocolVersion == 5) {
			s.Qos = 0
			p.metrics.downgraded.Inc()
		}
		if s.Filter != "" && !again {
			have++
		}
		filters[i] = s
		asked[ticketOf(s.Filter)] = true
	}
	pk.Filters = filters
	if c, ok := cl.Net.Conn.(*conn); ok {
		c.asked.Store(&asked)
		pk = c.ask(pk)
	}
	return pk
}

// OnPublish names the message for its readers' queues, and decides whether it may
// be retained.
func (p *policy) OnPublish(cl *mqtt.Client, pk packets.Packet) (packets.Packet, error) {
	if pk.FixedHeader.Retain && !identityOf(cl).MayPublish(pk.TopicName, true) {
		p.deny(cl, "retain", pk.TopicName)
		return pk, packets.ErrRejectPacket
	}
	if pk.FixedHeader.Retain && !p.mayRetain(pk.TopicName, len(pk.Payload)) {
		charge(cl)
		pk.FixedHeader.Retain = false
	}
	pk.TopicName = p.book(cl, pk.TopicName, len(pk.Payload))
	return pk, nil
}

// book gives a message that cl publishes a topic string of its own, by which its
// readers' queues know it. That also frees the packet which the topic would else keep
// alive. The broker's own client says again what was booked for another.
func (p *policy) book(cl *mqtt.Client, topic string, payload int) string {
	c, ok := cl.Net.Conn.(*conn)
	if !ok {
		return topic
	}
	topic = strings.Clone(topic)
	p.depot.forget(c)
	c.published = ticketOf(topic)
	p.depot.sizes.Store(c.published, costOf(topic, payload))
	return topic
}

// mayRetain reports whether a payload of n bytes may be kept under the topic.
func (p *policy) mayRetain(topic string, n int) bool {
	if n == 0 {
		return true // which deletes
	}
	if n <= int(p.limits.MaxRetainedSize) {
		if _, replaced := p.server.Topics.Retained.Get(topic); replaced || p.retained() < p.limits.MaxRetained {
			return true
		}
	}
	p.metrics.notRetained.Inc()
	return false
}

// retained counts the retained messages beside the broker's own.
func (p *policy) retained() int { return p.server.Topics.Retained.Len() - sysTopics }

// sysTopics is how many $SYS messages the library retains.
const sysTopics = 20

// OnPacketEncode is called when a packet is about to be written.
func (p *policy) OnPacketEncode(cl *mqtt.Client, pk packets.Packet) packets.Packet {
	c, ok := cl.Net.Conn.(*conn)
	switch {
	case !ok:
	case pk.FixedHeader.Type == packets.Suback:
		pk = c.answer(pk)
	case pk.FixedHeader.Type == packets.Publish && pk.TopicName != "":
		c.queue.leave(ticketOf(pk.TopicName))
	}
	return pk
}

// OnPublishDropped is called when a reader's queue was full.
func (p *policy) OnPublishDropped(cl *mqtt.Client, pk packets.Packet) {
	if c, ok := cl.Net.Conn.(*conn); ok {
		c.queue.dropped.Add(1)
		c.queue.leave(ticketOf(pk.TopicName))
	}
}

// OnWill does for a will what OnPublish does for a message: the library publishes a
// will without asking it.
func (p *policy) OnWill(cl *mqtt.Client, will mqtt.Will) (mqtt.Will, error) {
	if will.Retain && !p.mayRetain(will.TopicName, len(will.Payload)) {
		will.Retain = false
	}
	will.TopicName = p.book(cl, will.TopicName, len(will.Payload))
	return will, nil
}
