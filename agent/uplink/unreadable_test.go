package uplink_test

import (
	"errors"
	"os"
	"path/filepath"
	"sync/atomic"
	"testing"
	"time"

	"andon.internal/agent/buffer"
	"andon.internal/agent/uplink"
)

// oneUnreadable has the cell's backlog in several files, of which the first cannot be read until
// mend is called.
func oneUnreadable(t *testing.T, cell *cell) (mend func()) {
	t.Helper()
	cell.room = func(o *buffer.Options) { o.RotateBytes, o.LiveAge = 1<<20, cell.cfg.LiveAge }
	cell.reopen()
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
	return func() {
		t.Helper()
		if cell.buf.Stats().UnreadableRecords == 0 {
			t.Error("the file could be read meanwhile")
		}
		if err := errors.Join(os.Remove(files[0]), os.Rename(away, files[0])); err != nil {
			t.Fatal(err)
		}
	}
}

// TestAFileThatDoesNotOpen: one file of the backlog that cannot be read holds up neither live
// records nor the other files, and what is in it comes as soon as it can be read.
func TestAFileThatDoesNotOpen(t *testing.T) {
	_, plant, _, cell := plant(t)
	mend := oneUnreadable(t, cell)
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
	mend()
	cell.drained(plant)
}

// passes is a buffer that counts how often the backlog was read from its start, and may hide it.
type passes struct {
	*buffer.Buffer
	n     atomic.Int64
	hides atomic.Bool
}

func (b *passes) Next(l buffer.Lane, after *buffer.Key) (buffer.Stored, bool, error) {
	if l == buffer.Backlog && b.hides.Load() {
		return buffer.Stored{}, false, nil
	}
	if l == buffer.Backlog && after == nil {
		b.n.Add(1)
	}
	return b.Buffer.Next(l, after)
}

// TestAFileThatDoesNotOpenBesideLive: what is in it is looked for until it can be read, though
// each time the backlog ends at a live record that waits for room.
func TestAFileThatDoesNotOpenBesideLive(t *testing.T) {
	_, plant, _, cell := plant(t)
	cell.cfg.LiveAge, cell.cfg.FreshAge = time.Hour, time.Hour
	cell.cfg.Heartbeat = time.Hour                                     // it also looks for what was forgotten
	cell.cfg.Retransmit, cell.cfg.RetransmitMax = time.Hour, time.Hour // or what waits for that goes before
	mend := oneUnreadable(t, cell)
	b := &passes{Buffer: cell.buf}
	var err error
	if cell.up, err = uplink.New(cell.cfg, b, cell.roster, cell.sessions); err != nil {
		t.Fatal(err)
	}
	cell.start()
	eventually(t, "the other files are done", func() bool {
		s := cell.buf.Stats()
		return s.UnreadableRecords > 0 && s.Records == s.UnreadableRecords
	})
	plant.set(func(p *policy) { p.noAck, p.credit.Records = true, 1 })
	eventually(t, "one may be in flight", func() bool { return cell.up.Status().CreditRecords == 1 })
	cell.readings("press-2", 3)
	eventually(t, "two of them wait", func() bool { return cell.up.Status().InFlightRecords == 1 })
	before := b.n.Load()
	eventually(t, "it is looked for beside them", func() bool { return b.n.Load() > before })
	mend()
	plant.set(func(p *policy) { p.noAck = false })
	cell.drained(plant)
}

// TestWhatWasForgottenIsFound though others are in flight at each heartbeat.
func TestWhatWasForgottenIsFound(t *testing.T) {
	_, plant, _, cell := plant(t)
	cell.cfg.Retransmit, cell.cfg.RetransmitMax = time.Hour, time.Hour
	cell.birth("press-1", press)
	cell.birth("press-2", press)
	cell.readings("press-1", 3)
	cell.reopen()
	b := &passes{Buffer: cell.buf}
	b.hides.Store(true)
	var err error
	if cell.up, err = uplink.New(cell.cfg, b, cell.roster, cell.sessions); err != nil {
		t.Fatal(err)
	}
	plant.set(func(p *policy) { p.noAck = true })
	cell.start()
	cell.readings("press-2", 1)
	eventually(t, "one is in flight", func() bool { s := cell.up.Status(); return s.Synced && s.InFlightRecords == 1 })
	b.hides.Store(false)
	eventually(t, "the others are found", func() bool { return cell.up.Status().InFlightRecords == 2 })
	plant.set(func(p *policy) { p.noAck = false })
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
