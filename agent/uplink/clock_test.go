package uplink_test

import (
	"sync"
	"testing"

	"andon.internal/agent/clock"
)

// TestEachRecordReadsTheClocks: a record says at what boot time it was sent, read for it
// alone, though many are sent in one go: with the wall time it is an anchor.
func TestEachRecordReadsTheClocks(t *testing.T) {
	_, plant, _, cell := plant(t)
	reads := int64(0)
	var mu sync.Mutex
	cell.cfg.Clock = func() clock.Time {
		mu.Lock()
		defer mu.Unlock()
		reads++
		return clock.Time{Wall: reads * 1e6, Boot: 42e9 + reads}
	}
	cell.birth("press-1", press)
	cell.readings("press-1", 3)
	cell.start()
	cell.drained(plant)
	looks := map[int64]bool{}
	for i, s := range plant.all(func(s *seen) bool { return s.record != nil }) {
		if at := s.header.SentBoot; looks[at] {
			t.Errorf("record %d was sent at the boot time of another look", i)
		}
		looks[s.header.SentBoot] = true
	}
}
