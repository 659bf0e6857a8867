package broker_test

import (
	"bytes"
	"fmt"
	"strings"
	"testing"
	"time"

	paho "github.com/eclipse/paho.mqtt.golang"

	"andon.internal/broker"
)

func TestSlowReadersDropsAreCountedAndTold(t *testing.T) {
	for _, tt := range []struct {
		bound  string
		change func(*broker.Config)
	}{
		{"client_queue", func(c *broker.Config) { c.Limits.ClientQueue = 100 }},
		{"queue_bytes", func(c *broker.Config) { c.Limits.ClientQueueBytes = 2 << 20 }},
		{"queue_bytes", func(c *broker.Config) { c.Limits.QueueBytes = 2 << 20 }},
	} {
		t.Run(tt.bound, func(t *testing.T) {
			b := start(t, func(c *broker.Config) {
				c.Limits.WriteTimeout = time.Minute
				tt.change(c)
			})
			slow := b.session(4, "slow")
			slow.send(subscribe(4, "data/#", 0))
			slow.expect(0x90)
			quick := b.session(4, "quick")
			quick.send(subscribe(4, "data/#", 0))
			quick.expect(0x90)
			received := make(chan struct{}, 1000)
			go func() {
				for {
					if _, _, err := quick.receive(); err != nil {
						return
					}
					received <- struct{}{}
				}
			}()
			writer := b.client("writer", nil)
			const messages = 400
			for range messages { // 40 MB
				wait(t, writer.Publish("data/a", 1, false, make([]byte, 100<<10)))
				next(t, received) // the quick reader gets all
			}
			if n := b.metric("queued_bytes"); n > 100*(101<<10) {
				t.Errorf("%v bytes are queued", n)
			}
			wait(t, writer.Publish("other", 1, false, "x")) // acknowledged after all before it was handed out
			dropped := b.metric("dropped_messages_total", tt.bound)
			if dropped == 0 {
				t.Error("no drop is counted")
			}
			eventually(t, "told", func() bool {
				return strings.Contains(b.log.String(), "a slow reader loses messages") && strings.Contains(b.log.String(), "client=slow")
			})
			// What was not dropped arrives, and the books are even.
			for got := 0; got < messages-int(dropped); got++ {
				slow.expect(0x30)
			}
			eventually(t, "nothing is queued", func() bool { return b.metric("queued_bytes") == 0 })
		})
	}
}

func TestStuckReaderIsCutOff(t *testing.T) {
	b := start(t, func(c *broker.Config) { c.Limits.WriteTimeout = time.Second })
	stuck(b, "stuck")
	eventually(t, "cut off", func() bool { return b.metric("write_timeouts_total") == 1 })
	eventually(t, "its queue is gone", func() bool { return b.metric("queued_bytes") == 0 })
}

// A reader at QoS 1 that does not read holds up who publishes to it, but not for
// longer than the write timeout.
func TestStuckReaderHoldsUpPublishersBriefly(t *testing.T) {
	// Where the machine is so slow that the reader is cut off before anybody publishes
	// to it, more time shows it.
	for timeout := time.Second; timeout < patience; timeout *= 2 {
		b := start(t, func(c *broker.Config) { c.Limits.WriteTimeout = timeout })
		stuck(b, "stuck")
		writer := b.client("writer", nil)
		early := b.metric("write_timeouts_total") > 0
		wait(t, writer.Publish("flood/stuck", 1, false, "x"))
		wait(t, writer.Publish("other", 1, false, "x"))
		if !early {
			return
		}
	}
	t.Error("the reader was always cut off before anybody published to it")
}

// A viewer that subscribed to all nodes at QoS 1 was granted QoS 0 and holds up nobody.
func TestStuckViewerHoldsUpNobody(t *testing.T) {
	b := start(t, func(c *broker.Config) { c.Limits.WriteTimeout = time.Minute })
	viewer := b.session(4, "viewer")
	viewer.send(subscribe(4, "spBv1.0/#", 1))
	if ack := viewer.expect(0x90); ack[2] != 0 {
		t.Fatalf("granted QoS %d", ack[2])
	}
	writer := b.client("writer", nil)
	for range 300 { // 30 MB, none of which waits for the write timeout
		wait(t, writer.Publish("spBv1.0/line1/NDATA/cell-01", 1, false, make([]byte, 100<<10)))
	}
}

func TestTakeOverOfAStuckClientIsQuick(t *testing.T) {
	b := start(t, func(c *broker.Config) { c.Limits.WriteTimeout = time.Minute })
	stuck(b, "cell-01")
	c := b.session(4, "cell-01") // which fails when it takes half of the write timeout
	c.send(subscribe(4, "mine", 1))
	c.expect(0x90)
	wait(t, b.client("other", nil).Publish("mine", 0, false, "x"))
	if body := c.expect(0x30); !bytes.HasSuffix(body, []byte("x")) {
		t.Errorf("got %q", body)
	}
}

// A client that takes over from one of its id keeps what it subscribes, however long the
// end of the other takes: here with many subscriptions.
func TestTakeOverKeepsTheNewSession(t *testing.T) {
	const filters, times = 60, 500
	b := start(t, nil)
	other := b.client("other", nil)
	for range times {
		c := b.session(4, "cell-01")
		for i := range filters {
			c.send(subscribe(4, fmt.Sprint("mine/", i), 1))
			c.expect(0x90)
		}
		wait(t, other.Publish("mine/0", 0, false, "x"))
		if body := c.expect(0x30); !bytes.HasSuffix(body, []byte("x")) {
			t.Fatalf("got %q", body)
		}
	}
	if n := b.metric("subscriptions"); n != filters {
		t.Errorf("%v subscriptions are left, want %d", n, filters)
	}
}

// The library reads past the end of a SUBSCRIBE of MQTT 5 that lacks its options.
func TestPanicEndsItsConnectionOnly(t *testing.T) {
	b := start(t, nil)
	got := make(chan string, 1)
	wait(t, b.client("reader", nil).Subscribe("spBv1.0/#", 0, func(_ paho.Client, m paho.Message) {
		got <- fmt.Sprint(m.Topic(), " ", string(m.Payload()))
	}))
	c := b.dial()
	c.send(connect(5, "bad", 30, "spBv1.0/line1/NDEATH/cell-01"))
	c.expect(0x20)
	c.send(subscribe(5, "spBv1.0/line1/NCMD/cell-01", 0))
	c.expect(0x90)
	c.send(packet(0x82, []byte{0, 1}, []byte{0}, text("a/b")))
	c.ended()
	if m := next(t, got); m != "spBv1.0/line1/NDEATH/cell-01 gone" {
		t.Errorf("got %s", m)
	}
	if n := b.metric("panics_total"); n != 1 {
		t.Errorf("%v panics counted", n)
	}
	eventually(t, "subscriptions are gone", func() bool { return b.metric("subscriptions") == 1 })
	b.session(5, "bad")
}
