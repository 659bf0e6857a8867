package intake_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"andon.internal/collector/intake"
	"andon.internal/collector/intake/reply"
	"andon.internal/collector/internal/edgetest"
	"andon.internal/shared/sparkplug"
)

func TestDatabaseIsAway(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p, n := newPlant(t), edgetest.NewNode(group, "cell")
		r := newRig(t, intake.Config{}, p)
		defer r.stop()
		r.births(n)
		pass(time.Second)
		p.set(func() { p.fail = errors.New("no route to host") })
		r.send(n, 5)
		pass(time.Second)
		if got := r.wire.last(n.ID); got.DB != sparkplug.DBDown {
			t.Errorf("database is told to be %v a second after the first failure", got.DB)
		}
		if r.intake.Database() == nil {
			t.Error("Database says nothing of it")
		}
		n.Connect() // a node may be born meanwhile
		r.births(n)
		r.send(n, 5)
		for range 60 {
			pass(10 * time.Second)
			r.take(n.Heartbeat(sparkplug.Heartbeat{}))
		}
		r.wantAcked(n, "")
		if r.intake.Lease() != nil {
			t.Error("the lease is given up while the database is away")
		}
		p.set(func() { p.fail = nil })
		pass(10 * time.Second) // the backoff's longest pause, and its jitter
		r.wantAcked(n, "[0,10)")
		if got := r.wire.last(n.ID); got.DB != sparkplug.DBOK {
			t.Errorf("database is told to be %v", got.DB)
		}
	})
}

func TestIdlePlantLearnsThatTheDatabaseIsAway(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p, n := newPlant(t), edgetest.NewNode(group, "cell")
		r := newRig(t, intake.Config{}, p)
		defer r.stop()
		r.births(n)
		pass(time.Second)
		p.set(func() { p.fail = errors.New("no route to host") })
		pass(8 * time.Second) // nothing but the renewal of the lease asks
		if got := r.wire.last(n.ID); got.DB != sparkplug.DBDown {
			t.Errorf("database is told to be %v", got.DB)
		}
	})
}

func TestHoldWithoutADatabaseAtTheStart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p, n := newPlant(t), edgetest.NewNode(group, "cell")
		p.fail = errors.New("no route to host")
		r := newRig(t, intake.Config{}, p)
		defer r.stop()
		pass(time.Second)
		if got := fmt.Sprint(r.wire.announced()); got != "[true]" {
			t.Errorf("announced %s", got)
		}
		r.births(n)
		r.send(n, 5)
		pass(5 * time.Second)
		if got := len(r.wire.said(n.ID)); got < 5 {
			t.Errorf("%d acknowledgements in 5 s", got)
		}
		if got := r.wire.last(n.ID); got.DB != sparkplug.DBDown {
			t.Errorf("database is told to be %v", got.DB)
		}
		p.set(func() { p.fail = nil })
		pass(10 * time.Second)
		r.wantAcked(n, "[0,5)") // nobody sent it again
		if r.wire.asked(n.ID) != 0 {
			t.Error("births were asked for that are known")
		}
	})
}

func TestStandby(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p, n := newPlant(t), edgetest.NewNode(group, "cell")
		p.taken = true
		r := newRig(t, intake.Config{}, p)
		defer r.stop()
		pass(time.Second)
		r.births(n)
		r.send(n, 5)
		pass(time.Minute)
		if got := fmt.Sprint(r.wire.announced()); got != "[false]" {
			t.Errorf("announced %s", got)
		}
		if len(r.wire.said(n.ID)) != 0 || r.wire.asked(n.ID) != 0 {
			t.Error("a standby speaks to nodes")
		}
		if r.intake.Lease() == nil {
			t.Error("a standby says that it holds the lease")
		}
		p.set(func() { p.taken = false })
		pass(5 * time.Second)
		if got := fmt.Sprint(r.wire.announced()); got != "[false true]" {
			t.Errorf("announced %s", got)
		}
		if r.wire.asked(n.ID) != 1 {
			t.Errorf("asked %d times at the take-over", r.wire.asked(n.ID))
		}
		r.births(n)
		r.send(n, 5)
		pass(time.Second)
		r.wantAcked(n, "[5,10)")
	})
}

