package uplink_test

import (
	"strings"
	"testing"
	"time"

	"github.com/mochi-mqtt/server/v2/packets"

	"andon.internal/agent/state"
	"andon.internal/shared/sparkplug"
)

// The tests of this file and of sparkplugbirth_test.go cover the statements of the Sparkplug 3.0 specification
// about an edge node: docs/sparkplug.md names them.

func TestSparkplugConnect(t *testing.T) {
	b, plant, p, cell := plant(t)
	cell.start()
	plant.has("a birth", isBirth)
	p.cut()
	plant.has("a second birth", func(s *seen) bool { return s.birth != nil && s.birth.Session >= 2 })
	for _, pk := range b.hook.cellConnects() {
		c := pk.Connect
		if pk.ProtocolVersion != 4 || string(c.ProtocolName) != "MQTT" || !c.Clean {
			t.Errorf("CONNECT of %s version %d, clean %v: want MQTT 3.1.1 and a clean session", c.ProtocolName, pk.ProtocolVersion, c.Clean)
		}
		if !c.WillFlag || c.WillTopic != "spBv1.0/line1/NDEATH/cell-07" || c.WillQos != 1 || c.WillRetain {
			t.Errorf("will %v on %s with QoS %d, retained %v", c.WillFlag, c.WillTopic, c.WillQos, c.WillRetain)
		}
		will, err := sparkplug.Decode(c.WillPayload, sparkplug.Limits{})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := sparkplug.ParseNodeDeath(will); err != nil || will.HasSeq || len(will.Metrics) != 1 || !will.HasTimestamp {
			t.Errorf("will has %d metrics, seq %v (%v): want bdSeq alone, and no seq", len(will.Metrics), will.HasSeq, err)
		}
	}
	eventually(t, "one connection at a time", func() bool {
		n := 0
		for _, cl := range b.server.Clients.GetAll() {
			if strings.HasPrefix(cl.ID, sparkplug.ClientPrefix(group, node)) && !cl.Closed() {
				n++
			}
		}
		return n == 1
	})
}

func TestSparkplugBdSeq(t *testing.T) {
	b, plant, p, cell := plant(t)
	path := t.TempDir() + "/state.db"
	st, err := state.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { cell.stop(); st.Close() })
	cell.sessions = st
	// Failed attempts count too: the broker accepts, and refuses the subscription.
	b.hook.setRefuse("spBv1.0/line1/NCMD/cell-07")
	cell.start()
	eventually(t, "three attempts", func() bool { return len(b.hook.cellConnects()) >= 3 })
	b.hook.setRefuse("")
	plant.has("a birth", isBirth)
	p.cut()
	eventually(t, "another session", func() bool { return plant.count(isBirth) >= 2 })
	cell.stop()
	if err := st.Close(); err != nil { // the process ends and comes back
		t.Fatal(err)
	}
	if st, err = state.Open(path); err != nil {
		t.Fatal(err)
	}
	cell.sessions = st
	cell.reopen()
	births := plant.count(isBirth)
	cell.start()
	eventually(t, "a session after the restart", func() bool { return plant.count(isBirth) > births })
	for i, pk := range b.hook.cellConnects() {
		if got := willBdSeq(t, pk); got != i {
			t.Errorf("CONNECT %d has bdSeq %d, want %d", i, got, i)
		}
	}
}

// willBdSeq returns the bdSeq of the will in a CONNECT.
func willBdSeq(t *testing.T, pk packets.Packet) int {
	t.Helper()
	will, err := sparkplug.Decode(pk.Connect.WillPayload, sparkplug.Limits{})
	if err != nil {
		t.Fatal(err)
	}
	n, err := sparkplug.ParseNodeDeath(will)
	if err != nil {
		t.Fatal(err)
	}
	return int(n)
}

func TestSparkplugBdSeqWraps(t *testing.T) {
	b, plant, p, cell := plant(t)
	cell.count.n = 254
	cell.start()
	eventually(t, "the session with bdSeq 254", func() bool {
		return plant.count(func(s *seen) bool { return s.birth != nil && s.birth.BdSeq == 254 }) > 0
	})
	p.cut()
	eventually(t, "the session with bdSeq 255", func() bool {
		return plant.count(func(s *seen) bool { return s.birth != nil && s.birth.BdSeq == 255 }) > 0
	})
	p.cut()
	eventually(t, "a session with bdSeq 0", func() bool {
		return plant.count(func(s *seen) bool { return s.birth != nil && s.birth.Session == 257 }) > 0
	})
	for i, pk := range b.hook.cellConnects() {
		if got, want := willBdSeq(t, pk), (254+i)%256; got != want {
			t.Errorf("CONNECT %d has bdSeq %d, want %d", i, got, want)
		}
	}
}

