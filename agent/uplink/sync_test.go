package uplink_test

import (
	"bytes"
	"log/slog"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"andon.internal/agent/buffer"
	"andon.internal/agent/uplink"
	"andon.internal/shared/ranges"
	"andon.internal/shared/sparkplug"
	"andon.internal/shared/telemetry"
)

func TestSyncComesBeforeBacklog(t *testing.T) {
	_, plant, _, cell := plant(t)
	cell.cfg.SyncTimeout = time.Minute
	cell.birth("press-1", press)
	cell.readings("press-1", 10)
	cell.reopen()
	plant.set(func(p *policy) { p.noSync = true })
	cell.start()
	plant.has("a birth", isBirth)
	cell.readings("press-1", 4)
	eventually(t, "live does not wait for the sync", func() bool { return plant.count(isRecord) >= 4 })
	current := telemetry.Epoch(cell.buf.Epoch())
	cell.heard(plant)
	never(t, 100*time.Millisecond, "backlog before the sync", func() bool {
		return plant.find(func(s *seen) bool { return s.record != nil && s.header.Epoch != current }) != nil
	})
	// Part 2 of 2 alone is not the sync.
	old := cell.buf.Chain()[0].Epoch
	part := func(n int, set ranges.Set) {
		plant.say(sparkplug.Ack{
			Epochs: []sparkplug.EpochRanges{{Epoch: old, Committed: set}},
			Credit: sparkplug.Credit{Records: 64, Bytes: 1 << 20},
			Sync:   &sparkplug.SyncPart{Session: 1, Part: n, Of: 2},
		})
	}
	known := ranges.Of(ranges.Range{From: 0, To: 7})
	plant.mu.Lock()
	plant.ledger[telemetry.Epoch(old)] = &known
	plant.mu.Unlock()
	part(2, ranges.Of(ranges.Range{From: 4, To: 7}))
	cell.heard(plant)
	never(t, 100*time.Millisecond, "backlog after half a sync", func() bool {
		return plant.find(func(s *seen) bool { return s.record != nil && s.header.Epoch != current }) != nil
	})
	part(1, ranges.Of(ranges.Range{From: 0, To: 4}))
	eventually(t, "everything is acknowledged", cell.empty)
	var sent ranges.Set
	for _, s := range plant.all(func(s *seen) bool { return s.record != nil && s.header.Epoch == telemetry.Epoch(old) }) {
		sent.Add(s.header.Position, s.header.Position+1)
		if !s.historical {
			t.Error("backlog of an earlier epoch was not marked as historical")
		}
	}
	if sent.String() != "[7,10)" {
		t.Errorf("sent %s of the earlier epoch, want only what the collector lacks, [7,10)", sent)
	}
}

func TestRequeuesWhatTheDatabaseLost(t *testing.T) {
	_, plant, p, cell := plant(t)
	cell.retain()
	cell.birth("press-1", press)
	cell.start()
	cell.readings("press-1", 20)
	cell.drained(plant)
	plant.putBack(telemetry.Epoch(cell.buf.Epoch()), 10, 20)
	p.cut()
	again := plant.has("a second session", func(s *seen) bool { return s.birth != nil && s.birth.Session >= 2 })
	last := again.birth.Chain[len(again.birth.Chain)-1]
	if lacks := ranges.Of(ranges.Range{From: 10, To: 20}); !last.Held.Intersect(lacks).Equal(lacks) {
		t.Errorf("the birth says that %v are held: a database would take the others for lost", last.Held)
	}
	eventually(t, "all twenty are stored again", func() bool { return plant.rows() == 20 })
	cell.drained(plant)
}

