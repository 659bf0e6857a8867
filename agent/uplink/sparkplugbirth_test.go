package uplink_test

import (
	"fmt"
	"testing"
	"time"

	"andon.internal/shared/ops/opstest"
	"andon.internal/shared/sparkplug"
)

func TestSparkplugBirthOrder(t *testing.T) {
	_, plant, p, cell := plant(t)
	for i := range 5 {
		cell.birth(fmt.Sprintf("press-%d", i), press)
		cell.readings(fmt.Sprintf("press-%d", i), 3)
	}
	cell.start()
	cell.drained(plant)
	p.cut()
	cell.readings("press-3", 3)
	cell.drained(plant)
	// The collector checks of every message that its node and unit are born, and that
	// its aliases were announced; here the order within each session.
	state := map[uint64]int{}
	for _, s := range plant.all(func(s *seen) bool { return s.kind != sparkplug.NDeath }) {
		switch {
		case s.birth != nil:
			if state[s.session] != 0 {
				t.Error("an NBIRTH came after something else in its session")
			}
			state[s.session] = 1
		case s.unitBirth != nil:
			if state[s.session] != 1 {
				t.Errorf("the DBIRTH of %s came after data, or before the NBIRTH", s.unit)
			}
		default:
			state[s.session] = 2
		}
	}
	if len(state) != 2 {
		t.Errorf("%d sessions, want 2", len(state))
	}
	aliases := map[uint64]bool{}
	for _, s := range plant.all(func(s *seen) bool { return s.unitBirth != nil && s.session == 1 }) {
		for i := range s.unitBirth.Profile.Signals {
			if a := s.unitBirth.FirstAlias + uint64(i); aliases[a] {
				t.Errorf("alias %d is used twice", a)
			} else {
				aliases[a] = true
			}
		}
	}
}

func TestSparkplugQoSAndRetain(t *testing.T) {
	b, plant, _, cell := plant(t)
	cell.birth("press-1", press)
	cell.start()
	cell.readings("press-1", 5)
	cell.end("press-1")
	plant.has("the unit's death", isKind(sparkplug.DDeath))
	plant.has("a heartbeat", isKind(sparkplug.NData))
	cell.drained(plant)
	for _, kind := range []string{"NBIRTH", "DBIRTH", "NDATA", "DDATA", "DDEATH"} {
		eventually(t, "the broker has noted "+kind, func() bool { return b.hook.noted(kind) })
	}
	b.hook.mu.Lock()
	defer b.hook.mu.Unlock()
	kinds := map[string]bool{}
	for _, pk := range b.hook.published {
		topic, err := sparkplug.ParseTopic(pk.TopicName)
		if err != nil || topic.Type == sparkplug.NCmd || topic.Type == sparkplug.NDeath {
			continue
		}
		kinds[topic.Type.String()] = true
		if pk.FixedHeader.Qos != 0 || pk.FixedHeader.Retain {
			t.Errorf("%s was published with QoS %d, retained %v", pk.TopicName, pk.FixedHeader.Qos, pk.FixedHeader.Retain)
		}
	}
	for _, want := range []string{"NBIRTH", "DBIRTH", "NDATA", "DDATA", "DDEATH"} {
		if !kinds[want] {
			t.Errorf("no %s was published", want)
		}
	}
}

func TestSparkplugSequence(t *testing.T) {
	_, plant, _, cell := plant(t)
	cell.cfg.SyncTimeout, cell.cfg.Silence = patience, patience // one session, and one birth
	cell.birth("press-1", press)
	cell.birth("press-2", press)
	cell.start()
	for range 30 {
		cell.readings("press-1", 20)
		time.Sleep(5 * time.Millisecond) // heartbeats between
	}
	cell.end("press-1")
	cell.drained(plant)
	plant.has("the unit's death", isKind(sparkplug.DDeath))
	// Continuity over all kinds, the wrap, and NDEATH without a seq are checked by the
	// collector at all times; here that there was something to check.
	all := plant.all(func(s *seen) bool { return s.kind != sparkplug.NDeath })
	if len(all) < 600 || all[0].kind != sparkplug.NBirth || all[0].seq != 0 {
		t.Errorf("%d messages, the first a %v with seq %d: want more than 600, an NBIRTH with 0", len(all), all[0].kind, all[0].seq)
	}
	for i, s := range all {
		if s.seq != uint8(i%256) {
			t.Fatalf("message %d (%v) has seq %d, want %d", i, s.kind, s.seq, i%256)
		}
	}
}

func TestSparkplugRebirth(t *testing.T) {
	_, plant, _, cell := plant(t)
	cell.birth("press-1", press)
	cell.birth("press-2", press)
	cell.start()
	cell.readings("press-1", 5)
	cell.drained(plant)
	first := plant.has("a birth", isBirth)
	plant.forget()
	plant.rebirth()
	again := plant.has("another birth", isBirth)
	if again.birth.BdSeq != first.birth.BdSeq || again.seq != 0 {
		t.Errorf("born again with bdSeq %d and seq %d, want %d and 0", again.birth.BdSeq, again.seq, first.birth.BdSeq)
	}
	cell.readings("press-2", 5)
	cell.drained(plant)
	all, units := plant.all(func(*seen) bool { return true }), map[string]bool{}
	after := false
	for _, s := range all {
		after = after || s == again
		if after && s.unitBirth != nil {
			units[s.unit] = true
		}
		if after && s.record != nil && len(units) != 2 {
			t.Error("data came before all units were born again")
		}
	}
	if len(units) != 2 {
		t.Errorf("%d units were born again, want 2", len(units))
	}
}

// TestSparkplugRebirthStopsData: between the request and the births that answer it
// nothing else is sent, also when these have to wait for their turn.
func TestSparkplugRebirthStopsData(t *testing.T) {
	_, plant, _, cell := plant(t)
	cell.cfg.RebirthEvery, cell.cfg.Heartbeat = time.Second, time.Minute // no heartbeat comes before them
	cell.birth("press-1", press)
	cell.start()
	cell.readings("press-1", 1)
	cell.drained(plant)
	plant.forget()
	plant.rebirth()
	eventually(t, "the request is taken", func() bool {
		return opstest.Metric(t, cell.reg, "andon_uplink_rebirth_requests_total") == 1
	})
	cell.readings("press-1", 20)
	cell.drained(plant)
	if all := plant.all(func(*seen) bool { return true }); all[0].kind != sparkplug.NBirth {
		t.Errorf("a %v was sent before the births that were asked for", all[0].kind)
	}
}

func TestSparkplugUnitDeath(t *testing.T) {
	b, plant, _, cell := plant(t)
	cell.birth("press-1", press)
	cell.birth("press-2", press)
	cell.start()
	cell.readings("press-1", 3)
	cell.readings("press-2", 3)
	cell.end("press-1")
	death := plant.has("the death of press-1", isKind(sparkplug.DDeath))
	if death.unit != "press-1" {
		t.Errorf("death of %s, want press-1", death.unit)
	}
	cell.drained(plant)
	if n := plant.count(isKind(sparkplug.DDeath)); n != 1 {
		t.Errorf("%d deaths, want 1", n)
	}
	eventually(t, "the death was on the unit's topic", func() bool { return b.hook.saw("PUBLISH spBv1.0/line1/DDEATH/cell-07/press-1") })
}
