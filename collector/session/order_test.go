package session_test

import (
	"testing"
	"time"

	"andon.internal/collector/internal/edgetest"
	"andon.internal/collector/session"
	"andon.internal/shared/sparkplug"
)

func TestSequenceGapAsksOnceAfterAWhile(t *testing.T) {
	r, n := newRig(t, session.Config{}), edgetest.NewNode(group, "cell")
	r.born(n)
	n.Data(reading(n, 1)) // lost on the way
	n.Data(reading(n, 1)) // lost on the way
	if got := r.take(n.Data(reading(n, 1))); got.Kind != session.Data || got.Gap != 2 || got.Rebirth {
		t.Fatalf("data behind a gap: %+v", got)
	}
	if due := r.table.Tick(r.now); len(due.Rebirths) != 0 {
		t.Errorf("asked at once")
	}
	r.pass(5 * time.Second)
	if due := r.table.Tick(r.now); len(due.Rebirths) != 1 || due.Rebirths[0] != n.ID {
		t.Errorf("not asked after the reorder time: %+v", due)
	}
	r.pass(5 * time.Second)
	if due := r.table.Tick(r.now); len(due.Rebirths) != 0 {
		t.Errorf("asked twice for one gap")
	}
}

// TestOverloadIsNotFedWithBirths: a node whose messages are lost all the time is asked
// ever more rarely.
func TestOverloadIsNotFedWithBirths(t *testing.T) {
	r, n := newRig(t, session.Config{}), edgetest.NewNode(group, "cell")
	r.born(n)
	asked := 0
	for range 3600 {
		n.Data(reading(n, 1)) // lost
		r.take(n.Data(reading(n, 1)))
		r.pass(time.Second)
		if due := r.table.Tick(r.now); len(due.Rebirths) > 0 {
			asked++
			r.born(n)
		}
	}
	if asked < 5 || asked > 15 {
		t.Errorf("asked %d times in an hour", asked)
	}
}

func TestSequenceGapThatFillsAsksNobody(t *testing.T) {
	r, n := newRig(t, session.Config{}), edgetest.NewNode(group, "cell")
	r.born(n)
	n.Seq = 254
	first, late, last := n.Data(reading(n, 1)), n.Data(reading(n, 1)), n.Data(reading(n, 1))
	n2 := edgetest.NewNode(group, "other") // another node's numbers are its own
	r.born(n2)
	r.take(first)
	r.take(n2.Data(reading(n2, 1)))
	if got := r.take(last); got.Gap != 1 { // 255 is missing: round the corner
		t.Errorf("gap is %d, want 1", got.Gap)
	}
	if got := r.take(late); got.Gap != 0 || got.Kind != session.Data {
		t.Errorf("late one: %+v", got)
	}
	// The numbers between the birth's and 254 were passed over on purpose.
	r.take(n.Birth())
	r.pass(time.Minute / 2)
	if due := r.table.Tick(r.now); len(due.Rebirths) != 0 {
		t.Errorf("asked %v although nothing is missing since the birth", due.Rebirths)
	}
}

func TestStaleAfterReconnect(t *testing.T) {
	r, n := newRig(t, session.Config{}), edgetest.NewNode(group, "cell")
	quiet := edgetest.NewNode(group, "quiet")
	r.born(n)
	r.born(quiet)
	r.table.Stale(r.now, time.Second/10, time.Second)
	n.Seq += 9 // some were missed
	if got := r.take(n.Data(reading(n, 1))); got.Kind != session.Data || got.Gap != 0 {
		t.Errorf("data of a known session is not taken behind a reconnect: %+v", got)
	}
	r.pass(time.Second / 2)
	r.born(quiet) // by itself
	r.pass(time.Second / 2)
	if due := r.table.Tick(r.now); len(due.Rebirths) != 1 || due.Rebirths[0] != n.ID {
		t.Errorf("asked %v, want %v", due.Rebirths, n.ID)
	}
}

// TestUnbornIsAskedSoonBehindAReconnect: what was asked before may have gone into
// the old connection.
func TestUnbornIsAskedSoonBehindAReconnect(t *testing.T) {
	r, n := newRig(t, session.Config{}), edgetest.NewNode(group, "cell")
	n.UnitBirth(unit, 1, false)
	r.wantDrop(r.take(n.Data(reading(n, 1))), session.UnknownNode, true)
	r.table.Stale(r.now, time.Second/10, time.Second)
	r.pass(time.Second / 10)
	if due := r.table.Tick(r.now); len(due.Rebirths) != 1 {
		t.Errorf("asked %v", due.Rebirths)
	}
}

func TestResetForgetsBirths(t *testing.T) {
	r, n := newRig(t, session.Config{}), edgetest.NewNode(group, "cell")
	r.born(n)
	r.table.Reset(r.now)
	if due := r.table.Tick(r.now); len(due.Rebirths) != 1 {
		t.Errorf("asked %v", due.Rebirths)
	}
	r.wantDrop(r.take(n.Data(reading(n, 1))), session.UnknownNode, false) // asked a moment ago
}

func TestStandbyOnlySees(t *testing.T) {
	r, n := newRig(t, session.Config{}), edgetest.NewNode(group, "cell")
	topic, _ := sparkplug.ParseTopic(n.Birth().Topic)
	r.table.See(session.Message{Topic: topic}, r.now)
	if due := r.table.Tick(r.now); len(due.Rebirths) != 0 {
		t.Errorf("a standby asks %v", due.Rebirths)
	}
	r.table.AskUnborn(r.now)
	if due := r.table.Tick(r.now); len(due.Rebirths) != 1 {
		t.Errorf("asked %v at the take-over", due.Rebirths)
	}
}

func TestSilenceEndsANode(t *testing.T) {
	r, n := newRig(t, session.Config{}), edgetest.NewNode(group, "cell")
	r.born(n)
	r.pass(time.Minute)
	if due := r.table.Tick(r.now); len(due.Gone) != 1 || due.Gone[0] != n.ID {
		t.Errorf("gone %v", due.Gone)
	}
	r.wantDrop(r.take(n.Data(reading(n, 1))), session.UnknownNode, true)
}

// TestNumbersAbove255AreNone: they open no gap, in whatever message they stand.
func TestNumbersAbove255AreNone(t *testing.T) {
	r, n := newRig(t, session.Config{}), edgetest.NewNode(group, "cell")
	r.born(n)
	// 300 would be 44 of 256, and more than 40 numbers from the next.
	forged := func(m edgetest.Message) edgetest.Message {
		p, err := sparkplug.Decode(m.Payload, sparkplug.Limits{})
		if err != nil {
			t.Fatal(err)
		}
		p.Seq = 300
		m.Payload = p.Append(nil)
		return m
	}
	for _, m := range []edgetest.Message{
		forged(n.Heartbeat(sparkplug.Heartbeat{})), forged(n.UnitBirth(unit, 1, false)), forged(n.Data(reading(n, 1))),
		forged(n.UnitDeath(unit)),
	} {
		if got := r.take(m); got.Gap != 0 {
			t.Errorf("%s with seq 300: a gap of %d", m.Topic, got.Gap)
		}
	}
}
