package uplink_test

import (
	"testing"

	"andon.internal/agent/clock"
)

// TestEachRecordReadsTheClocks: a record says at what boot time it was sent, read for it
// alone, though many are sent in one go: with the wall time it is an anchor.
func TestEachRecordReadsTheClocks(t *testing.T) {
	_, plant, _, cell := plant(t)
	reads := int64(0)
	cell.cfg.Clock = func() clock.Time { // of the uplink's goroutine alone
		reads++
		return clock.Time{Wall: reads * 1e6, Boot: 42e9 + reads}
	}
	cell.birth("press-1", press)
	cell.readings("press-1", 3)
	cell.start()
	cell.drained(plant)
	for i, s := range plant.all(func(s *seen) bool { return s.record != nil }) {
		if n := s.header.SentBoot - 42e9; n != int64(i)+1 {
			t.Errorf("record %d was sent at the boot time of look %d", i, n)
		}
	}
}
