package intake_test

import (
	"context"
	"strings"
	"testing"
	"time"

	"andon.internal/collector/host"
	"andon.internal/collector/intake"
	"andon.internal/collector/internal/edgetest"
	"andon.internal/collector/session"
	"andon.internal/shared/sparkplug"
)

// What Sparkplug 3.0 demands of a host application, on a real broker and with a
// ledger in memory.

const stateTopic = "spBv1.0/STATE/plant"

// hosted is an intake on a broker.
type hosted struct {
	t      *testing.T
	broker *edgetest.Broker
	intake *intake.Intake
	plant  *plant
	stop   func()
}

func newHosted(t *testing.T) *hosted {
	t.Helper()
	h := &hosted{t: t, broker: edgetest.StartBroker(t), plant: newPlant(t)}
	link, err := host.New(host.Config{
		URL: h.broker.URL(), HostID: "plant", Filters: host.Filters(),
		Receive:   func(m host.Message) { h.intake.Receive(m.Topic, m.Payload, m.Retained, m.Received) },
		Connected: func() { h.intake.Connected() },
	})
	if err != nil {
		t.Fatal(err)
	}
	if h.intake, err = intake.New(intake.Config{}, link, h.plant); err != nil {
		t.Fatal(err)
	}
	connected, disconnect := context.WithCancel(context.Background())
	running, end := context.WithCancel(context.Background())
	ended := make(chan error, 2)
	go func() { ended <- link.Run(connected) }()
	go func() {
		defer disconnect()
		ended <- h.intake.Run(running)
	}()
	stopped := false
	h.stop = func() {
		if stopped {
			return
		}
		stopped = true
		end()
		for range 2 {
			if err := <-ended; err != nil {
				t.Error(err)
			}
		}
	}
	t.Cleanup(h.stop)
	h.until("STATE online", func() bool { return h.state() })
	return h
}

// state reports whether the retained STATE says online.
func (h *hosted) state() bool {
	text, _ := h.broker.Retained(stateTopic)
	s, err := sparkplug.ParseState([]byte(text))
	return err == nil && s.Online
}

func (h *hosted) until(what string, ok func() bool) {
	h.t.Helper()
	limit := time.After(20 * time.Second)
	for !ok() {
		select {
		case <-time.After(10 * time.Millisecond):
		case <-limit:
			h.t.Fatalf("waited in vain for %s", what)
		}
	}
}

// packets is what the host has sent.
func (h *hosted) packets() []edgetest.Packet { return h.broker.Packets("andon-host-") }

// states is what the host has published about itself.
func (h *hosted) states() (list []sparkplug.State) {
	h.t.Helper()
	for _, p := range h.packets() {
		if p.Kind != "PUBLISH" || p.Topic != stateTopic {
			continue
		}
		s, err := sparkplug.ParseState(p.Payload)
		if err != nil {
			h.t.Fatal(err)
		}
		if p.QoS != 1 || !p.Retain {
			h.t.Errorf("STATE is published with QoS %d, retained %v", p.QoS, p.Retain)
		}
		list = append(list, s)
	}
	return list
}

func (h *hosted) node(id string) (n session.Node) {
	for _, n := range h.intake.Nodes() {
		if n.ID.ID == id {
			return n
		}
	}
	return n
}

func TestSparkplugHostConnect(t *testing.T) {
	began := time.Now().UnixMilli()
	h := newHosted(t)
	c := h.packets()[0]
	if c.Kind != "CONNECT" || c.Version != 4 || !c.Clean {
		t.Errorf("%s of version %d, clean %v, want MQTT 3.1.1 and a clean session", c.Kind, c.Version, c.Clean)
	}
	if c.Will == nil || c.Will.Topic != stateTopic || c.Will.QoS != 1 || !c.Will.Retain {
		t.Fatalf("will is %+v", c.Will)
	}
	s, err := sparkplug.ParseState(c.Will.Payload)
	if err != nil || s.Online || s.Timestamp < began || s.Timestamp > time.Now().UnixMilli() {
		t.Errorf("will says %s", c.Will.Payload)
	}
}

