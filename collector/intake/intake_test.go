package intake_test

import (
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"andon.internal/collector/intake"
	"andon.internal/collector/internal/edgetest"
	"andon.internal/collector/session"
	"andon.internal/shared/sparkplug"
)

// pass lets time pass, and everything that it brings about happen.
func pass(d time.Duration) {
	time.Sleep(d)
	synctest.Wait()
}

func TestAcknowledgementFollowsTheCommit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p, n := newPlant(t), edgetest.NewNode(group, "cell")
		r := newRig(t, intake.Config{}, p)
		defer r.stop()
		pass(time.Second)
		r.births(n)
		pass(time.Second)
		release := make(chan struct{})
		p.set(func() { p.block = release })
		r.send(n, 5)
		pass(4 * time.Second) // not long enough to call the database stuck
		r.wantAcked(n, "")
		if got := r.wire.last(n.ID); got.DB != sparkplug.DBOK {
			t.Errorf("database is told to be %v", got.DB)
		}
		pass(4 * time.Second)
		if got := r.wire.last(n.ID); got.DB != sparkplug.DBDown {
			t.Errorf("database is told to be %v behind an attempt of 8 s", got.DB)
		}
		close(release)
		pass(time.Second)
		r.wantAcked(n, "[0,5)")
		if got := r.wire.last(n.ID); got.DB != sparkplug.DBOK {
			t.Errorf("database is told to be %v", got.DB)
		}
	})
}

func TestIdleWriterCommitsAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p, n := newPlant(t), edgetest.NewNode(group, "cell")
		r := newRig(t, intake.Config{}, p)
		defer r.stop()
		r.births(n)
		pass(500 * time.Millisecond)
		r.send(n, 1)
		synctest.Wait() // no time passes
		r.wantAcked(n, "[0,1)")
		r.send(n, 1)
		synctest.Wait()
		if got := p.committed(n.ID, n.Epoch).String(); got != "[0,1)" {
			t.Errorf("committed %s: the next one does not wait for company", got)
		}
		pass(20 * time.Millisecond)
		r.wantAcked(n, "[0,2)")
	})
}

func TestBatchesGrowWhileATransactionRuns(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p, n := newPlant(t), edgetest.NewNode(group, "cell")
		r := newRig(t, intake.Config{}, p)
		defer r.stop()
		r.births(n)
		pass(time.Second)
		release := make(chan struct{})
		p.set(func() { p.block = release })
		r.send(n, 100)
		pass(100 * time.Millisecond)
		r.send(n, 100)
		pass(100 * time.Millisecond)
		p.set(func() { p.block = nil })
		close(release)
		pass(100 * time.Millisecond)
		r.wantAcked(n, "[0,200)")
		if got := len(p.batches); got > 2 {
			t.Errorf("%d transactions for 200 records, want 2", got)
		}
	})
}

func TestNodesAreNeverInTwoTransactions(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPlant(t) // which checks it
		r := newRig(t, intake.Config{Writers: 4}, p)
		defer r.stop()
		var nodes []*edgetest.Node
		for i := range 20 {
			nodes = append(nodes, edgetest.NewNode(group, fmt.Sprint("cell-", i)))
			r.births(nodes[i])
		}
		for range 50 {
			for _, n := range nodes {
				r.send(n, 1)
			}
			pass(7 * time.Millisecond)
		}
		pass(time.Second)
		for _, n := range nodes {
			r.wantAcked(n, "[0,50)")
		}
	})
}

func TestSyncWaitsForWhatWasReceivedBeforeIt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p, n := newPlant(t), edgetest.NewNode(group, "cell")
		r := newRig(t, intake.Config{}, p)
		defer r.stop()
		r.births(n)
		pass(time.Second)
		release := make(chan struct{})
		p.set(func() { p.block, p.calls = release, nil })
		r.send(n, 1)
		pass(time.Second) // its transaction is under way
		r.send(n, 2)
		n.Connect()
		r.births(n)
		pass(time.Second)
		if got := p.log(); len(got) != 0 {
			t.Errorf("calls before the commit: %v", got)
		}
		close(release)
		pass(time.Second)
		if got := strings.Join(p.log(), ","); got != "commit,commit,sync" {
			t.Errorf("calls: %s", got)
		}
		r.wantAcked(n, "[0,3)")
		synced := false
		for _, a := range r.wire.said(n.ID) {
			synced = synced || a.Sync != nil && a.Sync.Session == n.Session
		}
		if !synced {
			t.Error("the birth was not answered")
		}
	})
}

func TestUnitsAreNotedOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p, n := newPlant(t), edgetest.NewNode(group, "cell")
		r := newRig(t, intake.Config{}, p)
		defer r.stop()
		for range 3 {
			r.births(n)
			r.take(n.UnitBirth("ended", 1, true))
			pass(time.Second)
		}
		r.take(n.UnitBirth(unit, 2, false)) // on test again
		pass(time.Second)
		count := 0
		for _, c := range p.log() {
			if strings.HasPrefix(c, "unit ") {
				count++
			}
			if c == "unit ended" {
				t.Error("a unit that has ended was noted as active")
			}
		}
		if count != 2 {
			t.Errorf("%d runs were noted, want 2: %v", count, p.log())
		}
	})
}

func TestWhatIsNotSettledIsNotAcknowledged(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p, n := newPlant(t), edgetest.NewNode(group, "cell")
		p.outcome = func(e session.Entry) intake.Outcome { return intake.Outcome(e.Position) }
		r := newRig(t, intake.Config{}, p)
		defer r.stop()
		r.births(n)
		r.send(n, int(intake.Quarantined)+1)
		pass(time.Second)
		r.wantAcked(n, "[2,5)") // stored, duplicate, quarantined; not deferred and invalid, nor the zero value
	})
}

func TestRefusedBatchHoldsUpNobody(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p, n := newPlant(t), edgetest.NewNode(group, "cell")
		r := newRig(t, intake.Config{}, p)
		defer r.stop()
		r.births(n)
		pass(time.Second)
		p.set(func() { p.refuse = refuseAll(fmt.Errorf("no: %w", intake.ErrRefused)) })
		r.send(n, 3)
		pass(time.Second)
		r.wantAcked(n, "")
		p.set(func() { p.refuse = nil })
		r.send(n, 1)
		pass(time.Second)
		r.wantAcked(n, "[3,4)")
		if got := r.wire.last(n.ID); got.DB != sparkplug.DBOK {
			t.Error("a refused batch is told as a lost database")
		}
	})
}

func TestStopAcknowledgesWhatItCommitted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p, n := newPlant(t), edgetest.NewNode(group, "cell")
		r := newRig(t, intake.Config{}, p)
		r.births(n)
		pass(time.Second)
		release := make(chan struct{})
		p.set(func() { p.block = release })
		r.send(n, 3)
		synctest.Wait()
		time.AfterFunc(2*time.Second, func() { close(release) })
		r.stop()
		if got, want := r.wire.acked(n.ID, n.Epoch), p.committed(n.ID, n.Epoch); !got.Equal(want) || want.Empty() {
			t.Errorf("committed %s and acknowledged %s", want, got)
		}
	})
}

func TestStopDoesNotWaitForAHangingDatabase(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p, n := newPlant(t), edgetest.NewNode(group, "cell")
		r := newRig(t, intake.Config{}, p)
		r.births(n)
		pass(time.Second)
		p.set(func() { p.block = make(chan struct{}) })
		r.send(n, 3)
		synctest.Wait()
		began := time.Now()
		r.stop()
		if took := time.Since(began); took > 6*time.Second {
			t.Errorf("the stop took %v", took)
		}
		r.wantAcked(n, "")
	})
}

// TestSparkplugReorderTimeout: a message that is missing may still come for five
// seconds; then the births are asked for.
func TestSparkplugReorderTimeout(t *testing.T) {
	for name, late := range map[string]time.Duration{"never": 0, "in time": 4 * time.Second, "too late": 6 * time.Second} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				p, n := newPlant(t), edgetest.NewNode(group, "cell")
				r := newRig(t, intake.Config{}, p)
				defer r.stop()
				r.births(n)
				missing := n.Data(n.Reading(unit, 1, time.Now().UnixNano(), n.Next, 1))
				r.send(n, 1)
				pass(4 * time.Second)
				if r.wire.asked(n.ID) != 0 {
					t.Error("asked before the timeout")
				}
				if late > 0 {
					time.Sleep(late - 4*time.Second)
					r.take(missing)
				}
				pass(10 * time.Second)
				want := 1
				if name == "in time" {
					want = 0
				}
				if got := r.wire.asked(n.ID); got != want {
					t.Errorf("asked %d times, want %d", got, want)
				}
			})
		})
	}
}
