package broker_test

import (
	"bytes"
	"fmt"
	"net"
	"runtime"
	"strings"
	"testing"
	"time"

	paho "github.com/eclipse/paho.mqtt.golang"

	"andon.internal/broker"
)

func TestFirstPacketIsBounded(t *testing.T) {
	tests := []struct {
		name, reason string
		bytes        []byte
	}{
		{"huge", "connect_too_large", []byte{0x10, 0xff, 0xff, 0xff, 0x7f}},
		{"above the limit", "connect_too_large", packet(0x10, make([]byte, 17<<10))},
		{"endless length", "not_mqtt", []byte{0x10, 0xff, 0xff, 0xff, 0xff, 0xff}},
		{"not a CONNECT", "not_mqtt", publish("a", nil)},
		{"http", "not_mqtt", []byte("GET / HTTP/1.1\r\n\r\n")},
		{"old protocol", "connect_invalid", packet(0x10, text("MQIsdp"), []byte{3, 2, 0, 30}, text("a"))},
		{"client id", "connect_invalid", connect(4, strings.Repeat("x", 300), 30, "")},
		{"will topic", "connect_invalid", connect(4, "a", 30, "spBv1.0/#")},
		{"will in $SYS", "connect_invalid", connect(4, "a", 30, "$SYS/broker/uptime")},
	}
	b := start(t, nil)
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			n := b.metric("refused_connections_total", tt.reason)
			c := b.dial()
			c.send(tt.bytes)
			c.ended()
			eventually(t, "counted as "+tt.reason, func() bool {
				return b.metric("refused_connections_total", tt.reason) == n+1
			})
		})
	}
	runtime.ReadMemStats(&after)
	if took := after.TotalAlloc - before.TotalAlloc; took > 32<<20 {
		t.Errorf("took %d MiB for what was refused", took>>20)
	}
}

func TestSlowConnectIsEnded(t *testing.T) {
	b := start(t, func(c *broker.Config) { c.Limits.ConnectTimeout = 300 * time.Millisecond })
	for name, feed := range map[string][]byte{"nothing": nil, "a byte at a time": connect(4, strings.Repeat("x", 200), 30, "")} {
		t.Run(name, func(t *testing.T) {
			begin := time.Now()
			c := b.dial()
			done := make(chan struct{})
			go func() {
				defer close(done)
				for _, x := range feed {
					if _, err := c.Write([]byte{x}); err != nil {
						return
					}
					time.Sleep(20 * time.Millisecond) // the slowness under test
				}
			}()
			c.ended()
			if took := time.Since(begin); took < 250*time.Millisecond {
				t.Errorf("ended after %v", took)
			}
			_ = c.Close()
			<-done
		})
	}
	eventually(t, "both are counted", func() bool {
		return b.metric("refused_connections_total", "connect_timeout") == 2
	})
}

// What a client does wrong ends its own session only, and is counted and told.
func TestBrokenSessionsAreCountedAndTold(t *testing.T) {
	tests := []struct {
		name, reason string
		bytes        []byte
	}{
		{"huge", "packet_too_large", []byte{0x30, 0xff, 0xff, 0xff, 0x7f}},
		{"above the limit", "packet_too_large", publish("a", make([]byte, 600<<10))},
		{"endless length", "malformed", []byte{0x30, 0xff, 0xff, 0xff, 0xff, 0xff}},
		{"reserved flags", "malformed", []byte{0xc1, 0}},
		{"no packet id", "malformed", packet(0x82)},
		{"no such type", "malformed", []byte{0, 0}},
		{"second CONNECT", "malformed", connect(4, "bad", 30, "")},
		{"reserved topic", "refused", packet(0x32, text("$other"), []byte{0, 1})},
		{"silence", "keepalive", nil},
	}
	b := start(t, nil)
	good := b.client("good", nil)
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			n := b.metric("broken_sessions_total", tt.reason)
			bad := b.dial()
			keepalive := uint16(30)
			if tt.reason == "keepalive" {
				keepalive = 1
			}
			bad.send(connect(4, "bad", keepalive, ""))
			bad.expect(0x20)
			_, _ = bad.Write(tt.bytes) // may be cut off
			bad.ended()
			eventually(t, "counted as "+tt.reason, func() bool {
				return b.metric("broken_sessions_total", tt.reason) >= n+1
			})
			eventually(t, "told", func() bool {
				return strings.Contains(b.log.String(), "reason="+tt.reason+" client=bad ")
			})
		})
	}
	wait(t, good.Publish("a", 1, false, make([]byte, 500<<10)))
	for _, end := range [][]byte{{0xe0, 0}, nil} { // DISCONNECT, or just closed
		c := b.session(4, "leaves")
		c.send(end)
		_ = c.Close()
	}
	eventually(t, "only the good one is left", func() bool { return b.metric("connections") == 1 })
	if n := b.metric("broken_sessions_total"); n != float64(len(tests)) {
		t.Errorf("%v counted, want %d", n, len(tests))
	}
	if strings.Contains(b.log.String(), "error processing packet") {
		t.Error("it is told twice")
	}
}

