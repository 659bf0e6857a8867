package uplink_test

import (
	"testing"
	"time"

	"andon.internal/shared/sparkplug"
	"andon.internal/shared/telemetry"
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
	plant.mu.Lock()
	took := time.Since(begin)
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
	plant.set(func(p *policy) { p.credit = sparkplug.Credit{Records: 1000, Bytes: 64 << 20} }) // the rate alone is short
	cell.birth("press-1", press)
	cell.birth("press-2", press)
	tens := func(unit string, n int) (list []*telemetry.Record) {
		for range n {
			list = append(list, cell.take(unit, 10))
		}
		return list
	}
	cell.append(tens("press-1", 300)...)
	cell.reopen()
	cell.startCredited()
	of := func(unit string) int {
		return plant.count(func(s *seen) bool { return s.record != nil && s.unit == unit })
	}
	eventually(t, "the backlog drains", func() bool { return of("press-1") > 3 })
	// What the link takes in more than a second.
	const live = 100
	cell.append(tens("press-2", live)...)
	eventually(t, "live records arrive", func() bool { return of("press-2") == live })
	first, back := false, 0
	for seen, rest := 0, plant.all(isRecord); seen < live; rest = rest[1:] {
		switch {
		case rest[0].unit == "press-2":
			seen, first = seen+1, true
		case first:
			back++
		}
	}
	if back < 1 || back*4 > live {
		t.Errorf("%d live records went out with %d of the backlog between: want mostly live, and some backlog", live, back)
	}
	cell.stop()
}
