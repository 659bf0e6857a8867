package uplink_test

import (
	"testing"
	"time"

	"andon.internal/shared/ops/opstest"
	"andon.internal/shared/sparkplug"
	"andon.internal/shared/telemetry"
)

// TestFreshGoesFirstAfterAReconnect: what was held while the link was down stands behind
// what is taken now, however young it is.
func TestFreshGoesFirstAfterAReconnect(t *testing.T) {
	_, plant, p, cell := plant(t)
	cell.cfg.FreshAge = 200 * time.Millisecond
	plant.set(func(p *policy) { p.credit.Records = 4 })
	cell.birth("press-1", press)
	cell.birth("press-2", press)
	cell.startCredited()
	cell.readings("press-1", 3)
	cell.drained(plant)
	p.refuse(true)
	const held, fresh = 600, 20
	cell.append(cell.singles("press-1", held)...)
	time.Sleep(cell.cfg.FreshAge + 100*time.Millisecond) // it is about ages
	plant.forget()
	plant.pauseAfter(20)
	cell.readings("press-2", 1) // fresh when the session begins, unless that takes long
	young := cell.buf.Chain()[0].Next - 1
	p.refuse(false)
	eventually(t, "a second session has begun with the backlog", plant.paused)
	before := plant.count(func(s *seen) bool { return s.record != nil && s.unit == "press-1" })
	cell.append(cell.singles("press-2", fresh-1)...)
	plant.set(func(p *policy) { p.noAck = false })
	cell.drained(plant)
	older, behind := 0, 0
	for _, s := range plant.all(isRecord) {
		switch {
		case s.unit == "press-1" && !s.historical:
			t.Fatal("what was held went through the live lane")
		case s.header.Position == young && s.historical:
			// It was not fresh any more.
		case s.unit == "press-1":
			older++
		default:
			behind = older
		}
	}
	// The backlog has half of the room while live goes on.
	if behind > before+4*fresh {
		t.Errorf("%d of %d held records came before the last fresh one, %d of them before it was taken", behind, held, before)
	}
}

// TestFreshGoesFirstAfterAHold: live records that a hold has not let out in time are backlog
// when it ends.
func TestFreshGoesFirstAfterAHold(t *testing.T) {
	_, plant, _, cell := plant(t)
	cell.cfg.FreshAge, cell.cfg.HoldRecords = 100*time.Millisecond, 1
	cell.cfg.SyncTimeout = 500 * time.Millisecond // the birth is not answered while the database is away
	plant.set(func(p *policy) { p.down = true })
	cell.birth("press-1", press)
	cell.start()
	eventually(t, "the hold", func() bool { return cell.up.Status().Hold })
	cell.readings("press-1", 200)
	time.Sleep(cell.cfg.FreshAge + 200*time.Millisecond) // it is about ages
	plant.forget()
	plant.set(func(p *policy) { p.down = false })
	cell.drained(plant)
	live := plant.count(func(s *seen) bool { return s.record != nil && !s.historical })
	if live > 5 {
		t.Errorf("%d records of the hold went through the live lane behind its end", live)
	}
}

// TestGhostSession: the connection of an earlier session goes on delivering, and its will
// comes late. The cell has a session of its own by then, and nothing is lost or stored twice.
func TestGhostSession(t *testing.T) {
	_, plant, p, cell := plant(t)
	plant.lenient = true // messages of two sessions come mixed
	cell.cfg.Silence = 2 * time.Second
	cell.birth("press-1", press)
	cell.start()
	cell.readings("press-1", 10)
	cell.drained(plant)
	p.ghost() // this connection: held back, and not closed towards the broker
	cell.readings("press-1", 200)
	eventually(t, "the cell has given it up", func() bool { return cell.up.Status().Session > 1 })
	cell.drained(plant)
	session := cell.up.Status().Session
	ofOld := func(s *seen) bool { return s.kind == sparkplug.NDeath && s.bdSeq == 0 }
	if plant.find(ofOld) != nil {
		t.Fatal("the will of the old session is there already")
	}
	p.release()
	// What stood in it arrives, of a session that is over, then the end, and the will.
	plant.has("the will of the old session", ofOld)
	cell.readings("press-1", 20)
	cell.drained(plant)
	if n := plant.count(ofOld); n != 1 {
		t.Errorf("%d deaths of the ghost, want one", n)
	}
	if st := cell.up.Status(); st.Session != session || !st.Connected {
		t.Errorf("session %d, connected %v: the ghost ended session %d", st.Session, st.Connected, session)
	}
}

