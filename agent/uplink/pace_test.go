package uplink_test

import (
	"testing"
	"time"
)

// TestRateIsKept: on a thin link others keep their part, whatever waits.
func TestRateIsKept(t *testing.T) {
	_, plant, _, cell := plant(t)
	const rate = 50 << 10
	cell.cfg.MaxRate = rate
	cell.cfg.Retransmit, cell.cfg.RetransmitMax = time.Hour, time.Hour
	cell.birth("press-1", press)
	for range 200 {
		cell.append(cell.take("press-1", 10))
	}
	cell.reopen()
	begin := time.Now()
	cell.start()
	eventually(t, "some of the backlog", func() bool { return plant.count(isRecord) >= 20 })
	took := time.Since(begin)
	plant.mu.Lock()
	sent := 0
	for _, s := range plant.log {
		sent += s.size + 120
	}
	plant.mu.Unlock()
	// What was sent last is paid for afterwards, and a burst comes before.
	if most := rate*(took.Seconds()+0.1) + 16<<10; float64(sent) > most {
		t.Errorf("%d bytes in %v, at most %.0f are allowed", sent, took, most)
	}
	cell.stop()
}

// TestLiveGoesFirstOnAThinLink: fresh readings do not queue behind the backlog, and where
// they alone would fill the link the backlog still gets home.
func TestLiveGoesFirstOnAThinLink(t *testing.T) {
	_, plant, _, cell := plant(t)
	cell.cfg.MaxRate = 60 << 10
	cell.cfg.Retransmit, cell.cfg.RetransmitMax = time.Hour, time.Hour
	cell.birth("press-1", press)
	cell.birth("press-2", press)
	for range 300 {
		cell.append(cell.take("press-1", 10))
	}
	cell.reopen()
	cell.start()
	of := func(unit string) int {
		return plant.count(func(s *seen) bool { return s.record != nil && s.unit == unit })
	}
	eventually(t, "the backlog drains", func() bool { return of("press-1") > 3 })
	// More than the link takes, for a second.
	before := of("press-1")
	live := 0
	for until := time.Now().Add(1500 * time.Millisecond); time.Now().Before(until); time.Sleep(5 * time.Millisecond) {
		cell.append(cell.take("press-2", 10))
		live++
	}
	seen, back := of("press-2"), of("press-1")-before
	if back < 1 || back*4 > seen {
		t.Errorf("%d live records of %d and %d of the backlog went out: want mostly live, and some backlog", seen, live, back)
	}
	cell.stop()
}
