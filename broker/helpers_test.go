package broker_test

import (
	"bufio"
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"io"
	"log/slog"
	"net"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	paho "github.com/eclipse/paho.mqtt.golang"
	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/goleak"

	"andon.internal/broker"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// patience is how long a test waits for what must come; how long it takes is for the
// benchmarks.
const patience = 30 * time.Second

// running is a broker under test.
type running struct {
	*broker.Broker
	t    testing.TB
	reg  *prometheus.Registry
	log  *logBuffer
	stop func()
}

// start runs a broker on a free port until the test ends.
func start(t testing.TB, change func(*broker.Config)) *running {
	t.Helper()
	return startWith(t, change, nil)
}

func startWith(t testing.TB, change func(*broker.Config), before func(*broker.Broker)) *running {
	t.Helper()
	cfg := broker.DefaultConfig()
	cfg.Listen = "127.0.0.1:0"
	cfg.Registry = prometheus.NewRegistry()
	log := &logBuffer{}
	cfg.Logger = slog.New(slog.NewTextHandler(log, nil))
	if change != nil {
		change(&cfg)
	}
	b, err := broker.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	if before != nil {
		before(b)
	}
	if err := b.Listen(); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- b.Run(ctx) }()
	stop := sync.OnceFunc(func() {
		cancel()
		select {
		case err := <-done:
			if err != nil {
				t.Errorf("run: %v", err)
			}
		case <-time.After(patience):
			t.Error("the broker does not stop")
		}
	})
	t.Cleanup(stop)
	return &running{Broker: b, t: t, reg: cfg.Registry, log: log, stop: stop}
}

// metric returns the sum of a metric whose labels all appear in the given text.
func (r *running) metric(name string, labels ...string) float64 {
	r.t.Helper()
	families, err := r.reg.Gather()
	if err != nil {
		r.t.Fatal(err)
	}
	var sum float64
	for _, f := range families {
		if f.GetName() != "andon_broker_"+name {
			continue
		}
		for _, m := range f.GetMetric() {
			if len(labels) > 0 && !strings.Contains(m.String(), labels[0]) {
				continue
			}
			sum += m.GetCounter().GetValue() + m.GetGauge().GetValue()
		}
	}
	return sum
}

// eventually waits until f is true.
func eventually(t testing.TB, what string, f func() bool) {
	t.Helper()
	deadline := time.Now().Add(patience)
	for !f() {
		if time.Now().After(deadline) {
			t.Fatalf("not within %v: %s", patience, what)
		}
		time.Sleep(5 * time.Millisecond)
	}
}

type logBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *logBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *logBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

// client connects a real MQTT 3.1.1 client.
func (r *running) client(id string, change func(*paho.ClientOptions)) paho.Client {
	r.t.Helper()
	o := paho.NewClientOptions().AddBroker("tcp://" + r.Addr()).SetClientID(id).
		SetAutoReconnect(false).SetConnectRetry(false).SetCleanSession(true).
		SetProtocolVersion(4).SetKeepAlive(10 * time.Second).SetConnectTimeout(patience).SetOrderMatters(false)
	if change != nil {
		change(o)
	}
	c := paho.NewClient(o)
	if token := c.Connect(); !token.WaitTimeout(patience) || token.Error() != nil {
		r.t.Fatalf("connect %s: %v", id, token.Error())
	}
	r.t.Cleanup(func() { c.Disconnect(0) })
	return c
}

func wait(t testing.TB, token paho.Token) {
	t.Helper()
	if !token.WaitTimeout(patience) {
		t.Fatalf("no answer within %v", patience)
	}
	if token.Error() != nil {
		t.Fatal(token.Error())
	}
}

// next takes the next thing from a channel.
func next[T any](t testing.TB, c <-chan T) T {
	t.Helper()
	select {
	case v := <-c:
		return v
	case <-time.After(patience):
		t.Fatalf("nothing came within %v", patience)
		panic("unreachable")
	}
}

// raw is a client that speaks bytes.
type raw struct {
	net.Conn
	t testing.TB
	r *bufio.Reader
}

func (r *running) dial() *raw { return r.dialFrom("127.0.0.1") }

// dialFrom connects from an address of this machine.
func (r *running) dialFrom(ip string) *raw {
	r.t.Helper()
	d := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(ip)}}
	c, err := d.Dial("tcp", r.Addr())
	if err != nil {
		r.t.Fatal(err)
	}
	r.t.Cleanup(func() { _ = c.Close() })
	return &raw{c, r.t, bufio.NewReader(c)}
}

func (c *raw) send(packets ...[]byte) {
	c.t.Helper()
	for _, p := range packets {
		if _, err := c.Write(p); err != nil {
			c.t.Fatal(err)
		}
	}
}

// receive reads one packet.
func (c *raw) receive() (kind byte, body []byte, err error) {
	if err := c.SetReadDeadline(time.Now().Add(patience)); err != nil {
		return 0, nil, err
	}
	kind, err = c.r.ReadByte()
	if err != nil {
		return 0, nil, err
	}
	n, err := binary.ReadUvarint(c.r)
	if err != nil {
		return 0, nil, err
	}
	body = make([]byte, n)
	_, err = io.ReadFull(c.r, body)
	return kind, body, err
}

func (c *raw) expect(kind byte) []byte {
	c.t.Helper()
	got, body, err := c.receive()
	if err != nil || got != kind {
		c.t.Fatalf("got packet %#x, %v; want %#x", got, err, kind)
	}
	return body
}

// ended waits for the broker to close the connection.
func (c *raw) ended() {
	c.t.Helper()
	for {
		if _, _, err := c.receive(); err != nil {
			if errors.Is(err, os.ErrDeadlineExceeded) {
				c.t.Fatal("the connection is still open")
			}
			return
		}
	}
}

// packet frames a body.
func packet(kind byte, body ...[]byte) []byte {
	all := bytes.Join(body, nil)
	return append(binary.AppendUvarint([]byte{kind}, uint64(len(all))), all...)
}

func text(s string) []byte { return append(binary.BigEndian.AppendUint16(nil, uint16(len(s))), s...) }

// connect makes a CONNECT: version 4 or 5, with an optional will.
func connect(version byte, id string, keepalive uint16, willTopic string) []byte {
	flags := byte(0x02)
	var properties, will []byte
	if version == 5 {
		properties = []byte{0}
	}
	if willTopic != "" {
		flags |= 0x04 | 0x08 // QoS 1
		will = bytes.Join([][]byte{properties, text(willTopic), text("gone")}, nil)
	}
	return packet(0x10, text("MQTT"), []byte{version, flags}, binary.BigEndian.AppendUint16(nil, keepalive),
		properties, text(id), will)
}

func publish(topic string, payload []byte) []byte { return packet(0x30, text(topic), payload) }

// subscribe makes a SUBSCRIBE of one filter.
func subscribe(version byte, filter string, qos byte) []byte {
	var properties []byte
	if version == 5 {
		properties = []byte{0}
	}
	return packet(0x82, []byte{0, 1}, properties, text(filter), []byte{qos})
}

// session connects a raw client.
func (r *running) session(version byte, id string) *raw {
	r.t.Helper()
	return r.dial().join(version, id)
}

// join begins a session.
func (c *raw) join(version byte, id string) *raw {
	c.t.Helper()
	c.send(connect(version, id, 30, ""))
	if ack := c.expect(0x20); ack[1] != 0 {
		c.t.Fatalf("connect refused with %#x", ack[1])
	}
	return c
}
