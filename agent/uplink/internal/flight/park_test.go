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
	tab.Heard(at(now))
	tab.Heard(at(now + 29)) // that the link is well says nothing new of it
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

// flapped is a table with two records that were in flight at each of twelve ends of a link that
// does not stay up, the last of them at 1100 s.
func flapped(t *testing.T) *flight.Table {
	t.Helper()
	tab := table()
	for i := range 12 {
		tab.Begin()
		tab.Sent(at(float64(100*i)), rec(1, flight.Live))
		tab.Sent(at(float64(100*i)), rec(2, flight.Live))
		tab.End(at(float64(100*i)), true)
	}
	if parked := tab.Parked(); len(parked) != 2 || !parked[0].Next.Equal(at(1200)) || !parked[1].Next.Equal(at(1200)) {
		t.Fatalf("parked are %+v, want two until 1200 s", parked)
	}
	tab.Begin()
	tab.Heard(at(1101))
	return tab
}

// wantTry sends the record that is to be tried.
func wantTry(t *testing.T, tab *flight.Table, seconds float64) flight.Record {
	t.Helper()
	r, ok := tab.Resend(at(seconds))
	if !ok {
		t.Fatalf("nothing is tried at %v s", seconds)
	}
	tab.Sent(at(seconds), r)
	if other, ok := tab.Resend(at(seconds)); ok {
		t.Fatalf("%d is tried as well as %d", other.Position, r.Position)
	}
	return r
}

func wantNoTry(t *testing.T, tab *flight.Table, seconds float64) {
	t.Helper()
	tab.Heard(at(seconds))
	if r, ok := tab.Resend(at(seconds)); ok {
		t.Fatalf("%d is tried at %v s", r.Position, seconds)
	}
}

// TestAWellLinkTriesWhatABadOneParked: one at a time, and not before it is known to be well.
func TestAWellLinkTriesWhatABadOneParked(t *testing.T) {
	tab := flapped(t)
	wantNoTry(t, tab, 1110)
	for now := 1111.0; now < 1113; now++ {
		tab.Heard(at(now))
		r := wantTry(t, tab, now)
		ack(tab, at(now), r.Position, r.Position+1)
	}
	if parked := tab.Parked(); len(parked) != 0 {
		t.Errorf("parked are %+v after the link was well", parked)
	}
}

// TestAWellLinkIsBrokenOnceMoreAtMost by each record that is parked.
func TestAWellLinkIsBrokenOnceMoreAtMost(t *testing.T) {
	tab := flapped(t)
	tab.Heard(at(1111))
	bad := wantTry(t, tab, 1111)
	parked := tab.End(at(1112), true)
	if len(parked) != 1 || !parked[0].Next.Equal(at(1142)) {
		t.Fatalf("parked %+v, want for 30 s", parked)
	}
	tab.Begin()
	wantNoTry(t, tab, 1113) // the other, too, waits until this one is well
	tab.Heard(at(1123))
	if r := wantTry(t, tab, 1123); r.Key == bad.Key {
		t.Fatal("the one that broke the link is tried again before its time")
	} else {
		ack(tab, at(1123), r.Position, r.Position+1)
	}
	wantNoTry(t, tab, 1141)
	wantTry(t, tab, 1142)
	if parked = tab.End(at(1142), true); len(parked) != 1 || !parked[0].Next.Equal(at(1202)) {
		t.Errorf("parked again: %+v, want for 60 s", parked)
	}
}

// TestAWellLinkTriesEachOnce: also where that comes to nothing, and nothing else passes.
func TestAWellLinkTriesEachOnce(t *testing.T) {
	tab := flapped(t)
	tab.Heard(at(1111))
	first := wantTry(t, tab, 1111)
	if parked := tab.Expire(at(1116)); len(parked) != 1 || !parked[0].Next.Equal(at(1146)) {
		t.Fatalf("parked %+v, want for 30 s", parked)
	}
	if r := wantTry(t, tab, 1116); r.Key == first.Key {
		t.Fatal("the same is tried again")
	}
	tab.End(at(1117), false)
	tab.Begin()
	if r := wantTry(t, tab, 1118); r.Key == first.Key {
		t.Error("the one of which nothing is known yet is not tried again")
	}
}

// TestParkedAgainWaits: one that a well link is to try, and that cannot be sent as it is, is not
// given at once again.
func TestParkedAgainWaits(t *testing.T) {
	tab := flapped(t)
	tab.Heard(at(1111))
	for range 2 {
		r, ok := tab.Resend(at(1111))
		if !ok {
			t.Fatal("nothing is tried")
		}
		tab.Park(at(1111), r, "unreadable")
	}
	wantNoTry(t, tab, 1112)
}

// TestUnreadKeepsWhatIsKnown: a record that cannot be read for a while has broken as many
// connections as before, and a parked one stays it.
func TestUnreadKeepsWhatIsKnown(t *testing.T) {
	tab := table()
	bad := rec(1, flight.Backlog)
	for range 2 {
		tab.Begin()
		tab.Sent(at(0), bad)
		tab.End(at(0), true)
	}
	tab.Begin()
	tab.Sent(at(1), bad)
	tab.Recall()
	tab.Unread(at(1), bad.Key)
	if tab.Holds(bad.Key) || !tab.Empty() {
		t.Error("one that is not parked is still held")
	}
	tab.Sent(at(2), bad)
	if parked := tab.End(at(2), true); len(parked) != 1 {
		t.Fatalf("parked %+v at the third break", parked)
	}
	tab.Begin()
	tab.Heard(at(3))
	tab.Heard(at(13))
	tab.Unread(at(13), bad.Key)
	wantNoTry(t, tab, 42)
	wantTry(t, tab, 43)
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
