package flight_test

import (
	"math/rand/v2"
	"testing"
	"time"

	"andon.internal/agent/uplink/internal/flight"
	"andon.internal/shared/ranges"
)

// way is a broker, collector and database as records see them: live ones are acknowledged
// with the next commit, those of the backlog wait for each other.
type way struct {
	table  *flight.Table
	now    time.Time
	next   uint64
	size   int64         // of the backlog's records
	each   time.Duration // that the way is busy with one of them
	commit func() time.Duration

	shared bool      // live records stand behind those of the backlog
	free   time.Time // when it is done with all that it has
	flying []onWay
	waited time.Duration // the longest that a live one was on its way of late
	stood  time.Duration // the longest that one of the backlog was on its way of late
	home   int           // records of the backlog that were acknowledged
}

type onWay struct {
	record flight.Record
	sent   time.Time
	done   time.Time
}

func newWay() *way {
	cfg := config()
	cfg.FirstRecords = 1 << 20
	w := &way{table: flight.New(cfg), now: start, free: start, commit: func() time.Duration { return 15 * time.Millisecond }}
	w.table.Begin()
	w.table.Grant(1<<20, 1<<40)
	return w
}

func (w *way) send(lane flight.Lane, size int64, done time.Time) {
	r := rec(w.next, lane)
	r.Bytes = size
	w.next++
	w.table.Sent(w.now, r)
	w.flying = append(w.flying, onWay{r, w.now, done})
}

// run lets the way work for a while, in steps of 5 ms: a live record with each, and as many
// of the backlog as may be.
func (w *way) run(while time.Duration) {
	w.stood, w.waited, w.home = 0, 0, 0
	for range while / (5 * time.Millisecond) {
		if w.shared && w.free.After(w.now) {
			w.send(flight.Live, 1000, w.free.Add(w.commit()))
		} else {
			w.send(flight.Live, 1000, w.now.Add(w.commit()))
		}
		for w.table.Room(w.now, flight.Backlog, w.size, true) {
			if w.free.Before(w.now) {
				w.free = w.now
			}
			w.free = w.free.Add(w.each)
			w.send(flight.Backlog, w.size, w.free.Add(w.commit()))
		}
		w.now = w.now.Add(5 * time.Millisecond)
		var came ranges.Set
		left := w.flying[:0]
		for _, f := range w.flying {
			if f.done.After(w.now) {
				left = append(left, f)
				continue
			}
			came.Add(f.record.Position, f.record.Position+1)
			if f.record.Lane == flight.Backlog {
				w.stood = max(w.stood, w.now.Sub(f.sent))
				w.home++
			} else {
				w.waited = max(w.waited, w.now.Sub(f.sent))
			}
		}
		w.flying = left
		w.table.Acked(w.now, rec(0, flight.Live).Epoch, came)
	}
}

// TestTheBacklogKeepsTheWayBusy: it soon comes home about as fast as the way takes it, and yet
// no live record waits for long behind it, whatever the size of its records.
func TestTheBacklogKeepsTheWayBusy(t *testing.T) {
	w := newWay()
	w.shared = true
	for _, phase := range []struct {
		size int64
		each time.Duration
	}{
		{4 << 10, 370 * time.Microsecond}, // measured, as the next
		{660, 125 * time.Microsecond},
		{4 << 10, 5 * time.Millisecond}, // the database has become slow
		{4 << 10, 370 * time.Microsecond},
	} {
		w.size, w.each = phase.size, phase.each
		w.run(3 * time.Second) // it may take so long to find out, and to come home
		w.run(5 * time.Second)
		if could := int(5 * time.Second / phase.each); w.home < could*9/10 {
			t.Errorf("%d records of %d bytes came home, of %d", w.home, phase.size, could)
		}
		if most := 75*time.Millisecond + 110*phase.each; w.stood > most {
			t.Errorf("a record of %d bytes stood %v on a way that takes %v for one", phase.size, w.stood, phase.each)
		}
	}
}

// TestTheBacklogComesHomeThroughUnsteadyCommits: that one commit was quick now and then does
// not let the backlog starve where most take long.
func TestTheBacklogComesHomeThroughUnsteadyCommits(t *testing.T) {
	w := newWay()
	rng := rand.New(rand.NewPCG(1, 2))
	w.commit = func() time.Duration {
		if rng.IntN(100) == 0 {
			return 10 * time.Millisecond
		}
		return 100*time.Millisecond + time.Duration(rng.Int64N(int64(100*time.Millisecond)))
	}
	w.size, w.each = 4<<10, 370*time.Microsecond
	w.run(30 * time.Second)
	w.run(10 * time.Second)
	if could := int(10 * time.Second / w.each); w.home < could/5 {
		t.Errorf("%d records came home, of %d", w.home, could)
	}
}

// TestUnusedRoomDoesNotGrow: while something else bounds the backlog, quick
// acknowledgements say nothing of more.
func TestUnusedRoomDoesNotGrow(t *testing.T) {
	cfg := config()
	cfg.FirstRecords = 1 << 20
	tab := flight.New(cfg)
	tab.Begin()
	tab.Grant(1<<20, 1<<40)
	now := start
	for i := range uint64(500) {
		l, b := rec(1<<30+i, flight.Live), rec(i, flight.Backlog)
		b.Bytes = 100 << 10
		tab.Sent(now, l)
		tab.Sent(now, b)
		now = now.Add(20 * time.Millisecond)
		tab.Acked(now, l.Epoch, ranges.Of(ranges.Range{From: l.Position, To: l.Position + 1}, ranges.Range{From: i, To: i + 1}))
	}
	const size = 10 << 10
	var bytes int64
	for next := uint64(1 << 20); tab.Room(now, flight.Backlog, size, true); next++ {
		r := rec(next, flight.Backlog)
		r.Bytes = size
		tab.Sent(now, r)
		bytes += size
	}
	if bytes > 600<<10 {
		t.Errorf("%d bytes may be in flight where 100 KiB ever were", bytes)
	}
}

// TestFreshOnesDoNotWaitLongerAndLonger: where live records stand in the backlog's queue, at the
// broker or on a link, that queue does not count as the way's own time.
func TestFreshOnesDoNotWaitLongerAndLonger(t *testing.T) {
	w := newWay()
	w.shared, w.size, w.each = true, 4<<10, 370*time.Microsecond
	for i := range 12 {
		w.run(10 * time.Second)
		if could := int(10 * time.Second / w.each); w.home < could*9/10 {
			t.Errorf("%d records came home, of %d", w.home, could)
		}
		if w.waited > 100*time.Millisecond {
			t.Fatalf("within %d s a live record was on its way for %v", 10*i+10, w.waited)
		}
	}
}

// TestASessionFindsOutAnew: the way of the one before tells nothing of this one's.
func TestASessionFindsOutAnew(t *testing.T) {
	w := newWay()
	w.size, w.each = 4<<10, 10*time.Microsecond
	w.run(5 * time.Second)
	w.table.End(w.now, false)
	w.table.Begin()
	w.table.Grant(1<<20, 1<<40)
	n := 0
	for ; w.table.Room(w.now, flight.Backlog, w.size, true); n++ {
		w.send(flight.Backlog, w.size, w.now)
	}
	if n > 512<<10/(4<<10) {
		t.Errorf("%d records may be in flight, when nothing has come home yet", n)
	}
}
