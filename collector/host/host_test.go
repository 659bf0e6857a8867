package host_test

import (
	"context"
	"errors"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"andon.internal/collector/host"
	"andon.internal/collector/internal/edgetest"
	"andon.internal/shared/sparkplug"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const stateTopic = "spBv1.0/STATE/plant"

// patience is how long a test waits for what must come.
const patience = 30 * time.Second

// rig is a host at work that keeps what it receives.
type rig struct {
	t    *testing.T
	host *host.Host

	cancel context.CancelFunc // begins to stop it
	stop   func()             // and waits for the end

	mu       sync.Mutex
	messages []host.Message
	connects int
}

func newRig(t *testing.T, url, hostID string, change ...func(*host.Host)) *rig {
	t.Helper()
	r := &rig{t: t}
	var err error
	r.host, err = host.New(host.Config{
		URL: url, HostID: hostID, Filters: host.Filters(),
		Receive: func(m host.Message) {
			r.mu.Lock()
			defer r.mu.Unlock()
			r.messages = append(r.messages, m)
		},
		Connected: func() {
			r.mu.Lock()
			defer r.mu.Unlock()
			r.connects++
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	for _, fn := range change {
		fn(r.host)
	}
	var ctx context.Context
	ctx, r.cancel = context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- r.host.Run(ctx) }()
	r.stop = sync.OnceFunc(func() {
		r.cancel()
		select {
		case err := <-ended:
			if err != nil {
				t.Errorf("run: %v", err)
			}
		case <-time.After(patience):
			t.Error("host does not stop")
		}
	})
	t.Cleanup(r.stop)
	return r
}

func (r *rig) received() []host.Message {
	r.mu.Lock()
	defer r.mu.Unlock()
	return append([]host.Message(nil), r.messages...)
}

func until(t *testing.T, what string, ok func() bool) {
	t.Helper()
	limit := time.After(patience)
	for !ok() {
		select {
		case <-time.After(5 * time.Millisecond):
		case <-limit:
			t.Fatalf("waited in vain for %s", what)
		}
	}
}

// connections is how often the host connected.
func (r *rig) connections() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.connects
}

func (r *rig) up() bool { return r.host.Connected() == nil }

func online(b *edgetest.Broker) bool {
	text, _ := b.Retained(stateTopic)
	s, err := sparkplug.ParseState([]byte(text))
	return err == nil && s.Online
}

func TestReceivesInOrderAndPublishes(t *testing.T) {
	b := edgetest.StartBroker(t)
	r := newRig(t, b.URL(), "")
	until(t, "connection", r.up)
	n := edgetest.NewNode("line1", "cell")
	c := edgetest.Dial(t, b.URL(), n)
	c.Send(n.Birth(), n.UnitBirth("u", 1, false))
	for range 500 {
		c.Send(n.Heartbeat(sparkplug.Heartbeat{}))
	}
	c.Send(n.Death())
	until(t, "all messages", func() bool { return len(r.received()) == 503 })
	list := r.received()
	if !strings.Contains(list[0].Topic, "NBIRTH") || !strings.Contains(list[1].Topic, "DBIRTH") || !strings.Contains(list[502].Topic, "NDEATH") {
		t.Errorf("order is %s, %s ... %s", list[0].Topic, list[1].Topic, list[502].Topic)
	}
	if err := r.host.Publish("spBv1.0/line1/NCMD/cell", sparkplug.AppendRebirth(nil, 1)); err != nil {
		t.Error(err)
	}
	c.WaitRebirth(0)
}

func TestConnectsAgain(t *testing.T) {
	b := edgetest.StartBroker(t)
	b.Stop()
	r := newRig(t, b.URL(), "")
	if err := r.host.Publish("t", nil); !errors.Is(err, host.ErrOffline) {
		t.Errorf("publish without a connection: %v", err)
	}
	for range 3 {
		b.Start()
		until(t, "connection", r.up)
		b.Stop()
		until(t, "notice of the loss", func() bool { return !r.up() })
	}
	if n := r.connections(); n < 3 {
		t.Errorf("%d connections, want 3", n)
	}
}

// TestABrokerThatForgetsWhatIsSubscribed: the connection is well, and nothing comes by it. The
// host finds out by what it says itself; in a plant where nobody says anything it stays.
func TestABrokerThatForgetsWhatIsSubscribed(t *testing.T) {
	b := edgetest.StartBroker(t)
	r := newRig(t, b.URL(), "plant", func(h *host.Host) { h.SetQuiet(time.Second) })
	r.host.Announce(true)
	until(t, "STATE online", func() bool { return online(b) })
	time.Sleep(3 * time.Second) // that it stays can only be waited for
	if n := r.connections(); n != 1 {
		t.Errorf("%d connections to a quiet broker", n)
	}
	before := r.connections()
	b.Forget("andon-host-")
	until(t, "another connection", func() bool { return r.connections() > before })
	until(t, "its subscriptions", r.up)
	n := edgetest.NewNode("line1", "cell")
	edgetest.Dial(t, b.URL(), n).Send(n.Birth())
	until(t, "the birth", func() bool { return len(r.received()) >= 1 })
}

// TestARefusalOfAnyCode: a broker may answer a SUBSCRIBE with a code that MQTT 3.1.1 does not
// know, here because its id is that of a message on its way. The host does not take that for
// granted: it would hear its own STATE, and never a cell.
func TestARefusalOfAnyCode(t *testing.T) {
	b := edgetest.StartBroker(t)
	b.AnswerLate(300 * time.Millisecond)
	r := newRig(t, b.URL(), "plant")
	r.host.Announce(true)
	until(t, "another connection", func() bool {
		b.Publish(stateTopic, string(sparkplug.State{Online: true, Timestamp: 1}.Append(nil)), false)
		time.Sleep(20 * time.Millisecond)
		return r.connections() > 1
	})
	b.AnswerLate(0)
	until(t, "connection", r.up)
	n := edgetest.NewNode("line1", "cell")
	edgetest.Dial(t, b.URL(), n).Send(n.Birth())
	until(t, "the birth", func() bool { return len(r.received()) >= 1 })
}

// TestHalfOpenBroker: a broker that takes the connection and says nothing holds up
// neither the next attempt nor the stop.
func TestHalfOpenBroker(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	accepted := make(chan net.Conn, 16)
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				close(accepted)
				return
			}
			accepted <- c
		}
	}()
	r := newRig(t, "tcp://"+l.Addr().String(), "")
	first := <-accepted
	defer first.Close()
	select {
	case c := <-accepted:
		c.Close()
	case <-time.After(patience):
		t.Error("no second attempt")
	}
	if r.up() {
		t.Error("counts as connected")
	}
	r.stop()
}

