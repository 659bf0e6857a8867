package uplink_test

import (
	"math/rand/v2"
	"reflect"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"andon.internal/agent/buffer"
	"andon.internal/agent/uplink"
	"andon.internal/shared/ops/opstest"
	"andon.internal/shared/sparkplug"
	"andon.internal/shared/telemetry"
)

// TestRecordThatNeverArrivesIsParked: others pass, the poison is put aside, and the
// day it is accepted it arrives.
func TestRecordThatNeverArrivesIsParked(t *testing.T) {
	_, plant, _, cell := plant(t)
	cell.cfg.Retransmit, cell.cfg.RetransmitMax = 50*time.Millisecond, 100*time.Millisecond
	cell.cfg.ParkAfter, cell.cfg.ParkFor, cell.cfg.ParkMax = 3, 300*time.Millisecond, 400*time.Millisecond
	plant.set(func(p *policy) {
		p.lose = func(s *seen) bool { return s.header.Position == 5 }
	})
	cell.birth("press-1", press)
	cell.start()
	var got uplink.Parked
	parked := func() bool { // while it is tried again it is not, nor are others that were slow
		for _, got = range cell.up.Status().Parked {
			if got.Position == 5 {
				return true
			}
		}
		return false
	}
	eventually(t, "it is parked", func() bool {
		cell.readings("press-1", 1)
		return parked()
	})
	if got.Unit != "press-1" || got.Reason == "" || got.Times < 1 {
		t.Errorf("parked %+v, want position 5 of press-1 with a reason", got)
	}
	eventually(t, "all others are acknowledged", func() bool { return cell.buf.Stats().Records == 1 })
	eventually(t, "it is tried again and parked again", func() bool { return parked() && got.Times >= 2 })
	plant.set(func(p *policy) { p.lose = nil })
	cell.drained(plant)
	eventually(t, "nothing is parked", func() bool { return len(cell.up.Status().Parked) == 0 })
}

// TestRecordThatBreaksConnectionsIsParked: the broker throws the cell out for it.
func TestRecordThatBreaksConnectionsIsParked(t *testing.T) {
	b := startBroker(t, 64<<10)
	p := startProxy(t, b.addr, nil)
	plant := startCollector(t, "tcp://"+b.addr)
	cell := newCell(t, fast(p.url()))
	cell.cfg.ParkAfter, cell.cfg.ParkFor, cell.cfg.WellAfter = 3, 10*time.Minute, time.Hour
	cell.birth("press-1", press)
	cell.start()
	cell.readings("press-1", 3)
	cell.drained(plant)
	cell.append(cell.take("press-1", 1500)) // about 90 KB on the wire
	cell.readings("press-1", 10)
	eventually(t, "all others are acknowledged", func() bool { return cell.buf.Stats().Records == 1 && len(cell.up.Status().Parked) > 0 })
	parked := cell.up.Status().Parked
	if len(parked) != 1 || parked[0].Position != 3 {
		t.Fatalf("parked %+v, want position 3", parked)
	}
	session := cell.up.Status().Session
	cell.readings("press-1", 10)
	eventually(t, "the others go on", func() bool { return cell.buf.Stats().Records == 1 })
	if st := cell.up.Status(); st.Session != session {
		t.Errorf("%d more sessions were broken by a parked record", st.Session-session)
	}
}

// TestAWellSessionTriesWhatBrokenOnesParked: the link was bad, and not the record.
func TestAWellSessionTriesWhatBrokenOnesParked(t *testing.T) {
	_, plant, p, cell := plant(t)
	reg := prometheus.NewRegistry()
	cell.cfg.Metrics = uplink.NewMetrics(reg)
	cell.cfg.ParkAfter, cell.cfg.ParkFor, cell.cfg.WellAfter = 2, time.Hour, 200*time.Millisecond
	cell.cfg.Retransmit, cell.cfg.RetransmitMax = time.Hour, time.Hour
	plant.set(func(p *policy) { p.lose = func(*seen) bool { return true } })
	cell.birth("press-1", press)
	cell.start()
	cell.readings("press-1", 1)
	for n := uint64(1); n <= 2; n++ {
		plant.has("it is in flight", func(s *seen) bool { return s.record != nil && s.session == n })
		if n == 2 {
			plant.set(func(p *policy) { p.lose = nil })
		}
		p.cut()
	}
	cell.drained(plant)
	if n := opstest.Metric(t, reg, "andon_uplink_parkings_total"); n != 1 {
		t.Errorf("it was parked %v times, want once", n)
	}
}

