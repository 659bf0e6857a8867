package buffer_test

import (
	"path/filepath"
	"testing"

	"andon.internal/agent/buffer"
)

// TestAnothersFileIsNoLoss: another buffer's file among those of one that was not closed
// makes nothing of its own lost, and no epoch longer.
func TestAnothersFileIsNoLoss(t *testing.T) {
	o, epoch, path := crashed(t)
	other, _ := filled(t, 12, 1000)
	from := recordFiles(t, other.Dir)[0]
	if err := copyFile(from, filepath.Join(filepath.Dir(path), filepath.Base(from))); err != nil {
		t.Fatal(err)
	}
	b, err := buffer.Open(o)
	if err != nil {
		t.Fatal(err)
	}
	defer closeChecked(t, b)
	_ = b.Ack(epoch, set(0, 1))
	within(t, "all is told", func() bool { return buffer.OpenLosses(b) == 0 })
	wantLane(t, b, buffer.Backlog, "1:1 2:2")
	if st := b.Stats(); st.LostRecords != 0 || b.Chain()[0].Next != 3 {
		t.Errorf("%d records lost, the epoch ended at %d", st.LostRecords, b.Chain()[0].Next)
	}
}