// TestRequeuesWhatTheDatabaseLostOfAnEarlierLife: also where this process has sent the rest of
// that epoch. What it still holds of it is not among what was lost.
func TestRequeuesWhatTheDatabaseLostOfAnEarlierLife(t *testing.T) {
	_, plant, p, cell := plant(t)
	cell.retain()
	cell.cfg.Retransmit, cell.cfg.RetransmitMax = time.Hour, time.Hour
	cell.birth("press-1", press)
	cell.start()
	cell.readings("press-1", 20)
	cell.drained(plant)
	old := telemetry.Epoch(cell.buf.Epoch())
	p.refuse(true)
	cell.readings("press-1", 3)
	cell.stop()
	cell.reopen()
	plant.set(func(p *policy) { p.lose = func(s *seen) bool { return s.header.Position == 22 } })
	p.refuse(false)
	cell.start()
	eventually(t, "all but the last are stored", func() bool { return plant.rows() == 22 && cell.buf.Stats().Records == 1 })
	plant.set(func(p *policy) { p.lose = nil })
	plant.putBack(old, 10, 21)
	p.cut()
	cell.drained(plant)
	if n := plant.count(func(s *seen) bool { return s.loss != nil }); n != 0 {
		t.Errorf("%d losses are told", n)
	}
}

// TestPutBackInTime: the collector's answer names positions that this epoch has not
// assigned, because the machine runs from an older image. A new epoch begins and
// nothing fresh is taken for a repeat.
func TestPutBackInTime(t *testing.T) {
	_, plant, _, cell := plant(t)
	cell.cfg.SyncGrace = patience
	plant.set(func(p *policy) { p.noSync = true })
	cell.birth("press-1", press)
	epoch := telemetry.Epoch(cell.buf.Epoch())
	plant.mu.Lock()
	plant.set1(epoch).Add(0, 50) // what this machine sent in the life that was undone
	plant.mu.Unlock()
	cell.readings("press-1", 10)
	cell.start()
	plant.has("a birth", isBirth)
	cell.heard(plant)
	never(t, 100*time.Millisecond, "a record before it is known that the epoch is good", func() bool { return plant.find(isRecord) != nil })
	plant.set(func(p *policy) { p.noSync = false }) // the births to come are answered
	plant.say(sparkplug.Ack{
		Epochs: []sparkplug.EpochRanges{{Epoch: epoch, Committed: plant.committed(epoch)}},
		Credit: sparkplug.Credit{Records: 64, Bytes: 1 << 20},
		Sync:   &sparkplug.SyncPart{Session: 1, Part: 1, Of: 1},
	})
	eventually(t, "a new epoch", func() bool { return telemetry.Epoch(cell.buf.Epoch()) != epoch })
	cell.readings("press-1", 10)
	eventually(t, "all twenty are stored", func() bool { return plant.rows() == 20 })
	eventually(t, "everything is acknowledged", cell.empty)
	if n := plant.count(func(s *seen) bool { return s.record != nil && s.header.Epoch == epoch }); n != 0 {
		t.Errorf("%d records went out under positions that were used before", n)
	}
}

// TestPutBackHoldsWhatWasSent: the other life of a machine that was put back has sent
// what both hold. Under their new names these records say that they were moved, so that
// the database has each reading once; what is taken later does not say so.
func TestPutBackHoldsWhatWasSent(t *testing.T) {
	_, plant, _, cell := plant(t)
	cell.cfg.SyncGrace = patience
	cell.birth("press-1", press)
	epoch := telemetry.Epoch(cell.buf.Epoch())
	cell.readings("press-1", 10)
	held := cell.buf.Stats().Records
	plant.mu.Lock()
	for k, r := range cell.appended {
		plant.stored[k] = r
	}
	plant.set1(epoch).Add(0, 50) // those ten, and what was taken in the life that was undone
	plant.mu.Unlock()
	cell.start()
	eventually(t, "a new epoch", func() bool { return telemetry.Epoch(cell.buf.Epoch()) != epoch })
	cell.readings("press-1", 10)
	next := telemetry.Epoch(cell.buf.Epoch())
	eventually(t, "all twenty are committed", func() bool {
		got := plant.committed(next)
		return got.String() == "[0,20)"
	})
	eventually(t, "everything is acknowledged", cell.empty)
	if held != 10 || plant.rows() != 20 {
		t.Errorf("%d records were held in both lives, and %d readings are stored, want 10 and 20", held, plant.rows())
	}
	for _, s := range plant.all(isRecord) {
		if s.header.Epoch != next || s.header.Moved != (s.header.Position < 10) {
			t.Errorf("position %d of %s: moved is %v", s.header.Position, s.header.Epoch, s.header.Moved)
		}
	}
}