func TestSilenceIsEnded(t *testing.T) {
	b := start(t, func(c *broker.Config) { c.Limits.KeepaliveMax = time.Second })
	for _, keepalive := range []uint16{0, 1, 65535} {
		begin := time.Now()
		c := b.dial()
		c.send(connect(4, fmt.Sprint(keepalive), keepalive, ""))
		c.expect(0x20)
		c.ended()
		if took := time.Since(begin); took < 900*time.Millisecond {
			t.Errorf("keepalive %d: ended after %v", keepalive, took)
		}
	}
	if n := b.metric("forced_keepalives_total"); n != 2 {
		t.Errorf("%v counted, want 2", n)
	}
}

func TestALargeMessageOnASlowLineIsNoSilence(t *testing.T) {
	b := start(t, func(c *broker.Config) { c.Limits.KeepaliveMax = 3 * time.Second })
	reader := b.session(4, "reader")
	reader.send(subscribe(4, "a", 0))
	reader.expect(0x90)
	c := b.session(4, "slow")
	message := publish("a", make([]byte, 30<<10))
	for size := len(message)/12 + 1; len(message) > 0; { // 5.4 s, where 4.5 s without a byte would be silence
		reader.send([]byte{0xc0, 0})
		reader.expect(0xd0)
		n := min(len(message), size)
		c.send(message[:n])
		message = message[n:]
		time.Sleep(450 * time.Millisecond) // the slowness under test
	}
	if body := reader.expect(0x30); len(body) != len(text("a"))+30<<10 {
		t.Errorf("got %d bytes", len(body))
	}
}

func TestConnectionsAreBounded(t *testing.T) {
	b := start(t, func(c *broker.Config) { c.Limits.MaxConnections = 3 })
	first := b.session(4, "a")
	b.session(4, "b")
	b.dial() // counts too
	eventually(t, "3 connections", func() bool { return b.metric("connections") == 3 })
	over := b.dial()
	over.ended()
	eventually(t, "counted", func() bool { return b.metric("refused_connections_total", "max_connections") == 1 })
	_ = first.Close()
	eventually(t, "one is free", func() bool { return b.metric("connections") == 2 })
	b.session(4, "c")
}

func TestConnectionsOfOneAddressAreBounded(t *testing.T) {
	b := startWith(t, func(c *broker.Config) { c.Limits.MaxConnectionsPerIP = 2 }, func(b *broker.Broker) {
		b.SetListen(func(network, address string) (net.Listener, error) {
			l, err := net.Listen(network, address)
			return &abroad{l}, err
		})
	})
	first := b.dialFrom("127.0.0.2").join(4, "a")
	b.dialFrom("127.0.0.2").join(4, "b")
	b.dialFrom("127.0.0.2").ended()
	refused := func() float64 { return b.metric("refused_connections_total", "max_connections_per_ip") }
	eventually(t, "counted", func() bool { return refused() == 1 })
	b.dialFrom("127.0.0.3").join(4, "c")
	_ = first.Close()
	eventually(t, "one is free", func() bool { return b.metric("connections") == 2 })
	b.dialFrom("127.0.0.2").join(4, "d")
	for i := range 3 { // not behind a proxy of this machine
		b.dialFrom("127.0.0.1").join(4, fmt.Sprint("local-", i))
	}
	if n := refused(); n != 1 {
		t.Errorf("%v refused, want 1", n)
	}
}

// abroad is a listener to whom the loopback addresses from 127.0.0.2 on look like
// those of other machines, 192.0.2.2 and so on. (192.0.2.0/24 is for examples, RFC 5737.)
type abroad struct{ net.Listener }

func (a *abroad) Accept() (net.Conn, error) {
	c, err := a.Listener.Accept()
	if err != nil {
		return nil, err
	}
	remote := *c.RemoteAddr().(*net.TCPAddr)
	if host := remote.IP.To4()[3]; host > 1 {
		remote.IP = net.IPv4(192, 0, 2, host)
	}
	return &foreign{c, &remote}, nil
}

type foreign struct {
	net.Conn
	remote net.Addr
}

func (f *foreign) RemoteAddr() net.Addr { return f.remote }

// Beyond loopback there is TLS, or somebody has said otherwise, which is told.
func TestListeningBeyondLoopback(t *testing.T) {
	cfg := broker.DefaultConfig()
	cfg.Listen = "0.0.0.0:0"
	if _, err := broker.New(cfg); err == nil || !strings.Contains(err.Error(), "listen: ") || !strings.Contains(err.Error(), "plaintext: true") {
		t.Errorf("without TLS: %v", err)
	}
	for address, told := range map[string]bool{"0.0.0.0:0": true, "127.0.0.1:0": false} {
		b := start(t, func(c *broker.Config) { c.Listen, c.Plaintext = address, true })
		if got := strings.Contains(b.log.String(), "without encryption"); got != told {
			t.Errorf("%s: told %v, want %v:\n%s", address, got, told, b.log)
		}
		families, err := b.reg.Gather()
		if err != nil {
			t.Fatal(err)
		}
		for _, f := range families {
			if f.GetName() == "andon_mqtt_plaintext" && (f.GetMetric()[0].GetGauge().GetValue() == 1) != told {
				t.Errorf("%s: the metric is %v", address, f.GetMetric()[0])
			}
		}
	}
}

