package intake_test

import (
	"fmt"
	"log/slog"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"andon.internal/collector/intake"
	"andon.internal/collector/internal/edgetest"
	"andon.internal/shared/sparkplug"
)

// TestMessageUnderWayWhenTheLeaseIsLost: a message that is being handled when the
// intake becomes a standby leaves nothing behind there: nobody is spoken to, and
// nothing waits for the next time that it holds the lease.
func TestMessageUnderWayWhenTheLeaseIsLost(t *testing.T) {
	tests := []struct {
		name    string
		at      string // what the log says between the look at the mode and what follows
		message func(t *testing.T, n *edgetest.Node) edgetest.Message
	}{
		{"birth", "node is born", func(_ *testing.T, n *edgetest.Node) edgetest.Message {
			n.Connect()
			return n.Birth()
		}},
		{"data", "record cannot be decoded and is quarantined", spoiled},
		{"data that asks for births", "births are asked for", func(_ *testing.T, n *edgetest.Node) edgetest.Message {
			n.Session++
			return n.Data(n.Reading(unit, 1, time.Now().UnixNano(), n.Next, 1))
		}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				p, n, reg := newPlant(t), edgetest.NewNode(group, "cell"), prometheus.NewRegistry()
				arrived, proceed := make(chan struct{}), make(chan struct{})
				var armed atomic.Bool
				log := logHandler(func(message string) {
					if message == tt.at && armed.CompareAndSwap(true, false) {
						close(arrived)
						<-proceed
					}
				})
				r := newRig(t, intake.Config{Logger: slog.New(log), Metrics: intake.NewMetrics(reg)}, p)
				defer r.stop()
				r.births(n)
				pass(10 * time.Second)
				armed.Store(true)
				r.take(tt.message(t, n))
				<-arrived
				p.set(func() { p.lost, p.taken = true, true })
				pass(10 * time.Second) // the next renewal finds it
				if got := fmt.Sprint(r.wire.announced()); got != "[true false]" {
					t.Fatalf("announced %s", got)
				}
				said, asked, calls := len(r.wire.said(n.ID)), r.wire.asked(n.ID), p.log()
				close(proceed)
				pass(10 * time.Second)
				if got := len(r.wire.said(n.ID)) - said; got != 0 {
					t.Errorf("a standby sent %d acknowledgements", got)
				}
				if r.wire.asked(n.ID) != asked {
					t.Error("a standby asked for births")
				}
				if got := metric(t, reg, "queue_bytes"); got != 0 {
					t.Errorf("a standby keeps %v bytes", got)
				}
				p.set(func() { p.taken = false })
				pass(10 * time.Second)
				if got := p.log()[len(calls):]; fmt.Sprint(got) != "[acquire]" {
					t.Errorf("calls with the next lease: %v", got)
				}
			})
		})
	}
}

// spoiled is a record that lacks its last metric.
func spoiled(t *testing.T, n *edgetest.Node) edgetest.Message {
	t.Helper()
	m := n.Data(n.Reading(unit, 1, time.Now().UnixNano(), n.Next, 1))
	p, err := sparkplug.Decode(m.Payload, sparkplug.Limits{})
	if err != nil {
		t.Fatal(err)
	}
	p.Metrics = p.Metrics[:len(p.Metrics)-1]
	m.Payload = p.Append(nil)
	return m
}
