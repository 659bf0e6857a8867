package intake_test

import (
	"errors"
	"fmt"
	"log/slog"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"andon.internal/collector/intake"
	"andon.internal/collector/internal/edgetest"
	"andon.internal/collector/session"
	"andon.internal/shared/sparkplug"
)

var errFull = errors.New("could not extend file: No space left on device (SQLSTATE 53100)")

// look lets d pass in steps, and reports each of a node's acknowledgements in it that
// tells another state of the database than want.
func (r *rig) look(d time.Duration, n *edgetest.Node, want sparkplug.DBState) {
	r.t.Helper()
	before := len(r.wire.said(n.ID))
	for range d / time.Second {
		pass(time.Second)
		r.take(n.Heartbeat(sparkplug.Heartbeat{}))
		if (r.intake.Database() == nil) != (want == sparkplug.DBOK) {
			r.t.Fatalf("want the database told to be %v; Database says %v", want, r.intake.Database())
		}
	}
	for _, a := range r.wire.said(n.ID)[before:] {
		if a.DB != want {
			r.t.Fatalf("database is told to be %v, want %v throughout", a.DB, want)
		}
	}
}

// TestNothingIsCommittedThoughTheLeaseIsRenewed: the disk is full for tables, or one is
// locked or gone, and the lease is renewed all the same.
func TestNothingIsCommittedThoughTheLeaseIsRenewed(t *testing.T) {
	for name, took := range map[string]time.Duration{
		"refused at once": 0, "refused by the lock timeout": 5 * time.Second, "refused sooner": 3 * time.Second,
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				p, n := newPlant(t), edgetest.NewNode(group, "cell")
				var again atomic.Int64 // said to take data again
				log := logHandler(func(m string) {
					if m == "database takes data again" {
						again.Add(1)
					}
				})
				r := newRig(t, intake.Config{Logger: slog.New(log)}, p)
				defer r.stop()
				r.births(n)
				pass(time.Second)
				p.set(func() { p.refuse, p.slow = refuseAll(errFull), took })
				r.send(n, 5)
				pass(6 * time.Second) // one attempt of too long, or two
				renewed := p.renewals()
				r.look(2*time.Minute, n, sparkplug.DBDown)
				if got := p.renewals() - renewed; got < 60 {
					t.Errorf("the lease was renewed %d times in two minutes", got)
				}
				if r.intake.Lease() != nil {
					t.Error("the lease is given up while nothing is committed")
				}
				r.wantAcked(n, "")
				if again.Load() != 0 {
					t.Error("the log says that the database takes data")
				}
				p.set(func() { p.refuse, p.slow = nil, 0 })
				pass(15 * time.Second) // the attempt under way, and the backoff's longest pause
				r.wantAcked(n, "[0,5)")
				r.look(time.Minute, n, sparkplug.DBOK) // with nothing to commit
				r.send(n, 5)
				r.look(time.Minute, n, sparkplug.DBOK)
				r.wantAcked(n, "[0,10)")
				if got := again.Load(); got != 1 {
					t.Errorf("the log says %d times that the database takes data again", got)
				}
			})
		})
	}
}

// TestFirstCommitTellsThatTheDatabaseIsBack: nothing else has to happen for that.
func TestFirstCommitTellsThatTheDatabaseIsBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p, n := newPlant(t), edgetest.NewNode(group, "cell")
		r := newRig(t, intake.Config{}, p)
		defer r.stop()
		r.births(n)
		pass(time.Second)
		p.set(func() { p.refuse = refuseAll(errFull) })
		r.send(n, 5)
		pass(2 * time.Second)
		r.look(10*time.Second, n, sparkplug.DBDown)
		p.set(func() { p.refuse = nil })
		for r.wire.acked(n.ID, n.Epoch).Empty() {
			pass(time.Millisecond)
		}
		if got := r.wire.last(n.ID); got.DB != sparkplug.DBOK {
			t.Errorf("the first acknowledgement tells the database to be %v", got.DB)
		}
	})
}

// withCells runs a test with twenty nodes that are born, of which each lane has some.
func withCells(t *testing.T, test func(t *testing.T, r *rig, cells []*edgetest.Node)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, intake.Config{}, newPlant(t))
		defer r.stop()
		var list []*edgetest.Node
		for i := range 20 {
			list = append(list, edgetest.NewNode(group, fmt.Sprint("cell-", i)))
			r.births(list[i])
		}
		pass(time.Second)
		test(t, r, list)
	})
}

