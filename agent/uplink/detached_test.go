package uplink_test

import (
	"errors"
	"slices"
	"testing"

	"andon.internal/agent/buffer"
	"andon.internal/shared/ranges"
	"andon.internal/shared/sparkplug"
	"andon.internal/shared/telemetry"
)

// TestListsWhatALateDiskHas: what was found on a disk that came late is listed in a birth, also
// where a second epoch had begun meanwhile, and so comes.
func TestListsWhatALateDiskHas(t *testing.T) {
	_, plant, _, cell := plant(t)
	cell.birth("press-1", press)
	cell.readings("press-1", 5)
	old := telemetry.Epoch(cell.buf.Epoch())
	if err := cell.buf.Close(); err != nil {
		t.Fatal(err)
	}
	b, err := buffer.OpenDetached(buffer.Options{Dir: cell.dir, Logger: logger()}, errors.New("no disk"))
	if err != nil {
		t.Fatal(err)
	}
	cell.buf, cell.up = b, nil
	cell.readings("press-1", 5)
	if err := cell.buf.NewEpoch(ranges.Set{}); err != nil { // a snapshot was resumed
		t.Fatal(err)
	}
	cell.start()
	eventually(t, "what is in memory is acknowledged", cell.empty)
	if err := cell.buf.Attach(); err != nil {
		t.Fatal(err)
	}
	plant.has("a birth that lists what was on the disk", func(s *seen) bool {
		return s.birth != nil && slices.ContainsFunc(s.birth.Chain, func(c sparkplug.ChainEpoch) bool { return c.Epoch == old })
	})
	eventually(t, "all of it is acknowledged", cell.empty)
}
