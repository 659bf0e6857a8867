package broker_test

import (
	"bytes"
	"fmt"
	"net"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	paho "github.com/eclipse/paho.mqtt.golang"

	"andon.internal/broker"
)

func TestPublishAndSubscribe(t *testing.T) {
	b := start(t, nil)
	reader, writer := b.client("reader", nil), b.client("writer", nil)
	got := make(chan paho.Message, 10)
	wait(t, reader.Subscribe("spBv1.0/line1/NCMD/cell-01", 1, func(_ paho.Client, m paho.Message) { got <- m }))
	for qos := range byte(3) {
		wait(t, writer.Publish("spBv1.0/line1/NCMD/cell-01", qos, false, []byte{qos}))
		m := next(t, got)
		if m.Payload()[0] != qos || m.Qos() != min(qos, 1) || m.Retained() {
			t.Errorf("published at %d, got %v at %d", qos, m.Payload(), m.Qos())
		}
	}
}

func TestRetainedAndWill(t *testing.T) {
	b := start(t, nil)
	host := b.session(4, "early")
	host.send(packet(0x31, text("spBv1.0/STATE/andon"), []byte(`{"online":true}`))) // retained
	node := b.dial()
	node.send(connect(4, "node", 30, "spBv1.0/line1/NDEATH/cell-01"))
	node.expect(0x20)

	got := make(chan string, 10)
	reader := b.client("reader", nil)
	eventually(t, "retained", func() bool { return b.metric("retained_messages") > 20 })
	wait(t, reader.Subscribe("spBv1.0/#", 0, func(_ paho.Client, m paho.Message) {
		got <- fmt.Sprint(m.Topic(), " ", string(m.Payload()), " ", m.Retained())
	}))
	if m := next(t, got); m != `spBv1.0/STATE/andon {"online":true} true` {
		t.Errorf("retained: %s", m)
	}
	_ = node.Close()
	if m := next(t, got); m != "spBv1.0/line1/NDEATH/cell-01 gone false" {
		t.Errorf("will: %s", m)
	}
}

func TestMQTT5(t *testing.T) {
	b := start(t, func(c *broker.Config) { c.Limits.KeepaliveMax = 20 * time.Second })
	c := b.dial()
	c.send(connect(5, "five", 0, ""))
	ack := c.expect(0x20)
	if ack[1] != 0 || !bytes.Contains(ack, []byte{0x13, 0, 20}) {
		t.Errorf("CONNACK % x does not say the keepalive of the server", ack)
	}
	c.send(subscribe(5, "a/b", 1))
	if ack := c.expect(0x90); ack[len(ack)-1] != 0 {
		t.Errorf("granted %#x, want QoS 0", ack[len(ack)-1])
	}
	wait(t, b.client("writer", nil).Publish("a/b", 1, false, "x"))
	if body := c.expect(0x30); !bytes.HasSuffix(body, []byte("x")) {
		t.Errorf("got % x", body)
	}
}

func TestRestartOnTheSamePort(t *testing.T) {
	first := start(t, nil)
	address := first.Addr()
	first.client("a", nil)
	first.stop()
	second := start(t, func(c *broker.Config) { c.Listen = address })
	second.client("a", nil)
	if second.Addr() != address {
		t.Errorf("listens on %s, want %s", second.Addr(), address)
	}
}

func TestTheAddressIsTaken(t *testing.T) {
	first := start(t, nil)
	cfg := broker.DefaultConfig()
	cfg.Listen = first.Addr()
	b, err := broker.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	err = b.Listen()
	if err == nil || !strings.Contains(err.Error(), "listen for mqtt") {
		t.Errorf("error is %v", err)
	}
}

// faulty fails the first Accepts.
type faulty struct {
	net.Listener
	faults atomic.Int64
}

func (f *faulty) Accept() (net.Conn, error) {
	if f.faults.Add(-1) >= 0 {
		return nil, &net.OpError{Op: "accept", Err: fmt.Errorf("too many open files")}
	}
	return f.Listener.Accept()
}

func TestAcceptErrorsDoNotEndTheListener(t *testing.T) {
	b := startWith(t, nil, func(b *broker.Broker) {
		b.SetListen(func(network, address string) (net.Listener, error) {
			l, err := net.Listen(network, address)
			f := &faulty{Listener: l}
			f.faults.Store(4)
			return f, err
		})
	})
	b.client("a", nil)
	if n := b.metric("accept_errors_total"); n != 4 {
		t.Errorf("%v errors counted, want 4", n)
	}
	if n := strings.Count(b.log.String(), "connections cannot be accepted"); n != 1 {
		t.Errorf("told %d times, want once", n)
	}
}

func TestStopIsBounded(t *testing.T) {
	b := start(t, func(c *broker.Config) { c.Limits.WriteTimeout = time.Minute })
	for i := range 3 {
		stuck(b, fmt.Sprintf("stuck-%d", i))
	}
	b.dial() // has not said who it is
	b.stop() // which fails when it takes half of the write timeout
}

// stuck connects a client that subscribes to a flood and reads nothing, and returns
// once a write to it stands.
func stuck(b *running, id string) *raw {
	b.t.Helper()
	c := b.session(4, id)
	if err := c.Conn.(*net.TCPConn).SetReadBuffer(4096); err != nil {
		b.t.Fatal(err)
	}
	c.send(subscribe(4, "flood/"+id, 1))
	c.expect(0x90)
	writer := b.session(4, id+"-writer")
	before := b.metric("queued_bytes")
	cut := b.metric("write_timeouts_total")
	message := publish("flood/"+id, make([]byte, 100<<10))
	for range 200 { // 20 MB, more than the kernel takes
		writer.send(message)
	}
	eventually(b.t, "a write stands, or stood for too long already", func() bool {
		return b.metric("queued_bytes") > before+1<<20 || b.metric("write_timeouts_total") > cut
	})
	return c
}

func TestConfigIsChecked(t *testing.T) {
	cfg := broker.DefaultConfig()
	cfg.Listen = "1883"
	cfg.Limits.MaxPacket = 0
	cfg.Limits.KeepaliveMax = 1500 * time.Millisecond
	cfg.Limits.ClientQueue = -1
	_, err := broker.New(cfg)
	for _, want := range []string{"listen", "max_packet", "keepalive_max", "client_queue"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v does not speak of %s", err, want)
		}
	}
}
