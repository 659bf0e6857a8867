package link_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/url"
	"testing"
	"time"

	"go.uber.org/goleak"

	"andon.internal/agent/uplink/internal/link"
	"andon.internal/shared/freeport"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// patience is how long a test waits for what must happen: less than the times it sets so
// that they do not tell.
const patience = 30 * time.Second

// short is a time after which something is given up.
const short = 300 * time.Millisecond

func options(addr string) link.Options {
	return link.Options{
		URL: &url.URL{Scheme: "tcp", Host: addr}, ClientID: "test", WillTopic: "will", WillPayload: []byte("w"),
		Subscribe: []string{"a"}, KeepAlive: 10 * time.Second, PingTimeout: 5 * time.Second,
		ConnectTimeout: time.Minute, WriteTimeout: time.Minute, Inbox: 4,
	}
}

// hang keeps a connection open, and neither reads nor writes, until the test ends.
func hang(_ net.Conn, end <-chan struct{}) { <-end }

// peer is a broker that answers the first packets with the given bytes and then
// hands the connection to last.
func peer(t *testing.T, answers [][]byte, last func(c net.Conn, end <-chan struct{})) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	done, end := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(done)
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			r := bufio.NewReader(c)
			for _, a := range answers {
				if readPacket(r) != nil {
					break
				}
				_, _ = c.Write(a)
			}
			if last != nil {
				last(c, end)
			}
			c.Close()
		}
	}()
	t.Cleanup(func() { l.Close(); close(end); <-done })
	return l.Addr().String()
}

// readPacket passes over one short MQTT packet.
func readPacket(r *bufio.Reader) error {
	if _, err := r.ReadByte(); err != nil {
		return err
	}
	n, err := r.ReadByte()
	if err != nil {
		return err
	}
	_, err = io.CopyN(io.Discard, r, int64(n))
	return err
}

var (
	connack = []byte{0x20, 2, 0, 0}
	suback  = []byte{0x90, 3, 0, 1, 1}
)

func TestDialErrors(t *testing.T) {
	closed := func() string {
		port, err := freeport.Take()
		if err != nil {
			t.Fatal(err)
		}
		return fmt.Sprintf("127.0.0.1:%d", port)
	}
	tests := []struct {
		name    string
		addr    string
		refused bool
		silent  bool // it ends by its time
	}{
		{"nobody listens", closed(), false, false},
		{"no CONNACK", peer(t, nil, hang), false, true},
		{"CONNACK says no", peer(t, [][]byte{{0x20, 2, 0, 5}}, nil), false, false},
		{"no SUBACK", peer(t, [][]byte{connack}, hang), false, true},
		{"SUBACK says no", peer(t, [][]byte{connack, {0x90, 3, 0, 1, 0x80}}, hang), true, false},
		{"SUBACK says too little", peer(t, [][]byte{connack, {0x90, 2, 0, 1}}, hang), true, false},
		{"closed after CONNACK", peer(t, [][]byte{connack}, nil), false, false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			o := options(tt.addr)
			if tt.silent {
				o.ConnectTimeout = short
			}
			begin := time.Now()
			l, err := link.Dial(context.Background(), o)
			if err == nil {
				l.Drop()
				t.Fatal("Dial returned no error")
			}
			if errors.Is(err, link.ErrRefused) != tt.refused {
				t.Errorf("error %v, want refused: %v", err, tt.refused)
			}
			if d := time.Since(begin); d > patience {
				t.Errorf("it took %v", d)
			}
		})
	}
}

func TestDialEndsWithContext(t *testing.T) {
	addr := peer(t, nil, hang)
	o := options(addr)
	o.ConnectTimeout = time.Minute
	ctx, cancel := context.WithTimeout(context.Background(), 50*time.Millisecond)
	defer cancel()
	begin := time.Now()
	if _, err := link.Dial(ctx, o); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("error %v, want that of the context", err)
	}
	if d := time.Since(begin); d > patience {
		t.Errorf("it took %v", d)
	}
}

// TestPeerThatStopsReading: the connection is given up after the write timeout, and
// nothing blocks meanwhile.
func TestPeerThatStopsReading(t *testing.T) {
	o := options(peer(t, [][]byte{connack, suback}, hang))
	o.WriteTimeout = short
	l, err := link.Dial(context.Background(), o)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Drop()
	big := make([]byte, 8<<20)
	begin := time.Now()
	for {
		select {
		case p := <-l.Free():
			p.Topic, p.Payload = "t", big
			l.Send(p)
			continue
		case <-l.Lost():
		case <-time.After(patience):
			t.Fatal("a stalled connection is not given up")
		}
		break
	}
	if d := time.Since(begin); d > patience || l.Err() == nil {
		t.Errorf("given up after %v with error %v", d, l.Err())
	}
}

// TestForgottenPacket: a packet that the library takes and never completes does not keep
// the connection from ending.
func TestForgottenPacket(t *testing.T) {
	for name, end := range map[string]func(*link.Link){
		"drop":  (*link.Link).Drop,
		"close": func(l *link.Link) { l.Close("t", []byte("farewell"), 100*time.Millisecond) },
	} {
		t.Run(name, func(t *testing.T) {
			l, err := link.Dial(context.Background(), options(peer(t, [][]byte{connack, suback}, hang)))
			if err != nil {
				t.Fatal(err)
			}
			l.Forget()
			for range 2 {
				p := <-l.Free()
				p.Topic, p.Payload = "t", []byte("p")
				l.Send(p)
			}
			done := make(chan struct{})
			go func() {
				defer close(done)
				end(l)
			}()
			select {
			case <-done:
			case <-time.After(patience):
				t.Fatal("it waits for what never comes")
			}
		})
	}
}

func TestCloseIsBounded(t *testing.T) {
	o := options(peer(t, [][]byte{connack, suback}, hang))
	o.WriteTimeout = time.Minute
	l, err := link.Dial(context.Background(), o)
	if err != nil {
		t.Fatal(err)
	}
	for range 3 {
		p := <-l.Free()
		p.Topic, p.Payload = "t", make([]byte, 8<<20)
		l.Send(p)
	}
	begin := time.Now()
	l.Close("death", []byte("d"), 200*time.Millisecond)
	if d := time.Since(begin); d > patience {
		t.Errorf("Close took %v", d)
	}
	l.Drop() // again: nothing happens
}

func TestFullInboxDropsAndCounts(t *testing.T) {
	message := []byte{0x30, 4, 0, 1, 'a', 'x'}
	addr := peer(t, [][]byte{connack, suback}, func(c net.Conn, _ <-chan struct{}) {
		for range 10 {
			_, _ = c.Write(message)
		}
		_, _ = io.Copy(io.Discard, c)
	})
	l, err := link.Dial(context.Background(), options(addr))
	if err != nil {
		t.Fatal(err)
	}
	defer l.Drop()
	for end := time.Now().Add(patience); l.Ignored() < 6; time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("%d messages dropped, want 6 of 10 with room for 4", l.Ignored())
		}
	}
	for range 4 {
		if m := <-l.Inbox(); m.Topic != "a" || string(m.Payload) != "x" {
			t.Errorf("message %+v", m)
		}
	}
}