// TestMessageTooLargeForTheBroker is not even tried.
func TestMessageTooLargeForTheBroker(t *testing.T) {
	_, plant, _, cell := plant(t)
	cell.cfg.MaxMessage = 32 << 10
	cell.birth("press-1", press)
	cell.start()
	cell.append(cell.take("press-1", 1500))
	cell.readings("press-1", 10)
	eventually(t, "all others are acknowledged", func() bool { return cell.buf.Stats().Records == 1 && len(cell.up.Status().Parked) > 0 })
	if parked := cell.up.Status().Parked; len(parked) != 1 || parked[0].Position != 0 {
		t.Errorf("parked %+v, want position 0", parked)
	}
	if n := plant.count(isBirth); n != 1 {
		t.Errorf("%d births, want 1", n)
	}
}

func TestUnreadableRecordIsParked(t *testing.T) {
	_, _, _, cell := plant(t)
	cell.birth("press-1", press)
	cell.readings("press-1", 2)
	if _, err := cell.buf.Append([]buffer.Item{{Data: []byte("rubbish"), Label: "press-1", Rows: 1}}, nil); err != nil {
		t.Fatal(err)
	}
	cell.readings("press-1", 2)
	cell.start()
	eventually(t, "all others are acknowledged", func() bool { return cell.buf.Stats().Records == 1 && len(cell.up.Status().Parked) > 0 })
	if parked := cell.up.Status().Parked; len(parked) != 1 || parked[0].Position != 2 {
		t.Errorf("parked %+v, want position 2", parked)
	}
}

func TestCleanStop(t *testing.T) {
	_, plant, _, cell := plant(t)
	cell.cfg.StopRound, cell.cfg.Retransmit, cell.cfg.RetransmitMax = patience/2, time.Hour, time.Hour
	cell.birth("press-1", press)
	cell.start()
	plant.has("a birth", isBirth)
	cell.readings("press-1", 50)
	if d := cell.stop(); d >= cell.cfg.StopRound {
		t.Errorf("a clean stop took %v on a good link: not the acknowledgements ended it", d)
	}
	// What was fresh has gone out and come home, and the farewell was in order.
	cell.drained(plant)
	death := plant.has("the death", isKind(sparkplug.NDeath))
	if death.bdSeq != 0 {
		t.Errorf("death of bdSeq %d, want 0", death.bdSeq)
	}
	never(t, 100*time.Millisecond, "a will after a clean stop", func() bool { return plant.count(isKind(sparkplug.NDeath)) > 1 })
	if st := cell.up.Status(); st.Connected {
		t.Error("still connected after the stop")
	}
}

// TestCleanStopAtTheBeginning: also what still waits for the answer to the birth goes out.
func TestCleanStopAtTheBeginning(t *testing.T) {
	_, plant, _, cell := plant(t)
	cell.cfg.StopRound, cell.cfg.Retransmit, cell.cfg.RetransmitMax = patience/2, time.Hour, time.Hour
	cell.cfg.SyncGrace, cell.cfg.SyncTimeout = 300*time.Millisecond, time.Hour
	plant.set(func(p *policy) { p.noSync = true })
	cell.birth("press-1", press)
	cell.start()
	plant.has("a birth", isBirth)
	cell.readings("press-1", 50)
	cell.stop()
	cell.drained(plant)
}

