package uplink_test

import (
	"strings"
	"testing"
	"time"

	"andon.internal/agent/uplink"
	"andon.internal/shared/sparkplug"
	"andon.internal/shared/telemetry"
)

func TestConnectPacket(t *testing.T) {
	b, plant, _, cell := plant(t)
	cell.count.n = 299
	cell.start()
	birth := plant.has("a birth", isBirth).birth
	if birth.Session != 300 || birth.BdSeq != 299%256 {
		t.Errorf("session %d with bdSeq %d, want 300 and 43", birth.Session, birth.BdSeq)
	}
	pk := b.hook.cellConnects()[0]
	if pk.ProtocolVersion != 4 || string(pk.Connect.ProtocolName) != "MQTT" || !pk.Connect.Clean || pk.Connect.Keepalive != 10 {
		t.Errorf("CONNECT %+v, version %d: want MQTT 3.1.1, clean, keepalive 10 s", pk.Connect, pk.ProtocolVersion)
	}
	if !strings.HasPrefix(pk.Connect.ClientIdentifier, sparkplug.ClientPrefix(group, node)) {
		t.Errorf("client id %q does not name the node", pk.Connect.ClientIdentifier)
	}
	will := pk.Connect
	if will.WillTopic != "spBv1.0/line1/NDEATH/cell-07" || will.WillQos != 1 || will.WillRetain {
		t.Errorf("will on %s with QoS %d, retained %v: want the NDEATH at QoS 1, not retained", will.WillTopic, will.WillQos, will.WillRetain)
	}
	p, err := sparkplug.Decode(will.WillPayload, sparkplug.Limits{})
	if err != nil {
		t.Fatal(err)
	}
	if n, err := sparkplug.ParseNodeDeath(p); err != nil || n != birth.BdSeq || p.HasSeq || !p.HasTimestamp {
		t.Errorf("will has bdSeq %d (%v), seq %v: want that of the birth, %d, and no seq", n, err, p.HasSeq, birth.BdSeq)
	}
	b.hook.mu.Lock()
	defer b.hook.mu.Unlock()
	for _, topic := range []string{"spBv1.0/line1/NCMD/cell-07", "spBv1.0/line1/DCMD/cell-07/+"} {
		if qos, ok := b.hook.subs[topic]; !ok || qos != 1 {
			t.Errorf("subscription to %s: %v with QoS %d, want QoS 1", topic, ok, qos)
		}
	}
}

func TestRefusedSubscriptionIsTold(t *testing.T) {
	b, plant, _, cell := plant(t)
	b.hook.setRefuse("spBv1.0/line1/NCMD/cell-07")
	cell.start()
	eventually(t, "the refusal is told", func() bool { return strings.Contains(cell.up.Status().Error, "refused") })
	if n := plant.count(isBirth); n != 0 {
		t.Fatalf("%d births though no acknowledgement could come", n)
	}
	b.hook.setRefuse("")
	plant.has("a birth once it is allowed", isBirth)
}

func TestStartsWithoutBroker(t *testing.T) {
	b, plant, _, cell := plant(t)
	plant.lenient = true // the cell may be back first
	b.stop()
	cell.birth("press-1", press)
	cell.start()
	cell.readings("press-1", 20)
	eventually(t, "the failure is told", func() bool { return cell.up.Status().Error != "" })
	b.start()
	cell.drained(plant)
	if st := cell.up.Status(); !st.Connected || st.Error != "" || st.LastHeard.IsZero() || !st.Synced {
		t.Errorf("status %+v, want connected, heard and synced", st)
	}
}

func TestSessionNumbersRise(t *testing.T) {
	_, plant, p, cell := plant(t)
	cell.birth("press-1", press)
	cell.start()
	for i := 1; i <= 5; i++ {
		cell.readings("press-1", 3)
		plant.has("a birth of the session", func(s *seen) bool { return s.birth != nil && s.birth.Session >= uint64(i) })
		p.cut()
	}
	cell.drained(plant)
	last := uint64(0)
	for _, s := range plant.all(isBirth) {
		if s.birth.Session < last {
			t.Errorf("session %d after %d", s.birth.Session, last)
		}
		last = s.birth.Session
	}
	// Every connection had a will of its own, and the dirty ends are told.
	plant.has("a death by will", isKind(sparkplug.NDeath))
}

