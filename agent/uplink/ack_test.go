package uplink_test

import (
	"sync"
	"testing"
	"time"

	"andon.internal/agent/buffer"
	"andon.internal/shared/ops/opstest"
	"andon.internal/shared/ranges"
	"andon.internal/shared/sparkplug"
	"andon.internal/shared/telemetry"
)

func TestCreditIsKept(t *testing.T) {
	_, plant, _, cell := plant(t)
	plant.set(func(p *policy) { p.credit.Records = 16 })
	cell.birth("press-1", press)
	cell.startCredited()
	plant.set(func(p *policy) { p.noAck = true })
	cell.readings("press-1", 100)
	eventually(t, "the first records", func() bool { return plant.count(isRecord) >= 2 })
	cell.heard(plant)
	never(t, 150*time.Millisecond, "more than two records in flight at the start", func() bool { return plant.maximum() > 2 })
	plant.set(func(p *policy) { p.noAck = false })
	cell.drained(plant)
	if n := plant.maximum(); n > 16 {
		t.Errorf("%d records were in flight with a credit of 16", n)
	}
	eventually(t, "the credit is the 16 that were granted", func() bool { return cell.up.Status().CreditRecords == 16 })
}

// TestTheCollectorsTimeIsTold with each acknowledgement.
func TestTheCollectorsTimeIsTold(t *testing.T) {
	_, plant, _, cell := plant(t)
	var mu sync.Mutex
	var told []time.Time
	cell.cfg.Told = func(at time.Time) { mu.Lock(); defer mu.Unlock(); told = append(told, at) }
	cell.birth("press-1", press)
	begin := time.Now().Truncate(time.Millisecond)
	cell.startCredited()
	cell.readings("press-1", 10)
	cell.drained(plant)
	mu.Lock()
	defer mu.Unlock()
	if len(told) == 0 {
		t.Fatal("it was told nothing")
	}
	for _, at := range told {
		if at.Before(begin) || at.After(time.Now()) {
			t.Errorf("it was told %v, between %v and now", at, begin)
		}
	}
}

func TestCreditInBytes(t *testing.T) {
	_, plant, _, cell := plant(t)
	plant.set(func(p *policy) { p.credit = sparkplug.Credit{Records: 1000, Bytes: 200 << 10} })
	cell.birth("press-1", press)
	cell.startCredited()
	for range 60 { // about 60 KB each
		cell.append(cell.take("press-1", 1000))
	}
	cell.drained(plant)
	plant.mu.Lock()
	defer plant.mu.Unlock()
	if plant.maxBytes > 200<<10 {
		t.Errorf("%d bytes were in flight with a credit of %d", plant.maxBytes, 200<<10)
	}
}

func TestRecordLargerThanCreditStillGoes(t *testing.T) {
	_, plant, _, cell := plant(t)
	plant.set(func(p *policy) { p.credit = sparkplug.Credit{Records: 1, Bytes: 1} })
	cell.birth("press-1", press)
	cell.startCredited()
	for range 5 {
		cell.append(cell.take("press-1", 500))
	}
	cell.drained(plant)
	if n := plant.maximum(); n != 1 {
		t.Errorf("%d records were in flight with a credit of 1", n)
	}
}

func TestLostAcknowledgements(t *testing.T) {
	_, plant, _, cell := plant(t)
	plant.set(func(p *policy) { p.noAck = true })
	cell.repeating()
	cell.birth("press-1", press)
	cell.start()
	cell.readings("press-1", 2)
	eventually(t, "the records are sent again", func() bool { return plant.count(isRecord) >= 6 })
	records := plant.all(isRecord)
	if records[0].historical || !records[len(records)-1].historical {
		t.Error("the first transmission must be live, the repeats historical")
	}
	plant.set(func(p *policy) { p.noAck = false })
	cell.drained(plant)
	if plant.repeated() == 0 {
		t.Error("the collector saw no repeats")
	}
}