func TestSparkplugHostBirth(t *testing.T) {
	h := newHosted(t)
	n := edgetest.NewNode(group, "cell") // which the host has something to say to
	c := edgetest.Dial(t, h.broker.URL(), n)
	c.Send(n.Birth(), n.UnitBirth(unit, 1, false), n.Data(n.Reading(unit, 1, time.Now().UnixNano(), 0, 1)))
	c.WaitAcked(1)
	h.broker.AnswerLate(700 * time.Millisecond) // longer than it is silent, with two SUBSCRIBEs
	h.broker.Drop("andon-host-")
	h.until("a second session", func() bool { return len(h.states()) >= 2 })
	h.until("an acknowledgement in it", func() bool {
		list := h.packets()
		return strings.Contains(list[len(list)-1].Topic, "/NCMD/")
	})
	sessions, subscribed, published := 0, 0, 0
	var will sparkplug.State
	for _, p := range h.packets() {
		switch p.Kind {
		case "CONNECT":
			sessions, subscribed, published = sessions+1, 0, 0
			will, _ = sparkplug.ParseState(p.Will.Payload)
		case "SUBSCRIBE":
			if subscribed++; subscribed == 1 && p.Topic != stateTopic {
				t.Errorf("subscribes %s first", p.Topic)
			}
			if subscribed == 2 && len(strings.Fields(p.Topic)) != len(host.Filters()) {
				t.Errorf("subscribes %s", p.Topic)
			}
		case "PUBLISH":
			if published++; published > 1 {
				continue
			}
			s, err := sparkplug.ParseState(p.Payload)
			if err != nil || p.Topic != stateTopic || !s.Online || s.Timestamp != will.Timestamp || p.QoS != 1 || !p.Retain {
				t.Errorf("first publish is %s %s, QoS %d, retained %v; the will's time is %d", p.Topic, p.Payload, p.QoS, p.Retain, will.Timestamp)
			}
			if subscribed != 2 {
				t.Errorf("STATE is published behind %d SUBSCRIBEs", subscribed)
			}
		}
	}
	if sessions != 2 {
		t.Errorf("%d sessions", sessions)
	}
}

func TestSparkplugHostRepublishesState(t *testing.T) {
	h := newHosted(t)
	first := h.states()
	if len(first) != 1 {
		t.Fatalf("states: %v", first)
	}
	h.broker.Publish(stateTopic, string(sparkplug.State{Timestamp: first[0].Timestamp}.Append(nil)), true)
	h.until("online again", func() bool { return len(h.states()) == 2 && h.state() })
	if again := h.states()[1]; again != first[0] {
		t.Errorf("says %+v, want %+v again", again, first[0])
	}
	time.Sleep(300 * time.Millisecond) // that it does not go on can only be waited for
	if n := len(h.states()); n != 2 {
		t.Errorf("%d states: a loop", n)
	}
}

func TestSparkplugHostDisconnect(t *testing.T) {
	h := newHosted(t)
	began := time.Now().UnixMilli()
	h.stop()
	h.until("DISCONNECT", func() bool { list := h.packets(); return list[len(list)-1].Kind == "DISCONNECT" })
	list := h.packets()
	p := list[len(list)-2]
	s, err := sparkplug.ParseState(p.Payload)
	if err != nil || p.Kind != "PUBLISH" || p.Topic != stateTopic || p.QoS != 1 || !p.Retain || s.Online || s.Timestamp < began {
		t.Errorf("last before DISCONNECT is %s %s %s", p.Kind, p.Topic, p.Payload)
	}
	if h.state() {
		t.Error("STATE is still online")
	}
}

