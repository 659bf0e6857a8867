package feed_test

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/goleak"

	"andon.internal/collector/feed"
	"andon.internal/collector/internal/edgetest"
	"andon.internal/shared/ops/opstest"
	"andon.internal/shared/sparkplug"
	"andon.internal/shared/telemetry"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// rig is a feed at work in a synctest bubble.
type rig struct {
	f     *feed.Feed
	mu    sync.Mutex
	got   []string
	asked int
	hold  chan struct{} // when set, the sink waits for it
}

func with(t *testing.T, c feed.Config, hold chan struct{}, test func(r *rig)) {
	synctest.Test(t, func(t *testing.T) {
		r := &rig{hold: hold}
		if hold != nil {
			r.hold = make(chan struct{}) // of the bubble
		}
		c.Ask = func(telemetry.Node) { r.mu.Lock(); r.asked++; r.mu.Unlock() }
		c.Sinks = []feed.Sink{r.take}
		var err error
		if r.f, err = feed.New(c); err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(context.Background())
		done := make(chan error, 1)
		go func() { done <- r.f.Run(ctx) }()
		test(r)
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
}

func (r *rig) take(e feed.Event) {
	if r.hold != nil {
		<-r.hold
	}
	text := map[feed.Kind]string{
		feed.NodeBorn: "node born", feed.NodeDied: "node died", feed.NodeHeard: "heard", feed.UnitBorn: "born " + e.UnitID,
		feed.UnitDied: "died " + e.UnitID, feed.Other: e.Topic + "=" + string(e.Payload),
	}[e.Kind]
	if e.Kind == feed.Record {
		text = fmt.Sprintf("record %d of %s, %d rows, old %v", e.Position, e.Record.Unit, e.Record.Len(), e.Old)
	}
	if e.Heartbeat != nil {
		text += fmt.Sprintf(" %d rows buffered", e.Heartbeat.Rows)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.got = append(r.got, text)
}

func (r *rig) send(list ...edgetest.Message) {
	for _, m := range list {
		r.f.Receive(m.Topic, m.Payload, false, time.Now())
	}
}

// told returns what was told and how many births were asked for, since the last call.
func (r *rig) told() (string, int) {
	synctest.Wait()
	r.mu.Lock()
	defer r.mu.Unlock()
	text, asked := strings.Join(r.got, "; "), r.asked
	r.got, r.asked = nil, 0
	return text, asked
}

func TestEvents(t *testing.T) {
	reg := prometheus.NewRegistry()
	with(t, feed.Config{Metrics: reg}, nil, func(r *rig) {
		want := func(text string, asked int) {
			t.Helper()
			if got, n := r.told(); got != text || n != asked {
				t.Errorf("told %q and asked %d times, want %q and %d", got, n, text, asked)
			}
		}
		n := edgetest.NewNode("plant", "cell")
		record := n.Reading("u", 1, 5e9, 0, 3)
		n.UnitBirth("u", 1, false) // gives the unit its aliases
		r.send(n.Data(record))
		want("heard", 1) // of a node that is not known
		r.send(n.Birth(), n.UnitBirth("u", 1, false), n.Data(record), n.DataAt(0, record, true))
		want("node born; born u; record 1 of u, 3 rows, old false; record 0 of u, 3 rows, old true", 0)
		r.send(n.Heartbeat(sparkplug.Heartbeat{Rows: 7}), n.Loss(telemetry.Loss{Epoch: n.Epoch, From: 8, To: 9, Reason: telemetry.LossCrash}))
		want("heard 7 rows buffered; heard", 0)
		r.send(n.UnitDeath("u"), n.Death(), n.Death())
		want("died u; node died", 0)
		r.send(edgetest.Message{Topic: "andon/ack/x", Payload: []byte("y")}, edgetest.Message{Topic: "spBv1.0/x"})
		want("andon/ack/x=y", 0)
		r.f.Receive(n.Birth().Topic, n.Birth().Payload, true, time.Now())
		want("", 0) // retained
		if got := opstest.Metric(t, reg, "andon_feed_retained_total"); got != 1 {
			t.Errorf("%v retained messages are counted, want 1", got)
		}
	})
}

func TestBirthsAreAskedForAfterALostConnection(t *testing.T) {
	with(t, feed.Config{}, nil, func(r *rig) {
		n := edgetest.NewNode("plant", "cell")
		r.send(n.Birth())
		r.told()
		r.f.Connected()
		time.Sleep(2 * time.Second)
		if _, asked := r.told(); asked != 1 {
			t.Errorf("asked %d times", asked)
		}
		r.f.Connected()
		r.send(n.Birth()) // by itself
		time.Sleep(2 * time.Second)
		if _, asked := r.told(); asked != 0 {
			t.Errorf("asked %d times a node that spoke by itself", asked)
		}
	})
}

func TestQueueIsBounded(t *testing.T) {
	reg := prometheus.NewRegistry()
	with(t, feed.Config{Queue: 10 << 10, Metrics: reg}, make(chan struct{}), func(r *rig) {
		for range 100 { // of 1 KiB and what a message costs beside
			r.send(edgetest.Message{Topic: "x", Payload: make([]byte, 512)})
		}
		close(r.hold)
		synctest.Wait()
		if n := opstest.Metric(t, reg, "andon_feed_dropped_total"); n != 90 {
			t.Errorf("%v are dropped, want 90", n)
		}
		r.told()
		r.send(edgetest.Message{Topic: "y"})
		if got, _ := r.told(); got != "y=" {
			t.Errorf("then told %q", got)
		}
	})
}