func TestBrokerRestart(t *testing.T) {
	b, plant, _, cell := plant(t)
	plant.lenient = true
	cell.birth("press-1", press)
	cell.start()
	cell.readings("press-1", 10)
	cell.drained(plant)
	for range 3 {
		b.stop()
		cell.readings("press-1", 10)
		b.start()
		cell.readings("press-1", 10)
		cell.drained(plant)
	}
}

func TestSilentCollectorEndsSession(t *testing.T) {
	_, plant, _, cell := plant(t)
	cell.cfg.Silence = 300 * time.Millisecond
	plant.set(func(p *policy) { p.mute = true })
	cell.birth("press-1", press)
	cell.start()
	cell.readings("press-1", 5)
	plant.has("a second session", func(s *seen) bool { return s.birth != nil && s.birth.Session > 1 })
	// The connection was dropped, not closed in order: the broker sent the will.
	plant.has("a death by will", func(s *seen) bool { return s.kind == sparkplug.NDeath })
	plant.set(func(p *policy) { p.mute = false })
	cell.drained(plant)
}

func TestHalfOpenLink(t *testing.T) {
	_, plant, p, cell := plant(t)
	cell.cfg.Silence = 400 * time.Millisecond
	// Nothing else tells.
	cell.cfg.KeepAlive, cell.cfg.PingTimeout, cell.cfg.WriteTimeout = time.Hour, time.Hour, time.Hour
	cell.birth("press-1", press)
	cell.start()
	cell.readings("press-1", 10)
	cell.drained(plant)
	p.stall(true) // nothing gets through, nothing is closed
	begin := time.Now()
	cell.readings("press-1", 100)
	eventually(t, "the half-open link is noticed", func() bool { return !cell.up.Status().Connected })
	if d := time.Since(begin); d > cell.cfg.Silence+busy {
		t.Errorf("it took %v to notice", d)
	}
	p.stall(false)
	cell.drained(plant)
}

func TestFlappingLink(t *testing.T) {
	_, plant, p, cell := plant(t)
	cell.birth("press-1", press)
	cell.start()
	for range 20 {
		cell.readings("press-1", 10)
		time.Sleep(30 * time.Millisecond) // up
		p.refuse(true)
		cell.readings("press-1", 5)
		time.Sleep(20 * time.Millisecond) // down
		p.refuse(false)
	}
	cell.drained(plant)
	if parked := cell.up.Status().Parked; len(parked) != 0 {
		t.Errorf("flapping parked %d records", len(parked))
	}
}

func TestThinLink(t *testing.T) {
	_, plant, p, cell := plant(t)
	// Longer than the first record takes, which tells how long the link takes, and shorter
	// than a few of them.
	cell.cfg.Retransmit, cell.cfg.RetransmitMax = 500*time.Millisecond, time.Minute
	p.setRate(200 << 10)
	cell.birth("press-1", press)
	cell.start()
	for range 20 { // 1.2 MB, 6 s
		cell.append(cell.take("press-1", 1000))
	}
	cell.drained(plant)
	if n := plant.repeated(); n > 10 {
		t.Errorf("%d of 20 records were repeated on a thin link", n)
	}
	if n := plant.count(isBirth); n != 1 {
		t.Errorf("%d sessions on a thin link, want 1", n)
	}
}

