package plant_test

import (
	"testing"
	"time"

	"andon.internal/collector/plant"
)

// TestTimeUntilABacklogIsHome at the pace of the last half minute.
func TestTimeUntilABacklogIsHome(t *testing.T) {
	p := plant.New(plant.Config{})
	beat := func(s float64, rows uint64, oldest time.Duration) time.Duration {
		t.Helper()
		p.Heartbeat(at(s), cell, plant.Buffer{Rows: rows, Oldest: oldest})
		return p.Snapshot(at(s)).Cells[0].CatchUp
	}
	const old = time.Minute
	if got := beat(0, 500, time.Second); got != 0 {
		t.Errorf("without a backlog: %v", got)
	}
	if got := beat(2, 10_000, old); got != 0 {
		t.Errorf("at its beginning: %v", got)
	}
	beat(4, 9_600, old)
	if got := beat(6, 9_200, old); got != 46*time.Second { // 200 a second
		t.Errorf("while it shrinks: %v, want 46 s", got)
	}
	for s := 8.0; s <= 38; s += 2 { // 100 a second from here on
		beat(s, 9_200-uint64(100*(s-6)), old)
	}
	if got := beat(40, 5_800, old); got != 58*time.Second {
		t.Errorf("at the pace of the last half minute: %v, want 58 s", got)
	}
	for s := 42.0; s <= 72; s += 2 {
		beat(s, 5_800, old)
	}
	if got := beat(74, 5_900, old); got != plant.Never {
		t.Errorf("while it grows: %v", got)
	}
	if got := beat(90, 100, old); got != 0 {
		t.Errorf("after a silence: %v", got)
	}
	p.NodeDied(at(91), cell)
	if got := p.Snapshot(at(92)).Cells[0].CatchUp; got != 0 {
		t.Errorf("offline: %v", got)
	}
	p.Heartbeat(at(93), cell, plant.Buffer{Rows: 1, Oldest: time.Second})
	if got := p.Snapshot(at(93)).Cells[0].CatchUp; got != 0 {
		t.Errorf("when it is home: %v", got)
	}
}
