package uplink_test

import (
	"testing"

	"andon.internal/shared/ranges"
	"andon.internal/shared/telemetry"
)

// TestTellsWhatTheDatabaseLost: without retain, what a restored database lacks cannot be sent
// again. It is told as lost, once, however often the database is asked.
func TestTellsWhatTheDatabaseLost(t *testing.T) {
	_, plant, p, cell := plant(t)
	cell.birth("press-1", press)
	cell.start()
	cell.readings("press-1", 20)
	cell.drained(plant)
	epoch := telemetry.Epoch(cell.buf.Epoch())
	wantTold(plant, p, epoch, 10, 20)
	eventually(t, "everything is acknowledged", cell.empty)
	p.cut()
	plant.has("a third session", func(s *seen) bool { return s.birth != nil && s.birth.Session >= 3 })
	cell.readings("press-1", 1)
	eventually(t, "it goes on", cell.empty)
	var positions ranges.Set
	for _, s := range plant.all(isGone) {
		positions.Add(s.header.Position, s.header.Position+1)
	}
	if positions.Len() != 1 {
		t.Errorf("told at positions %s, want one", positions)
	}
	// An older copy lacks that record too, and what came behind it.
	plant.mu.Lock()
	before := plant.ledger[epoch].End()
	plant.ledger[epoch].Remove(positions.End()-1, before)
	plant.mu.Unlock()
	p.cut()
	eventually(t, "all of it is told", func() bool {
		var lost ranges.Set
		for _, s := range plant.all(isGone) {
			if s.header.Position >= before {
				lost.Add(s.loss.From, s.loss.To)
			}
		}
		return lost.Len() == 10+before-(positions.End()-1) && lost.Contains(10) && lost.Contains(before-1)
	})
}

// wantTold lets the database lose positions, and the cell tell them.
func wantTold(plant *collector, p *proxy, e telemetry.Epoch, from, to uint64) {
	plant.t.Helper()
	plant.putBack(e, from, to)
	p.cut()
	told := plant.has("the loss", isGone).loss
	if told.Epoch != e || told.From != from || told.To != to {
		plant.t.Errorf("told is %+v, want positions %d to %d of %s", told, from, to, e)
	}
}

// TestTellsWhatTheDatabaseLostOfAnEarlierLife: what this process learned to be stored of an
// epoch before its own counts like what it sent of it.
func TestTellsWhatTheDatabaseLostOfAnEarlierLife(t *testing.T) {
	_, plant, p, cell := plant(t)
	cell.birth("press-1", press)
	cell.readings("press-1", 20)
	old := telemetry.Epoch(cell.buf.Epoch())
	cell.reopen()
	plant.mu.Lock()
	plant.set1(old).Add(0, 10) // before it ended
	plant.mu.Unlock()
	cell.start()
	eventually(t, "the rest is acknowledged", cell.empty)
	wantTold(plant, p, old, 5, 15)
	eventually(t, "everything is acknowledged", cell.empty)
}
