package flight_test

import (
	"testing"

	"andon.internal/agent/uplink/internal/flight"
)

func TestParksAfterTimeoutsWhileOthersPass(t *testing.T) {
	tab := table()
	now := 0.0
	bad := rec(1, flight.Live)
	tab.Sent(at(now), bad)
	var parked []flight.Parked
	for other := uint64(10); len(parked) == 0 && other < 20; other++ {
		tab.Sent(at(now), rec(other, flight.Live))
		ack(tab, at(now+.1), other, other+1)
		now += 61
		if parked = tab.Expire(at(now)); len(parked) == 0 {
			r, ok := tab.Resend(at(now))
			if !ok {
				t.Fatal("nothing to send again")
			}
			tab.Sent(at(now), r)
		}
		if failures := int(other - 9); (failures == 3) != (len(parked) == 1) {
			t.Fatalf("%d parked after %d failures, want it at 3", len(parked), failures)
		}
	}
	if !tab.Holds(bad.Key) || tab.HasRun("u", 7) {
		t.Error("a parked record is not passed over, or counts as in flight")
	}
	if _, ok := tab.Resend(at(now + 29)); ok {
		t.Error("a parked record is tried before its time")
	}
	now += 30
	r, ok := tab.Resend(at(now))
	if !ok || r.Key != bad.Key {
		t.Fatal("a parked record is not tried when its time has come")
	}
	tab.Sent(at(now), r)
	if _, ok := tab.Resend(at(now)); ok {
		t.Error("a parked record is tried twice at once")
	}
	// One more failure parks it again, for longer.
	parked = tab.Expire(at(now + 5))
	if len(parked) != 1 || parked[0].Times != 2 || !parked[0].Next.Equal(at(now+5+60)) {
		t.Fatalf("parked again: %+v, want for the second time and 60 s", parked)
	}
	now += 65
	r, _ = tab.Resend(at(now))
	tab.Sent(at(now), r)
	if n := ack(tab, at(now+1), 1, 2); n != 1 || len(tab.Parked()) != 0 || tab.Holds(bad.Key) {
		t.Errorf("%d acknowledged, parked %v: an acknowledgement must end it", n, tab.Parked())
	}
}

func TestTimeoutsAloneDoNotPark(t *testing.T) {
	tab := table()
	tab.Sent(at(0), rec(1, flight.Live))
	for i := range 20 {
		now := at(float64(i+1) * 61)
		if parked := tab.Expire(now); len(parked) != 0 {
			t.Fatalf("parked after %d timeouts though nothing else passed either", i+1)
		}
		r, ok := tab.Resend(now)
		if !ok {
			t.Fatal("nothing to send again")
		}
		tab.Sent(now, r)
	}
}

func TestParksWhatBreaksConnections(t *testing.T) {
	tab := table()
	for i := 1; i <= 3; i++ {
		tab.Begin()
		tab.Sent(at(float64(i)), rec(1, flight.Backlog))
		parked := tab.End(at(float64(i)), true)
		if (i == 3) != (len(parked) == 1) {
			t.Fatalf("%d parked after %d broken sessions, want it at 3", len(parked), i)
		}
	}
	tab.Begin()
	tab.Sent(at(10), rec(2, flight.Live))
	for i := range 10 {
		if parked := tab.End(at(10), false); len(parked) != 0 {
			t.Fatalf("parked at end %d, which was ours", i)
		}
		tab.Sent(at(10), rec(2, flight.Live))
	}
}

func TestParkIsBounded(t *testing.T) {
	tab := table()
	n := 0
	for i := range uint64(10) {
		if _, ok := tab.Park(at(0), rec(i, flight.Live), "unreadable"); ok {
			n++
		}
	}
	if n != 4 || len(tab.Parked()) != 4 {
		t.Errorf("%d parked, want the limit of 4", n)
	}
	tab.Forget(flight.Key{Epoch: epoch, Position: 0})
	if _, ok := tab.Park(at(0), rec(20, flight.Live), "unreadable"); !ok {
		t.Error("no room after one was forgotten")
	}
}

// TestSuspectsMakeRoom: what once failed and was forgotten by the buffer does not
// keep a record from being parked.
func TestSuspectsMakeRoom(t *testing.T) {
	tab := table()
	for i := range uint64(20) {
		tab.Begin()
		tab.Sent(at(0), rec(i, flight.Live))
		tab.End(at(0), true)
	}
	for i := range 3 {
		tab.Begin()
		tab.Sent(at(1), rec(99, flight.Live))
		if parked := tab.End(at(1), true); (i == 2) != (len(parked) == 1) {
			t.Fatalf("%d parked after %d broken sessions, want it at 3", len(parked), i+1)
		}
	}
}
