package uplink_test

import (
	"testing"
	"time"

	"andon.internal/agent/buffer"
	"andon.internal/shared/ranges"
	"andon.internal/shared/telemetry"
)

func TestLiveGoesFirst(t *testing.T) {
	_, plant, _, cell := plant(t)
	plant.set(func(p *policy) { p.credit.Records = 4 })
	cell.birth("press-1", press)
	cell.birth("press-2", press)
	const backlog, live = 1000, 50
	cell.append(cell.singles("press-1", backlog)...)
	cell.reopen()
	plant.pauseAfter(20)
	cell.startCredited()
	of := func(unit string) int {
		return plant.count(func(s *seen) bool { return s.record != nil && s.unit == unit })
	}
	eventually(t, "the backlog drains", plant.paused)
	before := of("press-1")
	cell.append(cell.singles("press-2", live)...)
	plant.set(func(p *policy) { p.noAck = false })
	eventually(t, "live records arrive", func() bool { return of("press-2") == live })
	all := plant.all(isRecord)
	for all[len(all)-1].unit != "press-2" {
		all = all[:len(all)-1]
	}
	// The backlog has half of the room meanwhile.
	if n := len(all) - live - before; n > 2*live {
		t.Errorf("%d of %d records of the backlog came between the first live one and the last of %d", n, backlog, live)
	}
	cell.drained(plant)
}

// pieces leaves n records of an epoch before, every third of which is not held any more, and
// has the cell find that too many pieces.
func (c *cell) pieces(n uint64) telemetry.Epoch {
	c.t.Helper()
	c.cfg.MaxHoles = 10
	c.birth("press-1", press)
	c.readings("press-1", int(n))
	old := c.buf.Epoch()
	c.reopen()
	var every3rd ranges.Set
	for p := uint64(0); p < n; p += 3 {
		every3rd.Add(p, p+1)
		delete(c.appended, key{old, p})
	}
	if err := c.buf.Ack(old, every3rd); err != nil {
		c.t.Fatal(err)
	}
	return old
}

// TestLiveGoesFirstThroughWhatThinLeft: a long outage in which policy Thin has worked leaves
// many pieces, and they keep no fresh record waiting.
func TestLiveGoesFirstThroughWhatThinLeft(t *testing.T) {
	_, plant, _, cell := plant(t)
	plant.set(func(p *policy) { p.credit.Records = 4 })
	cell.room = func(o *buffer.Options) {
		o.Policy, o.ThinKeep, o.Linger = buffer.Thin, 2, 5*time.Millisecond
		o.MaxDisk, o.RotateBytes, o.MaxMemory = 4<<20, 1<<20, 2<<20
	}
	cell.reopen()
	cell.birth("press-1", press)
	cell.birth("press-2", press)
	pieces := func() int {
		chain := cell.buf.Chain()
		return len(chain[len(chain)-1].Held.Ranges())
	}
	for n := 0; pieces() <= 256; n++ { // so many are no rare case
		if n > 1000 {
			t.Fatalf("%d pieces after %d batches", pieces(), n)
		}
		for range 100 {
			cell.append(cell.take("press-1", 5))
		}
		eventually(t, "it is on disk", func() bool { return cell.buf.Stats().Unwritten == 0 })
	}
	cell.reopen()
	held := cell.buf.Stats().Records
	cell.start()
	of := func(unit string) int {
		return plant.count(func(s *seen) bool { return s.record != nil && s.unit == unit })
	}
	eventually(t, "the backlog drains", func() bool { return of("press-1") > 20 })
	cell.append(cell.take("press-2", 1))
	eventually(t, "the fresh record arrives", func() bool { return of("press-2") == 1 })
	if n := of("press-1"); uint64(n) > held/2 {
		t.Errorf("%d of %d records of the backlog came before the fresh one", n, held)
	}
}

// TestManyGapsCloseOldestFirst: with more gaps than allowed, live waits in line.
func TestManyGapsCloseOldestFirst(t *testing.T) {
	_, plant, _, cell := plant(t)
	old := cell.pieces(60)
	cell.readings("press-1", 20)
	cell.start()
	cell.drained(plant)
	var last *seen
	for _, s := range plant.all(isRecord) {
		if last != nil && last.header.Epoch != old && s.header.Epoch == old {
			t.Fatalf("position %d of the older epoch came after live ones", s.header.Position)
		}
		last = s
	}
	// With the gaps closed, live goes first again.
	plant.forget()
	cell.readings("press-1", 5)
	cell.drained(plant)
}
