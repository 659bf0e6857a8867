package intake_test

import (
	"testing"
	"testing/synctest"
	"time"

	"andon.internal/collector/intake"
	"andon.internal/collector/internal/edgetest"
)

func TestNewConnectionAsksForBirthsThatMayHaveBeenMissed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPlant(t)
		quiet, lively := edgetest.NewNode(group, "quiet"), edgetest.NewNode(group, "lively")
		r := newRig(t, intake.Config{}, p)
		defer r.stop()
		r.births(quiet)
		r.births(lively)
		pass(time.Minute / 2)
		r.intake.Connected()
		pass(time.Second / 2)
		lively.Connect()
		r.births(lively)
		pass(5 * time.Second)
		if r.wire.asked(quiet.ID) != 1 || r.wire.asked(lively.ID) != 0 {
			t.Errorf("asked %d and %d times, want 1 and 0", r.wire.asked(quiet.ID), r.wire.asked(lively.ID))
		}
	})
}

func TestReceiveIsBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p, n := newPlant(t), edgetest.NewNode(group, "cell")
		r := newRig(t, intake.Config{Queue: 64 << 10}, p)
		defer r.stop()
		r.births(n)
		pass(time.Second)
		release := make(chan struct{})
		p.set(func() { p.block = release })
		r.send(n, 1000) // returns, although nothing is taken off
		pass(2 * time.Second)
		if got := r.wire.last(n.ID).Credit.Records; got != 1 {
			t.Errorf("credit is %d records behind a full queue", got)
		}
		n.Connect()
		r.births(n) // there is room for what is not data
		p.set(func() { p.block = nil })
		close(release)
		pass(2 * time.Second)
		got := r.wire.acked(n.ID, n.Epoch)
		if got.Empty() || got.Len() > 200 {
			t.Errorf("%d of 1000 records were taken into 64 KiB", got.Len())
		}
		if r.wire.asked(n.ID) != 0 {
			t.Error("the births were lost in the flood")
		}
		if got := r.wire.last(n.ID).Credit.Records; got != 4096 {
			t.Errorf("credit is %d records before an empty queue", got)
		}
	})
}

func TestRetainedMessagesAreOld(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p, n := newPlant(t), edgetest.NewNode(group, "cell")
		r := newRig(t, intake.Config{}, p)
		defer r.stop()
		m := n.Birth()
		r.intake.Receive(m.Topic, m.Payload, true, time.Now())
		pass(time.Second)
		if got := len(r.intake.Nodes()); got != 0 {
			t.Errorf("%d nodes are known from a retained birth", got)
		}
	})
}

func TestBrokenLinkLosesNothingForGood(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p, n := newPlant(t), edgetest.NewNode(group, "cell")
		r := newRig(t, intake.Config{}, p)
		defer r.stop()
		r.births(n)
		pass(time.Second)
		r.wire.set(func() { r.wire.offline = true })
		r.send(n, 5)
		pass(3 * time.Second)
		r.wire.set(func() { r.wire.offline = false })
		pass(3 * time.Second)
		r.wantAcked(n, "[0,5)")
	})
}

func TestNewChecks(t *testing.T) {
	if _, err := intake.New(intake.Config{}, nil, newPlant(t)); err == nil {
		t.Error("no link is no error")
	}
	if _, err := intake.New(intake.Config{}, newWire(t), nil); err == nil {
		t.Error("no leases is no error")
	}
}

// FuzzReceive feeds an intake whatever a broker may deliver.
func FuzzReceive(f *testing.F) {
	n := edgetest.NewNode(group, "cell")
	birth, unitBirth := n.Birth(), n.UnitBirth(unit, 1, false)
	for _, m := range []edgetest.Message{birth, unitBirth, n.Data(n.Reading(unit, 1, 1, 0, 2)), n.Death()} {
		f.Add(m.Topic, m.Payload, false)
	}
	f.Fuzz(func(t *testing.T, topic string, payload []byte, retained bool) {
		synctest.Test(t, func(t *testing.T) {
			r := newRig(t, intake.Config{Queue: 1 << 20}, newPlant(t))
			r.take(birth, unitBirth)
			r.intake.Receive(topic, payload, retained, time.Now())
			pass(2 * time.Second)
			r.stop()
		})
	})
}
