package uplink_test

import (
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"andon.internal/agent/uplink"
	"andon.internal/shared/ops/opstest"
	"andon.internal/shared/sparkplug"
)

func TestHold(t *testing.T) {
	_, plant, _, cell := plant(t)
	cell.cfg.Heartbeat = time.Minute // it also looks for what was forgotten
	cell.repeating()
	cell.birth("press-1", press)
	cell.start()
	cell.readings("press-1", 5)
	cell.drained(plant)
	plant.forget()
	plant.set(func(p *policy) { p.down = true })
	eventually(t, "the hold", func() bool { return cell.up.Status().Hold })
	cell.readings("press-1", 200)
	eventually(t, "each live record", func() bool { return plant.count(isRecord) == 200 })
	// Nothing is repeated, however long it takes.
	never(t, 700*time.Millisecond, "a repeat while the database is away", func() bool { return plant.count(isRecord) > 200 })
	for _, s := range plant.all(isRecord) {
		if s.historical {
			t.Fatal("a live record was marked as historical in a hold")
		}
	}
	if n := cell.buf.Stats().Records; n != 200 {
		t.Fatalf("%d records held, want all 200", n)
	}
	plant.forget()
	plant.set(func(p *policy) { p.down = false })
	cell.drained(plant)
	for _, s := range plant.all(isRecord) {
		if !s.historical {
			t.Fatal("a record sent again after the hold was not marked as historical")
		}
	}
	eventually(t, "the end of the hold", func() bool { return !cell.up.Status().Hold })
}

// TestHoldWithManyPieces: in a hold live records go out however many pieces wait, each once.
func TestHoldWithManyPieces(t *testing.T) {
	_, plant, _, cell := plant(t)
	cell.cfg.Heartbeat = time.Minute // it also looks for what was forgotten
	cell.repeating()
	plant.set(func(p *policy) { p.down = true })
	cell.cfg.SyncTimeout = 500 * time.Millisecond // the birth is not answered while the database is away
	old := cell.pieces(60)
	cell.start()
	eventually(t, "the hold", func() bool { return cell.up.Status().Hold })
	cell.readings("press-1", 20)
	eventually(t, "each live record", func() bool { return plant.count(isRecord) >= 20 })
	never(t, 300*time.Millisecond, "a repeat or a record of before", func() bool { return plant.count(isRecord) > 20 })
	plant.forget()
	plant.set(func(p *policy) { p.down = false })
	cell.drained(plant)
	// With the database back, what would open further pieces waits in line.
	if first := plant.all(isRecord)[0]; first.header.Epoch != old {
		t.Errorf("position %d of the current epoch came first after the hold", first.header.Position)
	}
}

func TestHoldIsPaced(t *testing.T) {
	_, plant, _, cell := plant(t)
	cell.cfg.HoldRecords = 200
	cell.cfg.SyncTimeout = 500 * time.Millisecond // the birth is not answered while the database is away
	plant.set(func(p *policy) { p.down = true })
	cell.birth("press-1", press)
	cell.start()
	eventually(t, "the hold", func() bool { return cell.up.Status().Hold })
	begin := time.Now()
	cell.readings("press-1", 100)
	eventually(t, "each live record", func() bool { return plant.count(isRecord) == 100 })
	if d := time.Since(begin); d < 300*time.Millisecond {
		t.Errorf("100 records took %v at 200 a second with a burst of 20", d)
	}
	plant.set(func(p *policy) { p.down = false })
	cell.drained(plant)
}

// TestHoldAcrossSessions: sent once means once, whatever the link does meanwhile.
func TestHoldAcrossSessions(t *testing.T) {
	_, plant, p, cell := plant(t)
	cell.repeating()
	cell.cfg.SyncTimeout = 500 * time.Millisecond // the birth is not answered while the database is away
	plant.set(func(p *policy) { p.down = true })
	cell.birth("press-1", press)
	cell.readings("press-1", 30)
	cell.start()
	eventually(t, "the hold", func() bool { return cell.up.Status().Hold })
	eventually(t, "each live record", func() bool { return plant.count(isRecord) == 30 })
	p.cut()
	plant.has("a second session", func(s *seen) bool { return s.birth != nil && s.birth.Session >= 2 })
	cell.readings("press-1", 10)
	eventually(t, "the new live records", func() bool { return plant.count(isRecord) >= 40 })
	never(t, cell.cfg.Retransmit+100*time.Millisecond, "a repeat while the database is away", func() bool { return plant.count(isRecord) > 40 })
	plant.set(func(p *policy) { p.down = false })
	cell.drained(plant)
}

// TestHoldWhileTheCollectorIsSilent: a collector that says nothing is as good as one
// without a database. Who else listens goes on seeing live records, each once.
func TestHoldWhileTheCollectorIsSilent(t *testing.T) {
	_, plant, _, cell := plant(t)
	cell.cfg.Quiet, cell.cfg.Silence, cell.cfg.Retransmit = 300*time.Millisecond, time.Minute, time.Minute
	cell.cfg.Heartbeat = time.Minute // it also looks for what was forgotten
	cell.birth("press-1", press)
	cell.start()
	cell.readings("press-1", 5)
	cell.drained(plant)
	plant.forget()
	plant.set(func(p *policy) { p.mute = true })
	cell.readings("press-1", 200)
	eventually(t, "the hold", func() bool { return cell.up.Status().Hold })
	eventually(t, "each live record", func() bool { return plant.count(isRecord) == 200 })
	never(t, 700*time.Millisecond, "a repeat while nothing is acknowledged", func() bool { return plant.count(isRecord) > 200 })
	if n := cell.buf.Stats().Records; n != 200 {
		t.Fatalf("%d records held, want all 200", n)
	}
	plant.set(func(p *policy) { p.mute = false })
	cell.drained(plant)
	eventually(t, "the end of the hold", func() bool { return !cell.up.Status().Hold })
	if n := cell.up.Status().Session; n != 1 {
		t.Errorf("session %d, want the first", n)
	}
}