func TestLostRecordsAreSentAgain(t *testing.T) {
	_, plant, _, cell := plant(t)
	n := 0
	plant.set(func(p *policy) {
		p.lose = func(s *seen) bool { n++; return n%3 == 0 }
	})
	cell.repeating()
	cell.birth("press-1", press)
	cell.start()
	for range 10 {
		cell.readings("press-1", 5)
		time.Sleep(5 * time.Millisecond)
	}
	cell.drained(plant)
	for _, s := range plant.all(isRecord) {
		first := plant.find(func(o *seen) bool { return o.record != nil && o.header == s.header || samePosition(o, s) })
		if first != s && !s.historical {
			t.Errorf("position %d was sent again without the historical flag", s.header.Position)
		}
		if first == s && s.historical {
			t.Errorf("position %d was historical at its first transmission", s.header.Position)
		}
	}
}

func samePosition(a, b *seen) bool {
	return a.record != nil && a.header.Epoch == b.header.Epoch && a.header.Position == b.header.Position
}

func TestForgedAcknowledgements(t *testing.T) {
	_, plant, _, cell := plant(t)
	// Two records fill the window, and nothing but acknowledgements opens it.
	cell.cfg.Retransmit, cell.cfg.RetransmitMax, cell.cfg.SyncTimeout = time.Hour, time.Hour, time.Hour
	plant.set(func(p *policy) { p.noAck, p.noSync = true, true })
	cell.birth("press-1", press)
	cell.readings("press-1", 5)
	cell.reopen()
	cell.readings("press-1", 100)
	cell.start()
	eventually(t, "two live records", func() bool { return plant.count(isRecord) >= 2 })
	chain := cell.buf.Chain()
	before := cell.buf.Stats().Records
	forge := func(e buffer.Epoch, from, to uint64) {
		plant.say(sparkplug.Ack{
			Epochs: []sparkplug.EpochRanges{{Epoch: e, Committed: ranges.Of(ranges.Range{From: from, To: to})}},
			Credit: sparkplug.Credit{Records: 1, Bytes: 1},
		})
	}
	forge(chain[1].Epoch, 2, 1000)                         // never sent
	forge(chain[0].Epoch, 5, 1000)                         // never stored
	forge(telemetry.Epoch{1, 2, 3}, 0, ranges.MaxPosition) // never existed
	cell.heard(plant)
	never(t, 150*time.Millisecond, "a forged acknowledgement deleted something", func() bool { return cell.buf.Stats().Records < before })
	// Of one that is partly true, that part counts.
	forge(chain[1].Epoch, 0, 1000)
	eventually(t, "the true part is obeyed", func() bool { return cell.buf.Stats().Records == before-2 })
	forge(chain[0].Epoch, 0, 1000)
	eventually(t, "an earlier epoch is obeyed up to what was stored", func() bool { return cell.buf.Stats().Records == before-7 })
	// 998 beyond what was sent, and 995 beyond what was stored; twice each. What was
	// obeyed of an epoch that is done with is not refused.
	if got := opstest.Metric(t, cell.reg, "andon_uplink_refused_positions_total"); got < 998+995+998 {
		t.Errorf("%v positions were counted as refused", got)
	}
	if st := cell.up.Status(); st.Session != 1 || !st.Connected {
		t.Errorf("forged acknowledgements ended the session: %+v", st)
	}
}

func TestRepeatedAcknowledgements(t *testing.T) {
	_, plant, _, cell := plant(t)
	cell.birth("press-1", press)
	cell.start()
	cell.readings("press-1", 20)
	cell.drained(plant)
	epoch := telemetry.Epoch(cell.buf.Epoch())
	cell.readings("press-1", 20)
	for range 50 { // old news, again and again
		plant.say(sparkplug.Ack{
			Epochs: []sparkplug.EpochRanges{{Epoch: epoch, Committed: ranges.Of(ranges.Range{From: 0, To: 20}, ranges.Range{From: 3, To: 9})}},
			Credit: sparkplug.Credit{Records: 64, Bytes: 1 << 20},
		})
	}
	cell.drained(plant)
}
