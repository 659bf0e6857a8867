package flight_test

import (
	"fmt"
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

	shared bool          // live records stand behind those of the backlog
	every  time.Duration // a live record is taken so often
	live   time.Time     // when the next one is
	free   time.Time     // when it is done with all that it has
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
	w := &way{table: flight.New(cfg), now: start, free: start, live: start, every: 5 * time.Millisecond, commit: func() time.Duration { return 15 * time.Millisecond }}
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

// run lets the way work for a while, in steps of 5 ms: live records as they are taken, and
// as many of the backlog as may be.
func (w *way) run(while time.Duration) {
	w.stood, w.waited, w.home = 0, 0, 0
	for range while / (5 * time.Millisecond) {
		if !w.live.After(w.now) {
			free := w.now
			if w.shared && w.free.After(w.now) {
				free = w.free
			}
			w.send(flight.Live, 1000, free.Add(w.commit()))
			w.live = w.live.Add(w.every)
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
// not let the backlog starve where most take long, however few live records there are.
func TestTheBacklogComesHomeThroughUnsteadyCommits(t *testing.T) {
	for _, every := range []time.Duration{5 * time.Millisecond, 100 * time.Millisecond, time.Second} {
		w := newWay()
		w.every = every
		rng := rand.New(rand.NewPCG(1, 2))
		w.commit = func() time.Duration {
			if rng.IntN(100) == 0 {
				return 10 * time.Millisecond
			}
			return 100*time.Millisecond + time.Duration(rng.Int64N(int64(100*time.Millisecond)))
		}
		w.size, w.each = 4<<10, 370*time.Microsecond
		w.run(30 * time.Second)
		w.run(60 * time.Second)
		could := int(60 * time.Second / w.each)
		if w.home < could/2 {
			t.Errorf("a live record each %v: %d records came home, of %d", every, w.home, could)
		}
	}
}

// TestUnusedRoomDoesNotGrow: while something else bounds the backlog, quick acknowledgements
// say nothing of more, also where little is to be in flight now and then.
func TestUnusedRoomDoesNotGrow(t *testing.T) {
	cfg := config()
	cfg.FirstRecords = 1 << 20
	tab := flight.New(cfg)
	tab.Begin()
	tab.Grant(1<<20, 1<<40)
	now := start
	const size = 10 << 10
	for i := range uint64(30_000) { // ten minutes
		l := rec(1<<30+i, flight.Live)
		tab.Sent(now, l)
		acked := ranges.Of(ranges.Range{From: l.Position, To: l.Position + 1})
		for p := 8 * i; p < 8*i+8 && tab.Room(now, flight.Backlog, size, true); p++ {
			b := rec(p, flight.Backlog)
			b.Bytes = size
			tab.Sent(now, b)
			acked.Add(p, p+1)
		}
		now = now.Add(20 * time.Millisecond)
		tab.Acked(now, l.Epoch, acked)
	}
	for range 2 { // the moment in which little is to be in flight may be now
		var bytes int64
		for next := uint64(1 << 20); tab.Room(now, flight.Backlog, size, true); next++ {
			r := rec(next, flight.Backlog)
			r.Bytes = size
			tab.Sent(now, r)
			bytes += size
		}
		if bytes > 600<<10 {
			t.Fatalf("%d bytes may be in flight where 80 KiB ever were", bytes)
		}
		now = now.Add(4 * time.Second)
	}
}

// TestFreshOnesDoNotWaitLongerAndLonger: where live records stand in the backlog's queue, at the
// broker or on a link, that queue does not count as the way's own time, however few they are
// and however long they take at their best.
func TestFreshOnesDoNotWaitLongerAndLonger(t *testing.T) {
	for _, tt := range []struct {
		every, commit, most time.Duration
	}{
		{5 * time.Millisecond, 15 * time.Millisecond, 100 * time.Millisecond},
		{100 * time.Millisecond, 15 * time.Millisecond, 150 * time.Millisecond},
		{time.Second, 15 * time.Millisecond, 150 * time.Millisecond},
		{time.Second, 200 * time.Millisecond, 500 * time.Millisecond},
		{5 * time.Millisecond, 200 * time.Millisecond, 550 * time.Millisecond},
	} {
		w := newWay()
		w.every, w.commit = tt.every, func() time.Duration { return tt.commit }
		w.shared, w.size, w.each = true, 4<<10, 370*time.Microsecond
		w.run(10 * time.Second)
		for i := range 30 {
			w.run(10 * time.Second)
			if could := int(10 * time.Second / w.each); w.home < could/2 {
				t.Errorf("a live record each %v on a way of %v: %d records came home, of %d", tt.every, tt.commit, w.home, could)
			}
			if w.waited > tt.most {
				t.Fatalf("a live record each %v on a way of %v: within %d s one was under way for %v", tt.every, tt.commit, 10*i+20, w.waited)
			}
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
	if n > 512<<10/(20<<10) {
		t.Errorf("%d records may be in flight, when nothing has come home yet", n)
	}
}

// TestBacklogHasAFloor has live records that could fill the window alone, in bytes long before
// they do in records: some of the backlog goes beside them whatever its share is, also where
// one record of it is larger than that, or than the window.
func TestBacklogHasAFloor(t *testing.T) {
	for _, tt := range []struct {
		share float64
		size  int64 // of a record of the backlog; a live one has 10
	}{{0.05, 10}, {0.5, 10}, {0.95, 10}, {0.05, 400}, {0.5, 900}, {0.5, 995}, {0.5, 1500}} {
		t.Run(fmt.Sprintf("share %v of records of %d", tt.share, tt.size), func(t *testing.T) {
			cfg := config()
			cfg.FirstRecords, cfg.BacklogShare = 1000, tt.share
			tab := flight.New(cfg)
			tab.Begin()
			tab.Grant(1000, 1000)
			const firstOld = 1 << 20
			live, old := uint64(0), uint64(firstOld)
			var way []uint64 // in flight, as it was sent
			for i := range 10_000 {
				now := start.Add(time.Duration(i) * time.Millisecond)
				for {
					if tab.Room(now, flight.Live, 10, true) {
						tab.Sent(now, rec(live, flight.Live))
						way = append(way, live)
						live++
					} else if tab.Room(now, flight.Backlog, tt.size, true) {
						r := rec(old, flight.Backlog)
						r.Bytes = tt.size
						tab.Sent(now, r)
						way = append(way, old)
						old++
					} else {
						break
					}
				}
				ack(tab, now, way[0], way[0]+1)
				way = way[1:]
			}
			bytes := [2]int64{int64(live) * 10, int64(old-firstOld) * tt.size}
			if least := int64(float64(bytes[0]+bytes[1]) * flight.LeastShare * 0.9); bytes[1] < least || bytes[0] < least {
				t.Errorf("%d bytes of live records went, and %d of the backlog; each should have %d", bytes[0], bytes[1], least)
			}
		})
	}
}