// TestRebirthsAreNoSignOfTheIntake: pages and a sentinel ask for births as well, and go on when
// the intake has died.
func TestRebirthsAreNoSignOfTheIntake(t *testing.T) {
	_, plant, _, cell := plant(t)
	cell.cfg.Quiet, cell.cfg.Silence, cell.cfg.SyncTimeout = 300*time.Millisecond, time.Second, time.Minute
	cell.birth("press-1", press)
	cell.start()
	cell.readings("press-1", 5)
	cell.drained(plant)
	plant.set(func(p *policy) { p.mute = true })
	plant.forget()
	asked := func(cond func() bool) func() bool {
		return func() bool { plant.rebirth(); return cond() }
	}
	eventually(t, "births", asked(func() bool { return plant.count(isBirth) > 2 }))
	eventually(t, "the hold", asked(func() bool { return cell.up.Status().Hold }))
	heard := cell.up.Status().LastHeard
	eventually(t, "a second session", asked(func() bool { return cell.up.Status().Session == 2 }))
	if at := cell.up.Status().LastHeard; !at.Equal(heard) {
		t.Errorf("the last acknowledgement came at %v, and with nothing but requests for births at %v", heard, at)
	}
	plant.set(func(p *policy) { p.mute = false })
	cell.drained(plant)
}

// TestACollectorThatIsCutOff from the database, while another one commits, begins a hold and no
// more; without such a one, the first word begins it.
func TestACollectorThatIsCutOff(t *testing.T) {
	_, plant, _, cell := plant(t)
	cell.birth("press-1", press)
	cell.startCredited()
	for range 20 {
		plant.say(sparkplug.Ack{DB: sparkplug.DBDown, Credit: sparkplug.Credit{Records: 1, Bytes: 1}})
		cell.readings("press-1", 5)
		cell.heard(plant)
	}
	cell.drained(plant)
	if n := opstest.Metric(t, cell.reg, "andon_uplink_holds_total"); n == 0 || n > 4 { // a slow machine makes a hold long
		t.Errorf("%v holds", n)
	}
}

// TestNothingIsKnownWithoutASession: a hold ends with the session that was told of it.
func TestNothingIsKnownWithoutASession(t *testing.T) {
	_, plant, p, cell := plant(t)
	reg := prometheus.NewRegistry()
	cell.cfg.Metrics = uplink.NewMetrics(reg)
	plant.set(func(p *policy) { p.down = true })
	cell.birth("press-1", press)
	cell.start()
	figures := func() [5]float64 {
		return [5]float64{
			opstest.Metric(t, reg, "andon_uplink_connected"), opstest.Metric(t, reg, "andon_uplink_hold"),
			opstest.Metric(t, reg, "andon_uplink_born_units"),
			opstest.Metric(t, reg, "andon_uplink_credit_records"), opstest.Metric(t, reg, "andon_uplink_credit_bytes"),
		}
	}
	eventually(t, "the hold", func() bool { return figures() == [5]float64{1, 1, 1, 2, 8 << 20} })
	p.refuse(true)
	eventually(t, "the link is gone, and the hold", func() bool { return figures() == [5]float64{} })
	if st := cell.up.Status(); st.Connected || st.Hold || !st.HoldSince.IsZero() || st.HoldWhy != "" || st.Units != 0 || st.CreditRecords != 0 || st.CreditBytes != 0 {
		t.Errorf("without a link the status is %+v", st)
	}
}

// TestOfflineHost: a collector that is known to be away is waited for, without
// connecting anew for its silence; one that says that it is there and is silent is not.
func TestOfflineHost(t *testing.T) {
	_, plant, _, cell := plant(t)
	cell.cfg.Quiet, cell.cfg.Silence, cell.cfg.Retransmit = time.Minute, 2*time.Second, time.Minute
	say := func(online bool, ts int64) {
		plant.client.Publish("spBv1.0/STATE/andon", 1, true, sparkplug.State{Online: online, Timestamp: ts}.Append(nil)).WaitTimeout(patience)
	}
	say(true, 1)
	cell.birth("press-1", press)
	cell.start()
	cell.readings("press-1", 5)
	cell.drained(plant)
	plant.set(func(p *policy) { p.mute = true })
	say(false, 1) // as a will has it
	eventually(t, "the hold", func() bool { return cell.up.Status().Hold })
	plant.forget()
	cell.readings("press-1", 20)
	eventually(t, "each live record", func() bool { return plant.count(isRecord) == 20 })
	plant.rebirth() // pages or a sentinel that start again ask for it
	never(t, cell.cfg.Silence+500*time.Millisecond, "a second session", func() bool { return cell.up.Status().Session != 1 })
	say(true, 2)
	never(t, 300*time.Millisecond, "a second session before it could say anything", func() bool { return cell.up.Status().Session != 1 })
	eventually(t, "a second session", func() bool { return cell.up.Status().Session > 1 })
	plant.set(func(p *policy) { p.mute = false })
	cell.drained(plant)
}
