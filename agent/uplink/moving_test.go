package uplink_test

import (
	"sync/atomic"
	"testing"
	"time"

	"andon.internal/agent/buffer"
	"andon.internal/agent/uplink"
)

// moves is a buffer on a disk on which a move to a new epoch takes as long as the test says.
type moves struct {
	*buffer.Buffer
	long atomic.Bool
}

func (m *moves) Moving() bool { return m.long.Load() || m.Buffer.Moving() }

// TestBacklogWaitsForAMove: while records are moved to a new epoch what is fresh is sent, and
// the backlog from its start when they are all there.
func TestBacklogWaitsForAMove(t *testing.T) {
	_, plant, _, cell := plant(t)
	cell.birth("press-1", press)
	cell.birth("press-2", press)
	cell.readings("press-1", 20)
	cell.reopen()
	buf := &moves{Buffer: cell.buf}
	buf.long.Store(true)
	up, err := uplink.New(cell.cfg, buf, cell.roster, cell.sessions)
	if err != nil {
		t.Fatal(err)
	}
	cell.up = up
	cell.start()
	of := func(unit string) int {
		return plant.count(func(s *seen) bool { return s.record != nil && s.unit == unit })
	}
	eventually(t, "the collector has told what it has", func() bool { return up.Status().Synced })
	const fresh = 50
	for n := 1; n <= fresh; n++ {
		cell.readings("press-2", 1)
		eventually(t, "what is fresh arrives", func() bool { return of("press-2") == n })
	}
	if n := of("press-1"); n != 0 {
		t.Errorf("%d records of the backlog were sent meanwhile", n)
	}
	buf.long.Store(false)
	cell.readings("press-2", 1)
	cell.drained(plant)
}

// arrives is a buffer in which the records of an epoch become visible when the test says so.
type arrives struct {
	*buffer.Buffer
	epoch buffer.Epoch
	moved atomic.Uint64
}

func (a *arrives) Moved() uint64 { return a.moved.Load() }

func (a *arrives) Next(l buffer.Lane, after *buffer.Key) (buffer.Stored, bool, error) {
	for {
		s, ok, err := a.Buffer.Next(l, after)
		if !ok || s.Epoch != a.epoch || a.moved.Load() > 0 {
			return s, ok, err
		}
		after = &s.Key
	}
}

// TestWhatComesByAMoveIsSent: what a move brings at last, when nobody waited for it any more, is
// sent though the backlog has been read behind it.
func TestWhatComesByAMoveIsSent(t *testing.T) {
	_, plant, _, cell := plant(t)
	cell.birth("press-1", press)
	cell.birth("press-2", press)
	cell.cfg.Heartbeat = time.Hour // two of an idle session have the backlog read again too
	buf := &arrives{epoch: cell.buf.Epoch()}
	cell.readings("press-1", 20)
	cell.reopen()
	cell.readings("press-2", 20)
	cell.reopen()
	buf.Buffer = cell.buf
	up, err := uplink.New(cell.cfg, buf, cell.roster, cell.sessions)
	if err != nil {
		t.Fatal(err)
	}
	cell.up = up
	cell.start()
	eventually(t, "the other records are sent", func() bool {
		return plant.count(func(s *seen) bool { return s.record != nil && s.unit == "press-2" }) == 20
	})
	if n := plant.count(func(s *seen) bool { return s.record != nil && s.unit == "press-1" }); n != 0 {
		t.Errorf("%d records were sent before they were there", n)
	}
	buf.moved.Add(1)
	cell.readings("press-2", 1)
	cell.drained(plant)
}
