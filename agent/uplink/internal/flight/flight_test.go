package flight_test

import (
	"testing"
	"time"

	"andon.internal/agent/uplink/internal/flight"
	"andon.internal/shared/ranges"
)

var (
	epoch = [16]byte{1}
	start = time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
)

func config() flight.Config {
	return flight.Config{
		FirstRecords: 2, FirstBytes: 1000, BacklogShare: 0.5,
		Timeout: 5 * time.Second, TimeoutMax: 60 * time.Second,
		ParkAfter: 3, ParkFor: 30 * time.Second, ParkMax: 100 * time.Second, ParkLimit: 4,
		WellAfter: 10 * time.Second,
	}
}

func table() *flight.Table {
	t := flight.New(config())
	t.Begin()
	return t
}

func rec(position uint64, lane flight.Lane) flight.Record {
	return flight.Record{Key: flight.Key{Epoch: epoch, Position: position}, Lane: lane, Bytes: 10, Unit: "u", Born: 7}
}

func at(seconds float64) time.Time { return start.Add(time.Duration(seconds * float64(time.Second))) }

func ack(t *flight.Table, now time.Time, from, to uint64) int {
	return len(t.Acked(now, epoch, ranges.Of(ranges.Range{From: from, To: to})))
}

func TestWindowDoublesEachRound(t *testing.T) {
	tab := table()
	tab.Grant(100, 1<<20)
	next, want := uint64(0), []int{2, 4, 8, 16, 32, 64, 100, 100}
	for round, n := range want {
		first := next
		for tab.Room(start, flight.Live, 10, false) {
			tab.Sent(at(float64(round)), rec(next, flight.Live))
			next++
		}
		if got := int(next - first); got != n {
			t.Fatalf("round %d: %d in flight, want %d", round, got, n)
		}
		if got := ack(tab, at(float64(round)+.5), first, next); got != n {
			t.Fatalf("round %d: %d acknowledged, want %d", round, got, n)
		}
	}
}

func TestWindowAfterLoss(t *testing.T) {
	tab := table()
	tab.Grant(16, 1<<20)
	next := uint64(0)
	fill := func(now time.Time) {
		for tab.Room(start, flight.Live, 10, false) {
			tab.Sent(now, rec(next, flight.Live))
			next++
		}
	}
	for range 5 {
		fill(at(0))
		ack(tab, at(.1), 0, next)
	}
	fill(at(1))
	if got := tab.Stats().CreditRecords; got != 16 {
		t.Fatalf("credit is %d before the loss, want 16", got)
	}
	tab.Expire(at(6.1))
	if got := tab.Stats(); got.CreditRecords != 8 || got.Waiting != 16 || got.Records != 0 {
		t.Fatalf("after 16 timeouts: %+v, want a credit of 8 and 16 waiting", got)
	}
	// Sent again, they are acknowledged, and the window grows by one a round.
	for range 8 {
		r, ok := tab.Resend(at(7))
		if !ok {
			t.Fatal("nothing to send again")
		}
		tab.Sent(at(7), r)
	}
	ack(tab, at(7.1), 0, next)
	if got := tab.Stats().CreditRecords; got < 8 || got > 9 {
		t.Errorf("credit is %d one round after the loss, want 8 or 9", got)
	}
}

func TestRoom(t *testing.T) {
	tests := []struct {
		name      string
		grant     int
		bytes     int64
		live      int // in flight
		backlog   int
		lane      flight.Lane
		size      int64
		contended bool
		want      bool
	}{
		{"empty takes anything", 1, 1, 0, 0, flight.Backlog, 1 << 30, true, true},
		{"full", 8, 1000, 4, 4, flight.Live, 10, false, false},
		{"bytes", 8, 45, 2, 2, flight.Live, 10, false, false},
		{"bytes fit", 8, 50, 2, 2, flight.Live, 10, false, true},
		{"backlog alone leaves one", 8, 1000, 0, 7, flight.Backlog, 10, false, false},
		{"live takes that one", 8, 1000, 0, 7, flight.Live, 10, false, true},
		{"backlog has half when contended", 8, 1000, 0, 4, flight.Backlog, 10, true, false},
		{"backlog below half", 8, 1000, 0, 3, flight.Backlog, 10, true, true},
		{"backlog has half of the bytes when contended", 8, 60, 0, 3, flight.Backlog, 10, true, false},
		{"backlog has seven eighths of the bytes alone", 64, 80, 0, 7, flight.Backlog, 10, false, false},
		{"backlog has a record larger than its share", 8, 100, 1, 0, flight.Backlog, 80, true, true},
		{"live leaves one when contended", 8, 1000, 7, 0, flight.Live, 10, true, false},
		{"one at a time", 1, 1000, 1, 0, flight.Backlog, 10, true, false},
		{"grant of nothing is one", 0, 0, 0, 0, flight.Live, 10, false, true},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			cfg := config()
			cfg.FirstRecords = 64
			tab := flight.New(cfg)
			tab.Begin()
			tab.Grant(tt.grant, tt.bytes)
			for i := range tt.live {
				tab.Sent(start, rec(uint64(i), flight.Live))
			}
			for i := range tt.backlog {
				tab.Sent(start, rec(uint64(100+i), flight.Backlog))
			}
			if got := tab.Room(start, tt.lane, tt.size, tt.contended); got != tt.want {
				t.Errorf("Room is %v, want %v", got, tt.want)
			}
		})
	}
}