// TestUnitEndsWhileTheCableIsOut: it is born as one of the past in the next session, its
// records and its end arrive, and it dies; the next run of the unit is another.
func TestUnitEndsWhileTheCableIsOut(t *testing.T) {
	_, plant, p, cell := plant(t)
	cell.birth("press-1", press)
	cell.birth("press-2", press)
	cell.start()
	cell.readings("press-1", 5)
	cell.readings("press-2", 5)
	cell.drained(plant)
	p.refuse(true)
	cell.readings("press-1", 20)
	cell.end("press-1")
	cell.readings("press-2", 20)
	cell.end("press-2")
	cell.birth("press-2", press) // and is on test again before the cable is back
	cell.readings("press-2", 20)
	plant.forget()
	p.refuse(false)
	cell.drained(plant)
	ended := plant.has("the birth of the ended unit", func(s *seen) bool { return s.unitBirth != nil && s.unit == "press-1" })
	if !ended.unitBirth.Backlog {
		t.Error("a unit that has ended is born as if it were on test")
	}
	plant.has("the death of the ended unit", func(s *seen) bool { return s.kind == sparkplug.DDeath && s.unit == "press-1" })
	never(t, 200*time.Millisecond, "the death of the unit that is on test", func() bool {
		last := sparkplug.DBirth
		for _, s := range plant.all(func(s *seen) bool { return s.unit == "press-2" }) {
			if s.kind == sparkplug.DBirth || s.kind == sparkplug.DDeath {
				last = s.kind
			}
		}
		return last == sparkplug.DDeath
	})
	ends := plant.all(func(s *seen) bool { return s.record != nil && s.record.End != nil })
	if len(ends) != 2 {
		t.Errorf("%d ends of runs, want 2", len(ends))
	}
}

// TestSilentBroker: a broker that hangs and closes nothing is noticed by the collector's
// silence: held after Quiet, given up after Silence, and the cell is back soon after it is.
func TestSilentBroker(t *testing.T) {
	_, plant, p, cell := plant(t)
	cell.cfg.Quiet, cell.cfg.Silence = 200*time.Millisecond, 2*time.Second
	cell.cfg.KeepAlive, cell.cfg.PingTimeout = time.Hour, time.Hour // these do not tell
	cell.cfg.ConnectTimeout = 300 * time.Millisecond
	cell.birth("press-1", press)
	plant.lenient = true // what the broker had not read of the old session comes when it is back
	cell.start()
	cell.readings("press-1", 10)
	cell.drained(plant)
	p.stall(true) // new connections open, and nobody answers
	begin := time.Now()
	cell.readings("press-1", 50)
	eventually(t, "it is given up", func() bool { return !cell.up.Status().Connected })
	if opstest.Metric(t, cell.reg, "andon_uplink_holds_total") == 0 {
		t.Error("it was not held before it was given up")
	}
	if d := time.Since(begin); d > cell.cfg.Silence+busy {
		t.Errorf("given up after %v", d)
	}
	time.Sleep(cell.cfg.ConnectTimeout) // and tries again meanwhile
	p.stall(false)
	begin = time.Now()
	cell.drained(plant)
	if d := time.Since(begin); d > 2*cell.cfg.ConnectTimeout+cell.cfg.RetryMax+busy {
		t.Errorf("back %v after the broker", d)
	}
	if want := telemetry.Epoch(cell.buf.Epoch()); plant.committed(want).Len() != 60 {
		t.Errorf("%d records committed, want 60", plant.committed(want).Len())
	}
}