// sickDisk is a buffer whose disk takes no new epoch.
type sickDisk struct {
	*buffer.Buffer
	well atomic.Bool
}

func (s *sickDisk) NewEpoch(sent ranges.Set) error {
	if !s.well.Load() {
		return syscall.EIO
	}
	return s.Buffer.NewEpoch(sent)
}

// noLink counts how often a log says that there is no link.
type noLink struct{ n atomic.Int64 }

func (w *noLink) Write(line []byte) (int, error) {
	if bytes.Contains(line, []byte("no link to the collector")) {
		w.n.Add(1)
	}
	return len(line), nil
}

// TestPutBackOnASickDisk: while no new epoch can be begun each attempt waits longer than the
// one before, like those that fail for want of a link, and is not told anew.
func TestPutBackOnASickDisk(t *testing.T) {
	_, plant, _, cell := plant(t)
	var told noLink
	cell.cfg.Logger = slog.New(slog.NewTextHandler(&told, nil))
	cell.cfg.SyncGrace = patience
	cell.birth("press-1", press)
	plant.mu.Lock()
	plant.set1(telemetry.Epoch(cell.buf.Epoch())).Add(0, 50) // by the life that was undone
	plant.mu.Unlock()
	disk := &sickDisk{Buffer: cell.buf}
	var err error
	if cell.up, err = uplink.New(cell.cfg, disk, cell.roster, cell.sessions); err != nil {
		t.Fatal(err)
	}
	cell.start()
	cell.readings("press-1", 10)
	plant.has("a fifth session", func(s *seen) bool { return s.birth != nil && s.birth.Session == 5 })
	if n := told.n.Load(); n != 1 {
		t.Errorf("%d warnings in four sessions that failed, want that of the first", n)
	}
	disk.well.Store(true)
	eventually(t, "all ten are stored", func() bool { return plant.rows() == 10 && cell.empty() })
}

// TestPutBackMovesWhatWasNotSent: a record that was made ready to be sent, and found no
// room, goes under a new name like those behind it.
func TestPutBackMovesWhatWasNotSent(t *testing.T) {
	_, plant, _, cell := plant(t)
	cell.cfg.SyncGrace, cell.cfg.SyncTimeout = time.Millisecond, time.Minute
	cell.cfg.Retransmit, cell.cfg.RetransmitMax = time.Hour, time.Hour
	epoch := telemetry.Epoch(cell.buf.Epoch())
	plant.set(func(p *policy) {
		p.noSync, p.noAck = true, true
		p.lose = func(s *seen) bool { return s.header.Epoch == epoch }
	})
	cell.birth("press-1", press)
	plant.mu.Lock()
	plant.set1(epoch).Add(0, 50) // what this machine sent in the life that was undone
	plant.policy.credit = sparkplug.Credit{Records: 2, Bytes: 1 << 20}
	plant.mu.Unlock()
	cell.readings("press-1", 10)
	cell.start()
	eventually(t, "two records before the answer", func() bool { return plant.count(isRecord) == 2 })
	plant.set(func(p *policy) { p.noSync = false }) // the births to come are answered
	plant.say(sparkplug.Ack{
		Epochs: []sparkplug.EpochRanges{{Epoch: epoch, Committed: plant.committed(epoch)}},
		Credit: sparkplug.Credit{Records: 2, Bytes: 1 << 20},
		Sync:   &sparkplug.SyncPart{Session: 1, Part: 1, Of: 1},
	})
	eventually(t, "a new epoch", func() bool { return telemetry.Epoch(cell.buf.Epoch()) != epoch })
	plant.set(func(p *policy) {
		p.noAck = false
		p.credit = sparkplug.Credit{Records: 64, Bytes: 1 << 20}
	})
	eventually(t, "the eight that were not sent are stored", func() bool {
		got := plant.committed(telemetry.Epoch(cell.buf.Epoch()))
		return got.String() == "[0,8)"
	})
	eventually(t, "everything is acknowledged", cell.empty)
}
