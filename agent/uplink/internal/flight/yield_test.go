package flight_test

import (
	"testing"
	"time"

	"andon.internal/agent/uplink/internal/flight"
	"andon.internal/shared/ranges"
)

// inFlight fills the window with backlog beside a live record, and returns the bytes.
func inFlight(tab *flight.Table, now time.Time, next *uint64) (bytes int64) {
	const size = 10 << 10
	for tab.Room(flight.Backlog, size, true) {
		r := rec(*next, flight.Backlog)
		r.Bytes = size
		tab.Sent(now, r)
		*next++
	}
	return tab.Stats().Bytes
}

// TestTheBacklogYields: it grows for as long as live records are acknowledged as fast as
// ever, and makes room when they are not.
func TestTheBacklogYields(t *testing.T) {
	cfg := config()
	cfg.FirstRecords = 1 << 20
	tab := flight.New(cfg)
	tab.Begin()
	tab.Grant(1<<20, 1<<40)
	now, next := start, uint64(0)
	// round sends live and backlog and has them acknowledged after a while, the live one a
	// little before.
	round := func(took time.Duration) int64 {
		l := rec(1<<30+next, flight.Live)
		tab.Sent(now, l)
		from := next
		bytes := inFlight(tab, now, &next)
		now = now.Add(took)
		tab.Acked(now, l.Epoch, ranges.Of(ranges.Range{From: l.Position, To: l.Position + 1}))
		tab.Acked(now.Add(time.Millisecond), l.Epoch, ranges.Of(ranges.Range{From: from, To: next}))
		now = now.Add(2 * time.Millisecond)
		return bytes
	}
	first := round(30 * time.Millisecond)
	var grown int64
	for range 40 {
		grown = round(40 * time.Millisecond) // commits come in turns
	}
	if first > 300<<10 || grown < 10*first {
		t.Errorf("%d bytes at first and %d after 40 quick rounds", first, grown)
	}
	var shrunk int64
	for range 12 {
		shrunk = round(time.Second)
	}
	if shrunk > grown/3 || shrunk < 32<<10 {
		t.Errorf("%d bytes after 12 slow rounds, of %d", shrunk, grown)
	}
	// What was fastest is forgotten with time: a slower way is then the new measure.
	var again int64
	for range 60 {
		again = round(time.Second)
	}
	if again < 2*shrunk {
		t.Errorf("%d bytes on a way that has become slower, of %d", again, shrunk)
	}
}

// TestTheBacklogDoesNotQueue: live records overtake it before the commit, so they do not tell
// that it waits there; its own acknowledgements do.
func TestTheBacklogDoesNotQueue(t *testing.T) {
	cfg := config()
	cfg.FirstRecords = 1 << 20
	tab := flight.New(cfg)
	tab.Begin()
	tab.Grant(1<<20, 1<<40)
	now, next := start, uint64(0)
	const perSecond = 20 << 20 // what is committed of it
	var bytes int64
	for range 300 {
		l := rec(1<<30+next, flight.Live)
		tab.Sent(now, l)
		from := next
		bytes = inFlight(tab, now, &next)
		now = now.Add(20 * time.Millisecond)
		tab.Acked(now, l.Epoch, ranges.Of(ranges.Range{From: l.Position, To: l.Position + 1}))
		now = now.Add(time.Duration(bytes) * time.Second / perSecond)
		tab.Acked(now, l.Epoch, ranges.Of(ranges.Range{From: from, To: next}))
	}
	if bytes < 1<<20 || bytes > 4<<20 {
		t.Errorf("%d bytes in flight on a way that commits %d a second", bytes, perSecond)
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
	next := uint64(1 << 20)
	if bytes := inFlight(tab, now, &next); bytes > 300<<10 {
		t.Errorf("%d bytes may be in flight where 100 KiB ever were", bytes)
	}
}
