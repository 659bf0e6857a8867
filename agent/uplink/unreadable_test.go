package uplink_test

import (
	"errors"
	"os"
	"path/filepath"
	"sync/atomic"
	"testing"

	"andon.internal/agent/buffer"
	"andon.internal/agent/uplink"
)

// TestAFileThatDoesNotOpen: one file of the backlog that cannot be read holds up neither live
// records nor the other files, and what is in it comes as soon as it can be read.
func TestAFileThatDoesNotOpen(t *testing.T) {
	_, plant, _, cell := plant(t)
	if err := cell.buf.Close(); err != nil {
		t.Fatal(err)
	}
	var err error
	if cell.buf, err = buffer.Open(buffer.Options{Dir: cell.dir, RotateBytes: 1 << 20, BootID: [16]byte{7, 7}}); err != nil {
		t.Fatal(err)
	}
	cell.birth("press-1", press)
	cell.birth("press-2", press)
	for i := range 60 {
		cell.append(cell.take("press-1", 4000))
		if i%10 == 0 {
			eventually(t, "on disk", func() bool { return cell.buf.Stats().Unwritten == 0 })
		}
	}
	cell.reopen()
	files, err := filepath.Glob(filepath.Join(cell.dir, "0*.db"))
	if err != nil || len(files) < 3 {
		t.Fatalf("%d files, %v", len(files), err)
	}
	away := files[0] + ".away"
	if err := errors.Join(os.Rename(files[0], away), os.Symlink(files[0], files[0])); err != nil {
		t.Fatal(err)
	}
	of := func(unit string) int {
		return plant.count(func(s *seen) bool { return s.record != nil && s.unit == unit })
	}
	cell.start()
	eventually(t, "the other files arrive", func() bool {
		n := cell.buf.Stats().UnreadableRecords
		return n > 0 && of("press-1") >= 60-int(n)
	})
	for i := range 200 {
		cell.readings("press-2", 1)
		eventually(t, "a live record arrives", func() bool { return of("press-2") > i })
	}
	if cell.buf.Stats().UnreadableRecords == 0 {
		t.Error("the file could be read meanwhile")
	}
	if err := errors.Join(os.Remove(files[0]), os.Rename(away, files[0])); err != nil {
		t.Fatal(err)
	}
	cell.drained(plant)
}

// noBacklog is a buffer whose backlog cannot be read at all.
type noBacklog struct {
	*buffer.Buffer
	asked atomic.Int64
}

func (b *noBacklog) Next(l buffer.Lane, after *buffer.Key) (buffer.Stored, bool, error) {
	if l == buffer.Backlog {
		b.asked.Add(1)
		return buffer.Stored{}, false, errors.New("the disk fails, as it was told to")
	}
	return b.Buffer.Next(l, after)
}

// TestTheBacklogsErrorIsItsOwn: live records do not wait for a backlog that gives errors.
func TestTheBacklogsErrorIsItsOwn(t *testing.T) {
	_, plant, _, cell := plant(t)
	cell.birth("press-1", press)
	b := &noBacklog{Buffer: cell.buf}
	var err error
	if cell.up, err = uplink.New(cell.cfg, b, cell.roster, cell.sessions); err != nil {
		t.Fatal(err)
	}
	cell.start()
	eventually(t, "the backlog is asked", func() bool { return b.asked.Load() > 0 })
	const live = 30
	from := b.asked.Load()
	for i := range live {
		cell.readings("press-1", 1)
		eventually(t, "a live record arrives", func() bool { return plant.count(isRecord) > i })
	}
	if n := b.asked.Load() - from; n >= live/2 { // one a second
		t.Errorf("each live record waited for the pause of the backlog: %d errors for %d records", n, live)
	}
	cell.stop()
}