func TestPresenceIsOfTheConnection(t *testing.T) {
	b := edgetest.StartBroker(t)
	r := newRig(t, b.URL(), "plant")
	other := newRig(t, b.URL(), "") // need not know
	until(t, "the other's connection", other.up)
	other.stop()
	if n := r.connections(); n != 0 {
		t.Error("connects before it knows whether it is active")
	}
	r.host.Announce(false)
	until(t, "connection", r.up)
	if _, ok := b.Retained(stateTopic); ok {
		t.Error("a standby publishes STATE")
	}
	r.host.Announce(true)
	until(t, "STATE online", func() bool { return online(b) })
	r.host.Announce(true) // changes nothing
	r.host.Announce(false)
	until(t, "STATE offline", func() bool { return !online(b) })
	until(t, "connection", r.up)
	if n := r.connections(); n != 3 {
		t.Errorf("%d connections, want 3", n)
	}
	for _, p := range b.Packets("") {
		if p.Kind == "CONNECT" && p.Will != nil && p.Will.Topic != stateTopic {
			t.Errorf("will on %s", p.Will.Topic)
		}
	}
}

// TestStateNewerThanOurs: a STATE offline from a clock ahead of ours is outdone once.
func TestStateNewerThanOurs(t *testing.T) {
	for _, retained := range []bool{false, true} {
		b := edgetest.StartBroker(t)
		future := time.Now().Add(time.Hour).UnixMilli()
		wrong := string(sparkplug.State{Timestamp: future}.Append(nil))
		if retained {
			b.Publish(stateTopic, wrong, true)
		}
		r := newRig(t, b.URL(), "plant")
		r.host.Announce(true)
		if !retained {
			until(t, "STATE online", func() bool { return online(b) })
			b.Publish(stateTopic, wrong, true)
		}
		until(t, "STATE newer than the wrong one", func() bool {
			text, _ := b.Retained(stateTopic)
			s, err := sparkplug.ParseState([]byte(text))
			return err == nil && s.Online && s.Timestamp > future
		})
		until(t, "connection", r.up)
		if n := r.connections(); n != 2 {
			t.Errorf("retained %v: %d connections, want 2", retained, n)
		}
		r.stop()
	}
}

func TestNewChecks(t *testing.T) {
	receive := func(host.Message) {}
	for _, c := range []host.Config{
		{URL: "tcp://", Filters: host.Filters(), Receive: receive},
		{URL: "http://localhost:1883", Filters: host.Filters(), Receive: receive},
		{URL: "tcp://user:secret@localhost:1883", Filters: host.Filters(), Receive: receive},
		{URL: "localhost:1883", Filters: host.Filters(), Receive: receive},
		{URL: "tcp://localhost", Filters: host.Filters()},
		{URL: "tcp://localhost", Receive: receive},
	} {
		if _, err := host.New(c); err == nil {
			t.Errorf("%+v is no error", c)
		}
	}
	for _, url := range []string{"tcp://localhost", "tcp://[::1]:1884", "mqtt://broker.plant:1883"} {
		if err := host.CheckURL(url, false); err != nil {
			t.Error(err)
		}
	}
}

func TestTry(t *testing.T) {
	b := edgetest.StartBroker(t)
	if err := host.Try(t.Context(), b.URL(), nil); err != nil {
		t.Error(err)
	}
	b.Stop()
	if err := host.Try(t.Context(), b.URL(), nil); err == nil {
		t.Error("no broker is no error")
	}
}