func TestSparkplugHostNodeDeath(t *testing.T) {
	h := newHosted(t)
	n := edgetest.NewNode(group, "cell")
	c := edgetest.Dial(t, h.broker.URL(), n)
	old := n.Death()
	n.Connect()
	c.Send(n.Birth(), n.UnitBirth("a", 1, false), n.UnitBirth("b", 1, false), old)
	h.until("birth and an old death", func() bool { return h.node("cell").Messages == 4 })
	if got := h.node("cell"); !got.Alive || got.Units != 2 {
		t.Errorf("behind an NDEATH of an old bdSeq: %+v", got)
	}
	before := time.Now()
	c.Send(n.Death())
	h.until("death", func() bool { return !h.node("cell").Alive })
	if got := h.node("cell"); got.Units != 0 || got.Heard.Before(before) {
		t.Errorf("behind its death: %+v", got)
	}
}

func TestSparkplugHostUnitDeath(t *testing.T) {
	h := newHosted(t)
	n := edgetest.NewNode(group, "cell")
	c := edgetest.Dial(t, h.broker.URL(), n)
	c.Send(n.Birth(), n.UnitBirth("a", 1, false), n.UnitBirth("b", 1, false), n.UnitDeath("a"))
	h.until("death of a unit", func() bool { return h.node("cell").Messages == 4 })
	if got := h.node("cell"); !got.Alive || got.Units != 1 {
		t.Errorf("behind the death of one of two units: %+v", got)
	}
	c.Send(n.Data(n.Reading("b", 1, time.Now().UnixNano(), 0, 1)))
	c.WaitAcked(1)
}

func TestSparkplugHostCommands(t *testing.T) {
	h := newHosted(t)
	n := edgetest.NewNode(group, "cell")
	c := edgetest.Dial(t, h.broker.URL(), n) // which checks that commands carry no seq
	n.Birth()
	n.UnitBirth(unit, 1, false)
	data := func(n *edgetest.Node) edgetest.Message {
		return n.Data(n.Reading(unit, 1, time.Now().UnixNano(), n.Next, 1))
	}
	c.Send(data(n)) // of a node that is not known
	c.WaitRebirth(0)
	c.Send(n.Birth(), n.UnitBirth(unit, 1, false), data(n))
	c.WaitAcked(0)
	c.Until("acknowledgement", func() bool { return c.Acked().Contains(1) })
	asked := c.Rebirths()
	n.Profile = edgetest.Dyno()
	n.Profile.Signals = n.Profile.Signals[:3]
	h.until("a Rebirth for a stale fingerprint", func() bool { // asked at most once a second
		c.Send(data(n))
		return c.Rebirths() > asked
	})
	// A node that is not ours and whose birth was missed is asked as any other.
	foreign := edgetest.Dial(t, h.broker.URL(), edgetest.NewNode(group, "pump"))
	p := sparkplug.Payload{Timestamp: 1, HasTimestamp: true, HasSeq: true, Metrics: []sparkplug.Metric{
		{Name: "Speed", DataType: sparkplug.Double, Value: sparkplug.DoubleValue(1)},
	}}
	foreign.Send(edgetest.Message{Topic: "spBv1.0/line1/DDATA/pump/motor", Payload: p.Append(nil)})
	foreign.WaitRebirth(0)

	for _, p := range h.packets() {
		if p.Kind != "PUBLISH" || p.Topic == stateTopic {
			continue
		}
		if p.Topic != "spBv1.0/line1/NCMD/cell" && p.Topic != "spBv1.0/line1/NCMD/pump" {
			t.Errorf("published to %s", p.Topic)
		}
		if p.QoS != 0 || p.Retain {
			t.Errorf("command with QoS %d, retained %v", p.QoS, p.Retain)
		}
		payload, err := sparkplug.Decode(p.Payload, sparkplug.Limits{})
		if err != nil {
			t.Fatal(err)
		}
		if payload.HasSeq || !payload.HasTimestamp || len(payload.Metrics) != 1 {
			t.Errorf("command is %+v", payload)
			continue
		}
		if name := payload.Metrics[0].Name; name != sparkplug.MetricRebirth && name != sparkplug.MetricAck {
			t.Errorf("command %s is no metric of an NBIRTH", name)
		}
	}
}