func TestCleanStopWithHungNetwork(t *testing.T) {
	_, plant, p, cell := plant(t)
	cell.cfg.StopRound, cell.cfg.Farewell = 0, 0 // the defaults, 3.5 s together
	// Nothing else ends the wait.
	cell.cfg.Silence, cell.cfg.Retransmit, cell.cfg.RetransmitMax = time.Hour, time.Hour, time.Hour
	cell.cfg.WriteTimeout, cell.cfg.PingTimeout = time.Hour, time.Hour
	cell.birth("press-1", press)
	cell.start()
	cell.readings("press-1", 5)
	cell.drained(plant)
	p.stall(true)
	for range 40 { // more than the socket takes
		cell.append(cell.take("press-1", 4000))
	}
	eventually(t, "records are on their way", func() bool { return cell.up.Status().InFlightRecords > 0 })
	if d := cell.stop(); d > 4500*time.Millisecond+busy {
		t.Errorf("a stop with a hung network took %v, want at most 4.5 s", d)
	}
	held := cell.buf.Stats().Records
	if held != 40 {
		t.Errorf("%d records held after the stop, want all 40", held)
	}
	p.stall(false)
	cell.start()
	cell.drained(plant)
}

func TestStopWhileConnecting(t *testing.T) {
	_, _, p, cell := plant(t)
	cell.cfg.ConnectTimeout = time.Hour
	p.stall(true) // the connection opens, and no CONNACK comes
	cell.start()
	eventually(t, "the connection is open", p.open)
	if d := cell.stop(); d > time.Second+busy {
		t.Errorf("a stop while connecting took %v, want at most 1 s", d)
	}
}

// TestRandomFaults cuts, stalls, loses, holds and restarts at random.
func TestRandomFaults(t *testing.T) {
	for _, seed := range []uint64{1, 2, 3} {
		t.Run("", func(t *testing.T) {
			t.Logf("seed %d", seed)
			rnd := rand.New(rand.NewPCG(seed, 0))
			b, plant, p, cell := plant(t)
			plant.lenient = true
			cell.cfg.Silence, cell.cfg.SyncTimeout = 500*time.Millisecond, 500*time.Millisecond
			cell.cfg.Retransmit, cell.cfg.RetransmitMax = 100*time.Millisecond, time.Second
			cell.birth("press-1", press)
			cell.start()
			units := 1
			for range 40 {
				switch rnd.IntN(9) {
				case 0:
					p.cut()
				case 1:
					p.refuse(true)
				case 2:
					p.stall(true)
				case 3:
					lost := rnd.IntN(3) + 2
					n := 0
					plant.set(func(p *policy) { p.lose = func(*seen) bool { n++; return n%lost == 0 } })
				case 4:
					plant.set(func(p *policy) { p.down = !p.down })
				case 5:
					plant.set(func(p *policy) { p.noAck = !p.noAck })
				case 6:
					cell.restart()
				case 7:
					cell.end("press-1")
					cell.birth("press-1", press)
					units++
				case 8:
					b.stop()
					b.start()
				}
				cell.readings("press-1", rnd.IntN(20))
				time.Sleep(time.Duration(rnd.IntN(40)) * time.Millisecond)
				p.refuse(false)
				p.stall(false)
			}
			plant.set(func(p *policy) { p.lose, p.down, p.noAck = nil, false, false })
			cell.drained(plant)
			if st := cell.up.Status(); st.Session == 0 {
				t.Errorf("status %+v after %d runs", st, units)
			}
		})
	}
}

// TestLossRecordIsSent: what the buffer had to drop is told, and the telling is kept
// until it is acknowledged.
func TestLossRecordIsSent(t *testing.T) {
	_, plant, p, cell := plant(t)
	p.refuse(true)
	cell.birth("press-1", press)
	cell.readings("press-1", 2)
	huge := buffer.Item{Data: make([]byte, 300<<10), Label: "press-1", Rows: 9, First: 1, Last: 2}
	position, err := cell.buf.Append([]buffer.Item{huge}, nil)
	if err != nil {
		t.Fatal(err)
	}
	cell.readings("press-1", 2)
	cell.start()
	p.refuse(false)
	got := plant.has("the loss", func(s *seen) bool { return s.loss != nil })
	want := telemetry.Loss{
		Epoch: telemetry.Epoch(cell.buf.Epoch()), From: position, To: position + 1, Reason: telemetry.LossOversize,
		Units: []string{"press-1"}, Readings: 9, First: 1, Last: 2,
	}
	if !reflect.DeepEqual(*got.loss, want) {
		t.Errorf("loss %+v, want %+v", *got.loss, want)
	}
	eventually(t, "everything is acknowledged", cell.empty)
}