// TestOneWriterIsStuck: its cells hold, and those of the other do not, without a
// change meanwhile.
func TestOneWriterIsStuck(t *testing.T) {
	withCells(t, func(t *testing.T, r *rig, cells []*edgetest.Node) {
		r.plant.set(func() {
			r.plant.refuse = func(batch []session.Entry) error {
				for _, e := range batch {
					if e.Node == cells[0].ID {
						return errFull
					}
				}
				return nil
			}
		})
		report := func(d time.Duration) {
			for range d / (100 * time.Millisecond) {
				for _, n := range cells {
					r.send(n, 1)
				}
				pass(100 * time.Millisecond)
			}
		}
		report(10 * time.Second)
		settled := map[*edgetest.Node]int{}
		for _, n := range cells {
			settled[n] = len(r.wire.said(n.ID))
		}
		report(time.Minute)
		told := map[sparkplug.DBState]int{}
		for _, n := range cells {
			want, acked := sparkplug.DBOK, r.wire.acked(n.ID, n.Epoch)
			if !acked.Contains(n.Next - 1) {
				want = sparkplug.DBDown
			}
			told[want]++
			for _, a := range r.wire.said(n.ID)[settled[n]:] {
				if a.DB != want {
					t.Fatalf("%v is told that the database is %v; acknowledged %v of %d", n.ID, a.DB, acked, n.Next)
				}
			}
		}
		if told[sparkplug.DBOK] == 0 || told[sparkplug.DBDown] == 0 {
			t.Errorf("told %v", told)
		}
		if r.intake.Database() == nil {
			t.Error("Database says nothing of it")
		}
		r.plant.set(func() { r.plant.refuse = nil })
		pass(10 * time.Second)
		for _, n := range cells {
			r.wantAcked(n, fmt.Sprintf("[0,%d)", n.Next))
			if got := r.wire.last(n.ID); got.DB != sparkplug.DBOK {
				t.Errorf("%v is told that the database is %v", n.ID, got.DB)
			}
		}
	})
}

// TestWhoHasNothingToCommitHearsThatNothingIs: the cells of both writers are told what
// one of them finds, and that it is over.
func TestWhoHasNothingToCommitHearsThatNothingIs(t *testing.T) {
	withCells(t, func(t *testing.T, r *rig, cells []*edgetest.Node) {
		r.plant.set(func() { r.plant.refuse = refuseAll(errFull) })
		r.send(cells[0], 1)
		pass(2 * time.Second)
		wantTold := func(want sparkplug.DBState) {
			t.Helper()
			for _, n := range cells {
				if got := r.wire.last(n.ID); got.DB != want {
					t.Errorf("%v is told that the database is %v", n.ID, got.DB)
				}
			}
		}
		wantTold(sparkplug.DBDown)
		pass(20 * time.Second)
		wantTold(sparkplug.DBDown)
		r.plant.set(func() { r.plant.refuse = nil })
		pass(10 * time.Second)
		wantTold(sparkplug.DBOK)
	})
}

// TestWhoStoresNothingShowsNothing: a writer whose transactions store no reading, because all
// that comes is deferred or a repeat, does not know whether one could be stored.
func TestWhoStoresNothingShowsNothing(t *testing.T) {
	withCells(t, func(t *testing.T, r *rig, cells []*edgetest.Node) {
		r.plant.set(func() {
			r.plant.outcome = func(session.Entry) intake.Outcome { return intake.Deferred }
			r.plant.refuse = func(batch []session.Entry) error {
				if batch[0].Node == cells[0].ID {
					return errFull
				}
				return nil
			}
		})
		report := func(want sparkplug.DBState) {
			t.Helper()
			for range 100 {
				for _, n := range cells {
					r.send(n, 1)
				}
				pass(100 * time.Millisecond)
			}
			for _, n := range cells {
				if got := r.wire.last(n.ID); got.DB != want {
					t.Errorf("%v is told that the database is %v, want %v", n.ID, got.DB, want)
				}
			}
		}
		report(sparkplug.DBDown)
		r.plant.set(func() { r.plant.refuse = nil })
		report(sparkplug.DBOK) // nothing is stored, and it is over all the same
	})
}

// TestStopWhileTheDatabaseIsAway: a stop ends the attempts at it and does not mend it. Nor does
// it for who is born then, and is told by the last round alone.
func TestStopWhileTheDatabaseIsAway(t *testing.T) {
	for range 10 { // which of two things that are ready comes first is left to chance
		synctest.Test(t, func(t *testing.T) {
			p, n, late := newPlant(t), edgetest.NewNode(group, "cell"), edgetest.NewNode(group, "late")
			r := newRig(t, intake.Config{}, p)
			r.births(n)
			pass(time.Second)
			p.set(func() { p.fail = errors.New("no route to host") })
			pass(10 * time.Second)
			release := make(chan struct{})
			r.wire.set(func() { r.wire.block = release })
			pass(2 * time.Second) // an acknowledgement is being sent
			r.births(late)
			pass(time.Second)
			r.cancel()
			pass(10 * time.Second)
			r.wire.set(func() { r.wire.block = nil })
			close(release)
			r.stop()
			for _, n := range []*edgetest.Node{n, late} {
				if got := r.wire.last(n.ID); got.DB != sparkplug.DBDown || len(r.wire.said(n.ID)) == 0 {
					t.Fatalf("%v is told that the database is %v", n.ID, got.DB)
				}
			}
		})
	}
}