func TestLostLease(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p, n := newPlant(t), edgetest.NewNode(group, "cell")
		r := newRig(t, intake.Config{}, p)
		defer r.stop()
		r.births(n)
		r.send(n, 5)
		pass(10 * time.Second)
		p.set(func() { p.lost, p.taken = true, true })
		said := len(r.wire.said(n.ID))
		r.send(n, 5)
		pass(100 * time.Millisecond) // before the next renewal
		if r.intake.Lease() == nil {
			t.Error("a refused commit does not end the lease")
		}
		if got := p.committed(n.ID, n.Epoch).String(); got != "[0,5)" {
			t.Errorf("committed %s", got)
		}
		pass(time.Minute)
		if got := len(r.wire.said(n.ID)); got > said+1 {
			t.Errorf("%d acknowledgements without the lease", got-said)
		}
		if got := fmt.Sprint(r.wire.announced()); got != "[true false]" {
			t.Errorf("announced %s", got)
		}
		p.set(func() { p.taken = false })
		pass(5 * time.Second)
		if r.wire.asked(n.ID) != 1 {
			t.Errorf("asked %d times when the lease came back", r.wire.asked(n.ID))
		}
		r.births(n)
		pass(time.Second)
		r.wantAcked(n, "[0,5)")
	})
}

// TestLostLeaseLeavesNothingBehind: what waited is given up with the lease, and not
// written when it comes back.
func TestLostLeaseLeavesNothingBehind(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p, n := newPlant(t), edgetest.NewNode(group, "cell")
		r := newRig(t, intake.Config{}, p)
		defer r.stop()
		r.births(n)
		pass(time.Second)
		release := make(chan struct{})
		p.set(func() { p.block = release })
		r.send(n, 1)
		pass(100 * time.Millisecond) // its transaction is under way
		r.send(n, 5)
		pass(100 * time.Millisecond)
		p.set(func() { p.lost, p.taken, p.block = true, true, nil })
		close(release)
		pass(10 * time.Second)
		p.set(func() { p.taken = false })
		pass(10 * time.Second)
		if got := p.committed(n.ID, n.Epoch); !got.Empty() {
			t.Errorf("committed %s", got)
		}
		r.wantAcked(n, "")
	})
}

func TestLeaseIsRenewedAndGivenBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPlant(t)
		r := newRig(t, intake.Config{Lease: 9 * time.Second}, p)
		pass(time.Minute)
		r.stop()
		if p.renewed != 20 {
			t.Errorf("renewed %d times in a minute, want 20", p.renewed)
		}
		if got := strings.Join(p.log(), ","); got != "acquire,release" {
			t.Errorf("calls: %s", got)
		}
	})
}

func TestRestoredDatabaseAsksEveryNode(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p, n := newPlant(t), edgetest.NewNode(group, "cell")
		r := newRig(t, intake.Config{}, p)
		defer r.stop()
		r.births(n)
		r.send(n, 5)
		pass(time.Second)
		r.wantAcked(n, "[0,5)")
		p.set(func() {
			p.fail = fmt.Errorf("commit: %w", intake.ErrRestored)
			p.stored[n.ID] = reply.Epochs{}
		})
		r.send(n, 1)
		synctest.Wait()
		p.set(func() { p.fail = nil })
		r.wire.set(func() { clear(r.wire.acks) })
		pass(2 * time.Second)
		if r.wire.asked(n.ID) != 1 {
			t.Errorf("asked %d times", r.wire.asked(n.ID))
		}
		r.wantAcked(n, "") // what was acknowledged before is not repeated
		r.births(n)
		pass(time.Second)
		r.wantAcked(n, "[5,6)")
	})
}

// TestUnitsAreNotedAgainAfterARestore: a unit on test without a reading is known to
// the database by its birth alone.
func TestUnitsAreNotedAgainAfterARestore(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p, n := newPlant(t), edgetest.NewNode(group, "cell")
		r := newRig(t, intake.Config{}, p)
		defer r.stop()
		r.births(n)
		pass(time.Second)
		p.set(func() { p.fail = fmt.Errorf("commit: %w", intake.ErrRestored) })
		r.send(n, 1)
		synctest.Wait()
		p.set(func() { p.fail, p.calls = nil, nil })
		pass(2 * time.Second)
		r.births(n)
		pass(time.Second)
		r.births(n) // once is enough
		pass(time.Second)
		if got := p.called("unit "); got != 1 {
			t.Errorf("noted %d times behind the restore: %v", got, p.log())
		}
	})
}
