package broker_test

import (
	"context"
	"crypto/tls"
	"os"
	"runtime"
	"testing"
	"time"

	"andon.internal/broker"
	"andon.internal/broker/access"
	"andon.internal/shared/siege"
)

// narrow are bounds that an attack of a fraction of a second meets.
func narrow(c *broker.Config) {
	l := &c.Limits
	l.ConnectTimeout = 2 * time.Second
	l.MaxPending = 100
	l.MaxPacketRate = 1000
	l.ReceiveBytes = 1 << 20
	l.MaxRetained = 10
	l.WriteTimeout = 3 * time.Second
	l.ClientQueueBytes = 4 << 20
}

// TestAttacks has the broker attacked in every way there is, with and without TLS. Each
// time honest cells lose nothing and keep their connections, a cell that was not there
// before comes in, the broker's counter tells of the attack, and when it is over nothing
// of it is left. What it does to the honest cells' latency, andon-lab bench attacks tells.
func TestAttacks(t *testing.T) {
	t.Run("without TLS", func(t *testing.T) {
		r := start(t, narrow)
		besiege(t, r, siege.Target{Address: r.Addr(), Connects: 200, Packets: 5000, Held: 200}, siege.Attacks(false))
	})
	t.Run("with TLS", func(t *testing.T) {
		a := newAuthority(t)
		r := a.broker(narrow)
		besiege(t, r, siege.Target{Address: r.Addr(), As: a.people(), Connects: 200, Packets: 5000, Held: 200}, siege.Attacks(true))
	})
}

// people returns the certificates of everybody in a siege.
func (a *authority) people() func(siege.Who) *tls.Config {
	a.t.Helper()
	known := map[siege.Who]*tls.Config{
		siege.Plant:    a.tls(a.issue(access.Identity{Role: access.Collector, Name: string(siege.Plant)}, time.Hour)),
		siege.Onlooker: a.tls(a.issue(access.Identity{Role: access.Viewer, Name: string(siege.Onlooker)}, time.Hour)),
	}
	for _, w := range []siege.Who{siege.Rogue, siege.Cell(0), siege.Cell(1), siege.Cell(2), siege.Cell(3)} {
		known[w] = a.tls(a.issue(access.Identity{Role: access.Node, Group: siege.Group, Name: string(w)}, time.Hour))
	}
	stranger := known[siege.Rogue].Clone()
	stranger.Certificates = nil
	known[siege.Stranger] = stranger
	return func(w siege.Who) *tls.Config { return known[w] }
}

// spared bounds the heap of broker and besiegers together, in bytes: what 100 pending
// connections and the queues of some stuck readers take, and room.
const spared = 64 << 20

func besiege(t *testing.T, r *running, target siege.Target, attacks []siege.Attack) {
	const cells = 3
	honest, err := siege.Begin(t.Context(), target, cells, 50)
	if err != nil {
		t.Fatal(err)
	}
	defer honest.Close()
	eventually(t, "honest messages come", func() bool { return len(honest.Take()) > 0 })
	for i := range attacks {
		a := &attacks[i]
		t.Run(a.Name, func(t *testing.T) {
			calm := residue(t, r)
			counted := func() float64 { return r.metric(a.Counter, a.Label) }
			before := counted()
			ctx, cancel := context.WithCancel(t.Context())
			over := make(chan struct{})
			go func() {
				defer close(over)
				a.Run(ctx, target)
			}()
			defer func() { cancel(); <-over }()
			eventually(t, "the attack is counted", func() bool { return counted() > before })
			honest.Take()
			came := 0
			eventually(t, "honest messages come", func() bool { came += len(honest.Take()); return came >= 10*cells })
			eventually(t, "another cell comes in", func() bool { return siege.Rejoin(ctx, target, cells) == nil })
			if heap := residue(t, r).heap; heap > calm.heap+spared {
				t.Errorf("it takes %d MiB", (heap-calm.heap)>>20)
			}
			cancel()
			<-over
			eventually(t, "all honest messages have come", func() bool { return honest.Missing() <= cells })
			if err := honest.Err(); err != nil {
				t.Fatal(err)
			}
			var now left
			defer func() {
				if t.Failed() {
					t.Logf("calm: %+v, now: %+v", calm, now)
				}
			}()
			eventually(t, "nothing is left of it", func() bool { now = residue(t, r); return now.within(calm) })
		})
	}
}

// left is what the broker and its tests hold.
type left struct {
	connections, subscriptions, queued float64
	goroutines, files                  int
	heap                               uint64 // in use, bytes
}

func residue(t *testing.T, r *running) left {
	t.Helper()
	fds, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Fatal(err)
	}
	var m runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&m)
	return left{
		r.metric("connections"), r.metric("subscriptions"), r.metric("queued_bytes"),
		runtime.NumGoroutine(), len(fds), m.HeapAlloc,
	}
}

// within reports whether no more is left than there was. Of the heap, the pools of a
// broker that has been busy are no leak.
func (l left) within(calm left) bool {
	const pools = 16 << 20
	return l.connections <= calm.connections && l.subscriptions <= calm.subscriptions && l.queued <= calm.queued &&
		l.goroutines <= calm.goroutines && l.files <= calm.files && l.heap <= calm.heap+pools
}
