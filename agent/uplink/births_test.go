package uplink_test

import (
	"testing"
	"time"

	"andon.internal/shared/sparkplug"
	"andon.internal/shared/telemetry"
)

func TestNodeBirth(t *testing.T) {
	_, plant, _, cell := plant(t)
	cell.birth("press-1", press)
	cell.readings("press-1", 3)
	cell.start()
	b := plant.has("a birth", isBirth).birth
	if b.Version != "test" || b.Boot != [16]byte{7, 7} {
		t.Errorf("birth says version %q and boot %x", b.Version, b.Boot)
	}
	last := b.Chain[len(b.Chain)-1]
	if last.Epoch != telemetry.Epoch(cell.buf.Epoch()) || last.End != sparkplug.EndOpen || last.Next != 3 || last.Held.String() != "[0,3)" {
		t.Errorf("birth lists the epoch as %+v, want the open one with [0,3)", last)
	}
	if b.Heartbeat.Records != 3 || b.Heartbeat.Rows != 3 {
		t.Errorf("birth has %d records and %d rows, want 3 and 3", b.Heartbeat.Records, b.Heartbeat.Rows)
	}
	cell.drained(plant)
}

func TestUnitBirths(t *testing.T) {
	_, plant, _, cell := plant(t)
	cell.birth("press-1", press)
	r := cell.take("press-1", 1)
	cell.roster.Took("press-1", 1, r.Times[0], r.Values)
	cell.start()
	first := plant.has("the birth of press-1", func(s *seen) bool { return s.unit == "press-1" && s.unitBirth != nil }).unitBirth
	if first.Backlog || first.Born != cell.born["press-1"] || first.FirstAlias == 0 {
		t.Errorf("birth says backlog %v, born %d, first alias %d", first.Backlog, first.Born, first.FirstAlias)
	}
	for i, v := range r.Values {
		if first.Last[i] != v {
			t.Errorf("birth value %d is %v, want the latest, %v", i, first.Last[i], v)
		}
	}
	// A unit that comes on test in a session is born at once, with aliases of its own.
	cell.birth("press-2", press)
	second := plant.has("the birth of press-2", func(s *seen) bool { return s.unit == "press-2" && s.unitBirth != nil }).unitBirth
	if second.FirstAlias != first.FirstAlias+3 {
		t.Errorf("press-2 has aliases from %d, want %d", second.FirstAlias, first.FirstAlias+3)
	}
	cell.append(r)
	cell.readings("press-2", 2)
	cell.drained(plant)
}

func TestUnitDiesAfterLastAcknowledgement(t *testing.T) {
	_, plant, _, cell := plant(t)
	cell.cfg.Heartbeat = time.Minute // it also looks for units that left without an end
	plant.set(func(p *policy) { p.noAck = true })
	cell.birth("press-1", press)
	cell.start()
	cell.readings("press-1", 1)
	cell.end("press-1")
	plant.has("the end of the run", func(s *seen) bool { return s.record != nil && s.record.End != nil })
	dead := func() bool { return plant.find(isKind(sparkplug.DDeath)) != nil }
	cell.heard(plant)
	never(t, 100*time.Millisecond, "a death before the acknowledgement", dead)
	plant.set(func(p *policy) { p.noAck = false })
	eventually(t, "the unit dies", dead)
	cell.drained(plant)
	// The next run has a birth of its own, and new aliases.
	cell.birth("press-1", press)
	cell.readings("press-1", 1)
	cell.drained(plant)
	births := plant.all(isKind(sparkplug.DBirth))
	if len(births) != 2 || births[1].unitBirth.FirstAlias == births[0].unitBirth.FirstAlias {
		t.Errorf("%d births; a dead unit's aliases were used again", len(births))
	}
}

