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
	plant.mu.Lock()
	epoch := telemetry.Epoch(cell.buf.Epoch())
	plant.ledger[epoch].Remove(10, 20)
	plant.mu.Unlock()
	isLoss := func(s *seen) bool { return s.loss != nil && s.loss.Reason == telemetry.LossDatabase }
	p.cut()
	told := plant.has("the loss", isLoss).loss
	if told.Epoch != epoch || told.From != 10 || told.To != 20 {
		t.Errorf("told is %+v, want positions 10 to 20", told)
	}
	eventually(t, "everything is acknowledged", cell.empty)
	p.cut()
	plant.has("a third session", func(s *seen) bool { return s.birth != nil && s.birth.Session == 3 })
	cell.readings("press-1", 1)
	eventually(t, "it goes on", cell.empty)
	var positions ranges.Set
	for _, s := range plant.all(isLoss) {
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
		for _, s := range plant.all(isLoss) {
			if s.header.Position >= before {
				lost.Add(s.loss.From, s.loss.To)
			}
		}
		return lost.Len() == 10+before-(positions.End()-1) && lost.Contains(10) && lost.Contains(before-1)
	})
}
