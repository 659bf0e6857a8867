package broker_test

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"testing"
	"time"

	"andon.internal/broker"
)

// A reader of retained messages is held to the bounds of every other reader.
func TestRetainedMessagesAreBookedForTheirReaders(t *testing.T) {
	const messages, size, bound = 400, 60 << 10, 2 << 20 // 24 MB, more than a socket takes
	for name, change := range map[string]func(*broker.Limits){
		"client": func(l *broker.Limits) { l.ClientQueueBytes = bound },
		"all":    func(l *broker.Limits) { l.QueueBytes = bound },
	} {
		t.Run(name, func(t *testing.T) {
			b := start(t, func(c *broker.Config) {
				c.Limits.WriteTimeout = time.Minute
				change(&c.Limits)
			})
			writer := b.client("writer", nil)
			for i := range messages {
				wait(t, writer.Publish(fmt.Sprint("r/", i), 1, true, make([]byte, size)))
			}
			slow := b.session(4, "slow")
			slow.send(subscribe(4, "r/#", 0))
			slow.expect(0x90)
			slow.send([]byte{0xc0, 0}) // PINGREQ: answered behind the retained messages
			eventually(t, "a drop is counted", func() bool { return b.metric("dropped_messages_total", "queue_bytes") > 0 })
			if n := b.metric("queued_bytes"); n > bound {
				t.Errorf("%v bytes are queued, the bound is %d", n, bound)
			}
			got := 0
			for kind := byte(0); kind != 0xd0; { // PINGRESP overtakes what is queued
				var body []byte
				var err error
				if kind, body, err = slow.receive(); err != nil {
					t.Fatal(err)
				}
				if kind&0xf0 == 0x30 && len(body) > size {
					got++
				}
			}
			for dropped := int(b.metric("dropped_messages_total", "queue_bytes")); got < messages-dropped; got++ {
				slow.expect(0x31)
			}
			eventually(t, "nothing is queued", func() bool { return b.metric("queued_bytes") == 0 })
		})
	}
}

// A subscription to one topic is not mistaken for a delivery of it.
func TestSubscriptionsAreNotBooked(t *testing.T) {
	b := start(t, nil)
	first := b.session(4, "first")
	first.send(subscribe(4, "r/1", 0))
	first.expect(0x90)
	wait(t, b.client("writer", nil).Publish("r/1", 1, true, "kept"))
	first.expect(0x30) // an acknowledgement may come before it has gone to all
	c := b.session(4, "reader")
	for _, filter := range []string{"r/1", "r/2"} {
		c.send(subscribe(4, filter, 0))
		c.expect(0x90)
		if filter == "r/1" {
			c.expect(0x31)
		}
		if n := b.metric("queued_bytes"); n != 0 {
			t.Errorf("%v bytes are booked behind a subscription to %s", n, filter)
		}
	}
}

// Wills are published past the hook that books messages, and are booked all the same.
func TestWillsAreBookedForTheirReaders(t *testing.T) {
	const wills, size, bound = 600, 15 << 10, 1 << 20
	b := start(t, func(c *broker.Config) {
		c.Limits.WriteTimeout = time.Minute
		c.Limits.ClientQueueBytes = bound
	})
	slow := b.session(4, "slow")
	slow.send(subscribe(4, "will/#", 0))
	slow.expect(0x90)
	body := bytes.Join([][]byte{
		text("MQTT"),
		{4, 0x02 | 0x04},
		binary.BigEndian.AppendUint16(nil, 30), text(""),
		text("will/a"), text(string(make([]byte, size))),
	}, nil)
	for range wills { // 9 MB
		c := b.dial()
		c.send(packet(0x10, body))
		c.expect(0x20)
		_ = c.Close()
	}
	eventually(t, "a drop is counted", func() bool { return b.metric("dropped_messages_total", "queue_bytes") > 0 })
	if n := b.metric("queued_bytes"); n > bound {
		t.Errorf("%v bytes are queued, the bound is %d", n, bound)
	}
}
