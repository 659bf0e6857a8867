package uplink_test

import (
	"testing"
	"time"

	"andon.internal/shared/ranges"
	"andon.internal/shared/telemetry"
)

func TestLiveGoesFirst(t *testing.T) {
	_, plant, _, cell := plant(t)
	plant.set(func(p *policy) { p.credit.Records = 4 })
	cell.birth("press-1", press)
	cell.birth("press-2", press)
	const backlog, live = 1000, 50
	for range backlog {
		cell.append(cell.take("press-1", 1))
	}
	cell.reopen()
	cell.start()
	of := func(unit string) int {
		return plant.count(func(s *seen) bool { return s.record != nil && s.unit == unit })
	}
	eventually(t, "the backlog drains", func() bool { return of("press-1") > 20 })
	for range live {
		cell.append(cell.take("press-2", 1))
		time.Sleep(2 * time.Millisecond)
	}
	eventually(t, "live records arrive", func() bool { return of("press-2") == live })
	if n := of("press-1"); n > backlog*3/4 {
		t.Errorf("%d of %d records of the backlog came before the last live one", n, backlog)
	}
	cell.drained(plant)
}

// TestManyGapsCloseOldestFirst: with more gaps than allowed, live waits in line.
func TestManyGapsCloseOldestFirst(t *testing.T) {
	_, plant, _, cell := plant(t)
	cell.cfg.MaxHoles = 10
	cell.birth("press-1", press)
	cell.readings("press-1", 60)
	old := cell.buf.Epoch()
	cell.reopen()
	var every3rd ranges.Set
	for p := uint64(0); p < 60; p += 3 {
		every3rd.Add(p, p+1)
		delete(cell.appended, key{telemetry.Epoch(old), p})
	}
	if err := cell.buf.Ack(old, every3rd); err != nil {
		t.Fatal(err)
	}
	cell.readings("press-1", 20)
	cell.start()
	cell.drained(plant)
	var last *seen
	for _, s := range plant.all(isRecord) {
		if last != nil && last.header.Epoch != telemetry.Epoch(old) && s.header.Epoch == telemetry.Epoch(old) {
			t.Fatalf("position %d of the older epoch came after live ones", s.header.Position)
		}
		last = s
	}
	// With the gaps closed, live goes first again.
	plant.forget()
	cell.readings("press-1", 5)
	cell.drained(plant)
}