// TestUnitDoesNotDieBeforeItsLastRecordArrives: the end of the run came home, a
// record before it did not yet.
func TestUnitDoesNotDieBeforeItsLastRecordArrives(t *testing.T) {
	_, plant, _, cell := plant(t)
	plant.set(func(p *policy) {
		p.lose = func(s *seen) bool { return s.header.Position == 1 }
	})
	cell.repeating()
	cell.birth("press-1", press)
	cell.start()
	cell.readings("press-1", 3)
	cell.end("press-1")
	eventually(t, "all but one are acknowledged", func() bool { return cell.buf.Stats().Records == 1 })
	cell.heard(plant)
	never(t, 100*time.Millisecond, "a death before that one", func() bool { return plant.find(isKind(sparkplug.DDeath)) != nil })
	plant.set(func(p *policy) { p.lose = nil })
	cell.drained(plant)
	plant.has("the death", isKind(sparkplug.DDeath))
	if n := plant.count(isKind(sparkplug.DBirth)); n != 1 {
		t.Errorf("%d births of one run, want 1", n)
	}
}

func TestEndedUnitIsBornAsBacklog(t *testing.T) {
	_, plant, _, cell := plant(t)
	cell.birth("press-1", press)
	cell.birth("press-2", press)
	cell.readings("press-1", 5)
	cell.end("press-1")
	cell.readings("press-2", 1)
	cell.start()
	cell.drained(plant)
	births := plant.all(func(s *seen) bool { return s.unitBirth != nil && s.unit == "press-1" })
	if len(births) != 1 || !births[0].unitBirth.Backlog || births[0].unitBirth.Born != cell.born["press-1"] {
		t.Fatalf("press-1 was born %d times, want once, as backlog", len(births))
	}
	if other := plant.find(func(s *seen) bool { return s.unitBirth != nil && s.unit == "press-2" }); other.unitBirth.Backlog {
		t.Error("press-2, which is on test, was born as backlog")
	}
	plant.has("the death of press-1", func(s *seen) bool { return s.kind == sparkplug.DDeath && s.unit == "press-1" })
}

// TestUnitLeftWithoutAnEnd covers a run whose last record never was: the unit dies
// once nothing of it is left.
func TestUnitLeftWithoutAnEnd(t *testing.T) {
	_, plant, _, cell := plant(t)
	cell.birth("press-1", press)
	cell.start()
	cell.readings("press-1", 2)
	plant.has("the birth", isKind(sparkplug.DBirth))
	if err := cell.roster.Deaths("test", "press-1"); err != nil {
		t.Fatal(err)
	}
	plant.has("its death", func(s *seen) bool { return s.kind == sparkplug.DDeath && s.unit == "press-1" })
	cell.drained(plant)
}

func TestOlderProfileInBacklog(t *testing.T) {
	_, plant, _, cell := plant(t)
	cell.birth("press-1", press)
	cell.readings("press-1", 4)
	cell.end("press-1")
	cell.birth("press-1", press2) // the configuration changed while the cable was out
	cell.readings("press-1", 4)
	cell.start()
	cell.drained(plant)
	var layouts []string
	for _, s := range plant.all(isKind(sparkplug.DBirth)) {
		layouts = append(layouts, map[bool]string{true: "backlog", false: "active"}[s.unitBirth.Backlog])
		if want := 3 + len(layouts)%2; s.unitBirth.Backlog != (len(s.unitBirth.Profile.Signals) == 3) {
			t.Errorf("birth %d has %d signals, backlog %v (%d)", len(layouts), len(s.unitBirth.Profile.Signals), s.unitBirth.Backlog, want)
		}
	}
	if len(layouts) < 2 {
		t.Errorf("births %v, want both layouts announced", layouts)
	}
}