func TestRetainedIsBounded(t *testing.T) {
	b := start(t, func(c *broker.Config) { c.Limits.MaxRetained, c.Limits.MaxRetainedSize = 2, 100 })
	eventually(t, "the broker's own are there", func() bool { return b.metric("retained_messages") == 20 })
	got := make(chan string, 10)
	wait(t, b.client("live", nil).Subscribe("r/#", 0, func(_ paho.Client, m paho.Message) {
		if !m.Retained() { // else it was published while this subscription was answered
			got <- m.Topic()
		}
	}))
	writer := b.client("writer", nil)
	for _, m := range []struct {
		topic string
		n     int
	}{{"r/1", 10}, {"r/2", 10}, {"r/3", 10}, {"r/1", 101}, {"r/2", 20}, {"r/1", 0}, {"r/4", 10}} {
		wait(t, writer.Publish(m.topic, 1, true, make([]byte, m.n)))
		if topic := next(t, got); topic != m.topic {
			t.Errorf("live reader got %s, want %s", topic, m.topic)
		}
	}
	kept := make(chan string, 10)
	late := b.client("late", func(o *paho.ClientOptions) { o.SetOrderMatters(true) })
	wait(t, late.Subscribe("r/#", 0, func(_ paho.Client, m paho.Message) {
		kept <- fmt.Sprint(m.Topic(), " ", len(m.Payload()))
	}))
	wait(t, late.Publish("r/end", 1, false, "x")) // comes behind all that was kept
	have := map[string]bool{}
	for got := ""; got != "r/end 1"; have[got] = true {
		got = next(t, kept)
	}
	if !have["r/2 20"] || !have["r/4 10"] || len(have) != 3 {
		t.Errorf("retained: %v", have)
	}
	if n := b.metric("not_retained_total"); n != 2 {
		t.Errorf("%v counted, want 2", n)
	}
}

func TestSubscriptionsAreBounded(t *testing.T) {
	b := start(t, func(c *broker.Config) { c.Limits.MaxSubscriptions = 3 })
	c := b.session(4, "a")
	tests := []struct {
		filter  string
		granted byte
	}{
		{"$share/g/spBv1.0/#", 0x80},       // shared
		{"a+/b", 0x80},                     // malformed
		{"a/#/b", 0x80},                    // malformed
		{strings.Repeat("a/", 40), 0x80},   // deep
		{strings.Repeat("a", 2000), 0x80},  // long
		{strings.Repeat("/", 60000), 0x80}, // both; would take the library seconds
		{"", 0x80},                         // empty
		{"spBv1.0/line1/NCMD/cell-01", 1},
		{"spBv1.0/line1/DCMD/cell-01/+", 1},
		{"spBv1.0/line1/#", 0},
		{"spBv1.0/line1/#", 0},               // again
		{"spBv1.0/line1/NCMD/cell-02", 0x80}, // one too many
		{"spBv1.0/line1/DCMD/cell-01/+", 1},  // again
	}
	for _, tt := range tests {
		c.send(subscribe(4, tt.filter, 1))
		if ack := c.expect(0x90); ack[2] != tt.granted {
			t.Errorf("%.40q granted %#x, want %#x", tt.filter, ack[2], tt.granted)
		}
	}
	if n := b.metric("subscriptions"); n != 3 {
		t.Errorf("%v subscriptions", n)
	}
	// One packet that asks again and again has no more answered than it may have.
	filter := append(text("spBv1.0/line1/#"), 0)
	c.send(packet(0x82, []byte{0, 2}, bytes.Repeat(filter, 5)))
	if ack := c.expect(0x90); !bytes.Equal(ack[2:], []byte{0, 0, 0, 0x80, 0x80}) {
		t.Errorf("five times one filter is granted %#x", ack[2:])
	}
	c.send(subscribe(4, "spBv1.0/line1/NCMD/cell-03", 1))
	if ack := c.expect(0x90); ack[2] != 0x80 {
		t.Errorf("what was refused made room: granted %#x", ack[2])
	}
}

func TestTopicsAreBounded(t *testing.T) {
	b := start(t, nil)
	c := b.session(4, "a")
	c.send(
		publish(strings.Repeat("/", 60000), nil),
		publish(strings.Repeat("a", 2000), nil),
		publish("$other/a", nil),
	)
	eventually(t, "counted", func() bool { return b.metric("refused_messages_total") == 3 })
}