func TestPrimaryHost(t *testing.T) {
	b, plant, _, cell := plant(t)
	cell.cfg.PrimaryHost = "andon"
	state := func(online bool, ts int64) {
		plant.client.Publish("spBv1.0/STATE/andon", 1, true, sparkplug.State{Online: online, Timestamp: ts}.Append(nil)).WaitTimeout(patience)
	}
	state(false, 1000)
	cell.birth("press-1", press)
	cell.start()
	cell.readings("press-1", 3)
	eventually(t, "the node waits", func() bool { return cell.up.Status().Waiting })
	cell.heard(plant)
	never(t, 100*time.Millisecond, "a birth while the host is offline", func() bool { return plant.find(isBirth) != nil })

	state(true, 2000)
	cell.drained(plant)

	state(false, 1500) // of an earlier life of the host
	cell.heard(plant)
	never(t, 100*time.Millisecond, "a death because of an old STATE", func() bool { return plant.find(isKind(sparkplug.NDeath)) != nil })

	state(false, 2000)
	death := plant.has("the death of the node", isKind(sparkplug.NDeath))
	if death.bdSeq != 0 {
		t.Errorf("death of bdSeq %d, want 0", death.bdSeq)
	}
	cell.readings("press-1", 3)
	eventually(t, "the node waits again", func() bool { st := cell.up.Status(); return st.Waiting && st.Session >= 2 })
	births := plant.count(isBirth)
	cell.heard(plant)
	never(t, 100*time.Millisecond, "a birth while the host is offline", func() bool { return plant.count(isBirth) > births })

	state(true, 3000)
	cell.drained(plant)
	b.hook.mu.Lock()
	defer b.hook.mu.Unlock()
	if qos, ok := b.hook.subs["spBv1.0/STATE/andon"]; !ok || qos != 1 {
		t.Errorf("subscription to STATE: %v with QoS %d, want QoS 1", ok, qos)
	}
}

func TestRetainedCommandsAreRefused(t *testing.T) {
	b, plant, _, cell := plant(t)
	cell.cfg.SyncTimeout = 500 * time.Millisecond
	plant.set(func(p *policy) { p.noAck = true })
	cell.birth("press-1", press)
	cell.start()
	cell.readings("press-1", 2)
	eventually(t, "both records arrived", func() bool { return plant.count(isRecord) >= 2 })
	// Somebody retained an acknowledgement. The next session gets it at once.
	epoch := telemetry.Epoch(cell.buf.Epoch())
	a := sparkplug.Ack{
		Epochs: []sparkplug.EpochRanges{{Epoch: epoch, Committed: plant.committed(epoch)}},
		Credit: sparkplug.Credit{Records: 1, Bytes: 1},
	}
	topic := sparkplug.Topic{Type: sparkplug.NCmd, Group: group, Node: node}.String()
	plant.set(func(p *policy) { p.noSync = true })
	cell.stop()
	plant.client.Publish(topic, 1, true, sparkplug.AppendAck(nil, 1, a))
	// Who subscribes before gets it as a message that is not retained.
	eventually(t, "the broker has given it to all who are there", func() bool { return b.hook.passedOn(topic, true) })
	held := cell.buf.Stats().Records
	cell.start()
	plant.has("a second session", func(s *seen) bool { return s.birth != nil && s.birth.Session >= 2 })
	cell.heard(plant)
	never(t, 150*time.Millisecond, "a retained acknowledgement was obeyed", func() bool { return cell.buf.Stats().Records < held })
	plant.client.Publish(topic, 1, true, []byte{}).WaitTimeout(patience)
	plant.set(func(p *policy) { p.noAck, p.noSync = false, false })
	cell.drained(plant)
}

func TestConfigurationIsChecked(t *testing.T) {
	good := fast("tcp://127.0.0.1:1883")
	tests := []struct {
		name   string
		change func(*uplink.Config)
		want   string
	}{
		{"node", func(c *uplink.Config) { c.Node.ID = "a/b" }, "node"},
		{"group", func(c *uplink.Config) { c.Node.Group = "" }, "group"},
		{"scheme", func(c *uplink.Config) { c.URL = "http://127.0.0.1:1883" }, "tcp://"},
		{"port", func(c *uplink.Config) { c.URL = "tcp://127.0.0.1" }, "tcp://"},
		{"share", func(c *uplink.Config) { c.BacklogShare = 0.99 }, "backlog share"},
		{"host", func(c *uplink.Config) { c.PrimaryHost = "+" }, "primary host"},
		{"keepalive", func(c *uplink.Config) { c.KeepAlive = 1500 * time.Millisecond }, "seconds"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			cfg := good
			tt.change(&cfg)
			if _, err := uplink.New(cfg, nil, nil, nil); err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("error %v, want one about %s", err, tt.want)
			}
		})
	}
}