func TestRetransmissionBacksOff(t *testing.T) {
	tab := table()
	tab.Sent(at(0), rec(1, flight.Live))
	now, want := 0.0, []float64{5, 10, 20, 40, 60, 60}
	for i, wait := range want {
		if got := tab.Deadline(at(now)); !got.Equal(at(now + wait)) {
			t.Fatalf("try %d: due after %v, want %v s", i+1, got.Sub(at(now)), wait)
		}
		tab.Expire(at(now + wait - .001))
		if _, ok := tab.Resend(at(now + wait - .001)); ok {
			t.Fatalf("try %d: due before its time", i+1)
		}
		now += wait
		tab.Expire(at(now))
		r, ok := tab.Resend(at(now))
		if !ok || r.Position != 1 {
			t.Fatalf("try %d: nothing to send again", i+1)
		}
		r.Lane = flight.Backlog
		tab.Sent(at(now), r)
	}
	if n := ack(tab, at(now+1), 1, 2); n != 1 || !tab.Empty() {
		t.Errorf("%d acknowledged, empty %v; want 1, true", n, tab.Empty())
	}
}

func TestTimeoutFollowsRoundTrip(t *testing.T) {
	tab := table()
	for i := range uint64(50) { // a thin link: acknowledged after 4 s
		tab.Sent(at(float64(i)*4), rec(i, flight.Live))
		ack(tab, at(float64(i)*4+4), i, i+1)
	}
	tab.Sent(at(1000), rec(99, flight.Live))
	if got := tab.Deadline(at(1000)).Sub(at(1000)); got < 11*time.Second || got > 13*time.Second {
		t.Errorf("due after %v with a round trip of 4 s, want about 12 s", got)
	}
}

func TestHoldDoesNotCountAsRoundTrip(t *testing.T) {
	tab := table()
	tab.Sent(at(0), rec(1, flight.Live))
	tab.Hold(at(600))
	ack(tab, at(601), 0, 2)
	if got := tab.Stats().RoundTrip; got != 0 {
		t.Errorf("round trip is %v after a hold, want none", got)
	}
}

func TestAckedWhileWaiting(t *testing.T) {
	tab := table()
	tab.Sent(at(0), rec(1, flight.Live))
	tab.Sent(at(0), rec(2, flight.Live))
	tab.Expire(at(5))
	if n := ack(tab, at(6), 1, 2); n != 1 {
		t.Fatalf("%d acknowledged, want 1", n)
	}
	if r, ok := tab.Resend(at(6)); !ok || r.Position != 2 {
		t.Errorf("to be sent again: %v %v, want position 2", r.Position, ok)
	}
	if n := ack(tab, at(6), 0, 10); n != 1 {
		t.Errorf("%d acknowledged by a repeated range, want 1", n)
	}
	if _, ok := tab.Resend(at(6)); ok || !tab.Empty() {
		t.Error("something is left to send again")
	}
}

func TestRecallKeepsOrderAndStartsSmall(t *testing.T) {
	cfg := config()
	cfg.FirstRecords = 2
	tab := flight.New(cfg)
	tab.Begin()
	tab.Grant(64, 1<<20)
	for i := range uint64(40) {
		tab.Sent(at(float64(i)), rec(i, flight.Live))
		ack(tab, at(float64(i)), i, i+1)
	}
	for i := uint64(100); i < 110; i++ {
		tab.Sent(at(200), rec(i, flight.Live))
	}
	tab.Recall()
	if s := tab.Stats(); s.Records != 0 || s.Bytes != 0 || s.Waiting != 10 || s.CreditRecords != 2 {
		t.Fatalf("after Recall: %+v, want 10 waiting and a credit of 2", s)
	}
	for i := uint64(100); i < 110; i++ {
		r, ok := tab.Resend(at(201))
		if !ok || r.Position != i {
			t.Fatalf("to be sent again: %v %v, want position %d", r.Position, ok, i)
		}
		tab.Sent(at(201), r)
	}
	if s := tab.Stats(); s.Bytes != 100 || s.Waiting != 0 {
		t.Errorf("sent again: %+v, want 100 bytes in flight and none waiting", s)
	}
}

func TestEndForgetsFlight(t *testing.T) {
	tab := table()
	tab.Sent(at(0), rec(1, flight.Live))
	tab.Sent(at(0), rec(2, flight.Live))
	tab.Expire(at(5))
	tab.Sent(at(5), rec(3, flight.Live))
	tab.End(at(6), true)
	if s := tab.Stats(); s.Records != 0 || s.Bytes != 0 || s.Waiting != 0 || s.Live != 0 {
		t.Errorf("after End: %+v, want nothing", s)
	}
	if tab.Holds(flight.Key{Epoch: epoch, Position: 1}) {
		t.Error("a record of an ended session is passed over")
	}
	if !tab.Deadline(at(6)).IsZero() {
		t.Error("something is due after the end")
	}
}
