package broker_test

import (
	"strings"
	"testing"
)

// request makes a SUBSCRIBE (with a QoS) or an UNSUBSCRIBE (without one) of MQTT 3.1.1.
func request(kind byte, id []byte, filter string, qos ...byte) []byte {
	return packet(kind, id, text(filter), qos)
}

// Client and broker number their packets each for itself, so the id of a request may be that
// of a message which the client has not acknowledged. The request is done all the same, and
// the message stays unacknowledged.
func TestRequestsUnderTheIDOfAMessage(t *testing.T) {
	b := start(t, nil)
	writer := b.client("writer", nil)
	c := b.session(4, "reader")
	subscribes := func(id []byte, filter string, qos byte) {
		t.Helper()
		c.send(request(0x82, id, filter, qos))
		if ack, want := c.expect(0x90), string(id)+string([]byte{qos}); string(ack) != want {
			t.Fatalf("SUBSCRIBE % x of %s is answered with % x", id, filter, ack)
		}
	}
	hears := func(topic string) {
		t.Helper()
		wait(t, writer.Publish(topic, 1, false, "x"))
		if body, want := c.expect(0x30), string(text(topic))+"x"; string(body) != want {
			t.Fatalf("%q came, want %q", body, want)
		}
	}
	subscriptions := func(want float64) {
		t.Helper()
		if n := b.metric("subscriptions"); n != want {
			t.Fatalf("%v subscriptions, want %v", n, want)
		}
	}

	const state = "spBv1.0/STATE/plant"
	subscribes([]byte{1, 1}, state, 1)
	wait(t, writer.Publish(state, 1, false, "x"))
	id, ok := strings.CutPrefix(string(c.expect(0x32)), string(text(state)))
	if !ok || len(id) != 3 {
		t.Fatalf("%q came, want a message at QoS 1 to %s", id, state)
	}
	message := []byte(id[:2])
	subscribes(message, "data/+", 0)
	hears("data/a")
	subscribes([]byte{1, 2}, "other/a", 0)
	hears("other/a")
	subscriptions(3)

	for _, filter := range []string{"data/+", "data/+", "never/subscribed"} {
		c.send(request(0xa2, message, filter))
		if ack := c.expect(0xb0); string(ack) != string(message) {
			t.Fatalf("UNSUBSCRIBE % x of %s is answered with % x", message, filter, ack)
		}
		subscriptions(2)
	}
	wait(t, writer.Publish("data/a", 1, false, "x"))
	hears("other/a") // and nothing before it

	if n := b.metric("inflight_messages"); n != 1 {
		t.Errorf("%v messages wait for an acknowledgement, want 1", n)
	}
	c.send(packet(0x40, message)) // PUBACK
	eventually(t, "it is acknowledged", func() bool { return b.metric("inflight_messages") == 0 })
}
