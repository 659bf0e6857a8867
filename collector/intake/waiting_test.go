package intake_test

import (
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"andon.internal/collector/intake"
	"andon.internal/collector/internal/edgetest"
)

// TestFreshGoesFirst: what is taken now does not wait behind a backlog that was received
// before it, and the backlog still comes home.
func TestFreshGoesFirst(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p, n := newPlant(t), edgetest.NewNode(group, "cell")
		r := newRig(t, intake.Config{}, p)
		defer r.stop()
		r.births(n)
		pass(time.Second)
		release := make(chan struct{})
		p.set(func() { p.block = release })
		r.send(n, 1)
		pass(50 * time.Millisecond) // and is being committed
		past := func(count int) {
			for range count {
				at := n.Next
				n.Next++
				r.take(n.DataAt(at, n.Reading(unit, 1, time.Now().UnixNano(), at, 1), true))
			}
		}
		past(6000)
		r.send(n, 1)
		pass(50 * time.Millisecond)
		p.set(func() { p.block = nil })
		close(release)
		pass(500 * time.Millisecond)
		if next := p.batches[1]; !next[0].Historical || len(next) > 1000 {
			t.Errorf("behind the fresh record comes a transaction of %d from position %d on: want a part of the backlog", len(next), next[0].Position)
		}
		if next := p.batches[2]; len(next) != 1 || next[0].Historical || next[0].Position != 6001 {
			t.Errorf("the next one has %d records from position %d on: want the fresh one alone", len(next), next[0].Position)
		}
		r.wantAcked(n, "[0,6002)")
	})
}

// TestFreshDoesNotWaitForAllBirths: a broker that restarts has all nodes born at once.
func TestFreshDoesNotWaitForAllBirths(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const others, each = 300, 10 * time.Millisecond
		p, n := newPlant(t), edgetest.NewNode(group, "cell")
		r := newRig(t, intake.Config{Writers: 1}, p)
		defer r.stop()
		r.births(n)
		pass(time.Second)
		p.set(func() { p.synced, p.calls = each, nil })
		for i := range others {
			r.take(edgetest.NewNode(group, fmt.Sprint("other-", i)).Birth())
		}
		pass(each / 2) // the first is being answered
		for range 20 {
			began := time.Now()
			r.send(n, 1)
			for position := n.Next - 1; !r.wire.acked(n.ID, n.Epoch).Contains(position); {
				pass(time.Millisecond)
			}
			if took := time.Since(began); took > 10*each {
				t.Errorf("a fresh record waited for %v, and a birth takes %v", took, each)
			}
		}
		if got := p.called("sync"); got < 100 || got == others {
			t.Errorf("%d of %d births are answered meanwhile", got, others)
		}
		pass(2 * others * each)
		if got := p.called("sync"); got != others {
			t.Errorf("%d of %d births are answered", got, others)
		}
	})
}

// TestTransactionsStayShort while there are fresh entries, and are as large as they may be
// when there are none.
func TestTransactionsStayShort(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p, n := newPlant(t), edgetest.NewNode(group, "cell")
		p.slow = 100 * time.Millisecond
		r := newRig(t, intake.Config{}, p)
		defer r.stop()
		r.births(n)
		pass(time.Second)
		large := func() (bytes int64) {
			p.mu.Lock()
			defer p.mu.Unlock()
			for _, e := range p.batches[len(p.batches)-1] {
				bytes += e.Record.Size()
			}
			return bytes
		}
		feed := func(fresh bool) {
			for range 40 {
				for range 40 {
					at := n.Next
					n.Next++
					r.take(n.DataAt(at, n.Reading(unit, 1, time.Now().UnixNano(), at, 200), true))
				}
				if fresh {
					r.send(n, 1)
				}
				pass(100 * time.Millisecond)
			}
		}
		feed(true)
		short := large()
		feed(false)
		if long := large(); short > 256<<10 || long < 4*short {
			t.Errorf("a transaction had %d bytes beside fresh entries, and %d without", short, long)
		}
	})
}

// TestAShortBacklogMakesNoLongTransaction: transactions that are short because little waits
// say nothing of how long one would take that is full.
func TestAShortBacklogMakesNoLongTransaction(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p, n := newPlant(t), edgetest.NewNode(group, "cell")
		p.perByte = 30 * time.Nanosecond
		r := newRig(t, intake.Config{}, p)
		defer r.stop()
		r.births(n)
		pass(time.Second)
		past := func(count int) {
			for range count {
				at := n.Next
				n.Next++
				r.take(n.DataAt(at, n.Reading(unit, 1, time.Now().UnixNano(), at, 200), true))
			}
		}
		for range 100 { // more than there is to do
			past(2)
			r.send(n, 1)
			pass(20 * time.Millisecond)
		}
		past(1000) // and then a burst
		pass(time.Millisecond)
		p.mu.Lock()
		p.longest = 0
		p.mu.Unlock()
		for range 100 {
			r.send(n, 1)
			pass(10 * time.Millisecond)
		}
		p.mu.Lock()
		defer p.mu.Unlock()
		if p.longest > 50*time.Millisecond {
			t.Errorf("fresh records waited for a transaction of %v", p.longest)
		}
	})
}