func TestRebirth(t *testing.T) {
	_, plant, _, cell := plant(t)
	cell.cfg.Retransmit, cell.cfg.RetransmitMax = time.Minute, time.Minute
	cell.birth("press-1", press)
	cell.birth("press-2", press)
	cell.start()
	cell.readings("press-1", 3)
	cell.drained(plant)
	first := plant.has("a birth", isBirth)
	alias := plant.has("a unit birth", isKind(sparkplug.DBirth)).unitBirth.FirstAlias
	// What is in flight at the rebirth is sent again.
	plant.set(func(p *policy) { p.lose = isRecord })
	cell.readings("press-1", 2)
	eventually(t, "the records are sent", func() bool { return plant.count(isRecord) >= 5 })
	plant.forget()
	plant.set(func(p *policy) { p.lose = nil })
	plant.rebirth()
	again := plant.has("another birth", isBirth)
	if again.birth.Session != first.birth.Session || again.birth.BdSeq != first.birth.BdSeq || again.seq != 0 {
		t.Errorf("born again in session %d with bdSeq %d and seq %d, want %d, %d and 0",
			again.birth.Session, again.birth.BdSeq, again.seq, first.birth.Session, first.birth.BdSeq)
	}
	cell.drained(plant)
	for _, s := range plant.all(isRecord) {
		if !s.historical {
			t.Error("a record sent again was not marked as historical")
		}
	}
	if n := plant.count(isKind(sparkplug.DBirth)); n != 2 {
		t.Errorf("%d units were born again, want 2", n)
	}
	if got := plant.find(func(s *seen) bool { return s.unitBirth != nil && s.unit == "press-1" }).unitBirth.FirstAlias; got != alias {
		t.Errorf("press-1 has aliases from %d after the rebirth, had %d", got, alias)
	}
}

func TestRebirthStorm(t *testing.T) {
	_, plant, _, cell := plant(t)
	cell.cfg.RebirthEvery = 200 * time.Millisecond
	cell.birth("press-1", press)
	cell.start()
	plant.has("a birth", isBirth)
	begin := time.Now()
	for time.Since(begin) < time.Second || plant.count(isBirth) < 3 && time.Since(begin) < patience {
		plant.rebirth()
		cell.readings("press-1", 1)
		time.Sleep(time.Millisecond)
	}
	cell.drained(plant)
	if n, most := plant.count(isBirth), int(time.Since(begin)/(200*time.Millisecond))+2; n > most || n < 3 {
		t.Errorf("%d births in %v, want a few and at most %d", n, time.Since(begin), most)
	}
}

func TestLostAnswerToBirthIsAskedForAgain(t *testing.T) {
	_, plant, _, cell := plant(t)
	cell.cfg.SyncTimeout = 200 * time.Millisecond
	cell.birth("press-1", press)
	cell.readings("press-1", 3)
	cell.reopen() // an earlier epoch: backlog
	plant.set(func(p *policy) { p.noSync = true })
	cell.start()
	eventually(t, "the node is born again", func() bool { return plant.count(isBirth) >= 2 })
	if n := plant.count(isRecord); n != 0 {
		t.Errorf("%d records of the backlog came before the sync", n)
	}
	plant.set(func(p *policy) { p.noSync = false })
	cell.drained(plant)
	if n := plant.count(func(s *seen) bool { return s.birth != nil && s.birth.Session > 1 }); n != 0 {
		t.Error("a lost answer cost the session")
	}
}

func TestHeartbeat(t *testing.T) {
	_, plant, _, cell := plant(t)
	cell.cfg.Health = func(h *sparkplug.Heartbeat) { h.DiskFree, h.RulesHash = 12345, "abc" }
	plant.set(func(p *policy) { p.noAck = true })
	cell.birth("press-1", press)
	cell.start()
	cell.append(cell.take("press-1", 7))
	s := plant.has("a heartbeat with what is buffered", func(s *seen) bool { return s.heartbeat != nil && s.heartbeat.Rows == 7 })
	if s.heartbeat.Records != 1 || s.heartbeat.DiskFree != 12345 || s.heartbeat.RulesHash != "abc" {
		t.Errorf("heartbeat %+v", s.heartbeat)
	}
	beats := plant.all(func(s *seen) bool { return s.heartbeat != nil && s.kind == sparkplug.NData })
	eventually(t, "more heartbeats", func() bool {
		return plant.count(func(s *seen) bool { return s.heartbeat != nil && s.kind == sparkplug.NData }) >= len(beats)+5
	})
	plant.set(func(p *policy) { p.noAck = false })
	cell.drained(plant)
}