func TestSparkplugSubscribesBeforeBirth(t *testing.T) {
	b, plant, _, cell := plant(t)
	cell.cfg.PrimaryHost = "andon"
	plant.client.Publish("spBv1.0/STATE/andon", 1, true, sparkplug.State{Online: true, Timestamp: 1}.Append(nil)).WaitTimeout(patience)
	cell.start()
	plant.has("a birth", isBirth)
	eventually(t, "the broker has noted it", func() bool { return b.hook.saw("PUBLISH spBv1.0/line1/NBIRTH/cell-07") })
	b.hook.mu.Lock()
	defer b.hook.mu.Unlock()
	for _, topic := range []string{"spBv1.0/line1/NCMD/cell-07", "spBv1.0/line1/DCMD/cell-07/+", "spBv1.0/STATE/andon"} {
		subscribed, born := -1, -1
		for i, e := range b.hook.events {
			switch e {
			case "SUBSCRIBED " + topic + " 1":
				subscribed = i
			case "PUBLISH spBv1.0/line1/NBIRTH/cell-07":
				born = i
			}
		}
		if subscribed < 0 || born < subscribed {
			t.Errorf("subscribed to %s at QoS 1 as event %d, born as event %d", topic, subscribed, born)
		}
	}
}

func TestSparkplugPrimaryHost(t *testing.T) {
	_, plant, _, cell := plant(t)
	cell.cfg.PrimaryHost = "andon"
	say := func(host string, online bool, ts int64) {
		plant.client.Publish("spBv1.0/STATE/"+host, 1, true, sparkplug.State{Online: online, Timestamp: ts}.Append(nil)).WaitTimeout(patience)
	}
	born := func(n int) func() bool { return func() bool { return plant.count(isBirth) >= n } }
	dead := func() bool { return plant.find(isKind(sparkplug.NDeath)) != nil }
	cell.birth("press-1", press)
	cell.start()
	eventually(t, "the node waits", func() bool { return cell.up.Status().Waiting })
	say("andon2", true, 5000)
	say("other", true, 5000)
	cell.heard(plant)
	never(t, 100*time.Millisecond, "a birth because of another host", born(1))
	say("andon", false, 5000) // the first one seen is always valid
	cell.heard(plant)
	never(t, 50*time.Millisecond, "a birth while the host is offline", born(1))
	say("andon", true, 4000)
	cell.heard(plant)
	never(t, 100*time.Millisecond, "a birth because of an older STATE", born(1))
	say("andon", true, 6000)
	eventually(t, "the birth", born(1))
	say("andon", false, 5999)
	cell.heard(plant)
	never(t, 100*time.Millisecond, "a death because of an older STATE", dead)
	say("andon", false, 6000) // a will has the timestamp of its birth
	eventually(t, "the death", dead)
	eventually(t, "the node waits in a new session", func() bool { st := cell.up.Status(); return st.Waiting && st.Session >= 2 })
	cell.heard(plant)
	never(t, 100*time.Millisecond, "a birth while the host is offline", born(2))
	say("andon", true, 7000)
	eventually(t, "the second birth", born(2))
	if got := plant.all(isBirth)[1].birth.BdSeq; got != 1 {
		t.Errorf("bdSeq %d of the second session, want 1", got)
	}
}

func TestSparkplugDisconnect(t *testing.T) {
	b, plant, _, cell := plant(t)
	cell.start()
	plant.has("a birth", isBirth)
	cell.stop()
	if death := plant.has("the death", isKind(sparkplug.NDeath)); death.bdSeq != 0 {
		t.Errorf("death of bdSeq %d, want 0", death.bdSeq)
	}
	eventually(t, "DISCONNECT", func() bool { return b.hook.saw("DISCONNECT") })
	b.hook.mu.Lock()
	defer b.hook.mu.Unlock()
	order := strings.Join(b.hook.events, "\n")
	if strings.Index(order, "PUBLISH spBv1.0/line1/NDEATH/cell-07") > strings.Index(order, "DISCONNECT") {
		t.Error("DISCONNECT came before NDEATH")
	}
	if strings.Contains(order, "WILL") {
		t.Error("the broker sent the will after a clean disconnect")
	}
}
