package intake_test

import (
	"context"
	"log/slog"
	"testing"
	"time"

	"andon.internal/collector/intake"
	"andon.internal/collector/internal/edgetest"
)

// rig is an intake between a wire and a plant, for use in a bubble of synctest.
type rig struct {
	t      *testing.T
	intake *intake.Intake
	wire   *wire
	plant  *plant
	cancel context.CancelFunc
	ended  chan error
}

func newRig(t *testing.T, c intake.Config, p *plant) *rig {
	t.Helper()
	r := &rig{t: t, wire: newWire(t), plant: p, ended: make(chan error, 1)}
	var err error
	if r.intake, err = intake.New(c, r.wire, p); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	r.cancel = cancel
	go func() { r.ended <- r.intake.Run(ctx) }()
	return r
}

// stop ends the intake and waits for it.
func (r *rig) stop() {
	r.t.Helper()
	r.cancel()
	if err := <-r.ended; err != nil {
		r.t.Errorf("run: %v", err)
	}
}

func (r *rig) take(list ...edgetest.Message) {
	for _, m := range list {
		r.intake.Receive(m.Topic, m.Payload, false, time.Now())
	}
}

// births says a node's births.
func (r *rig) births(n *edgetest.Node) {
	r.take(n.Birth(), n.UnitBirth(unit, 1, false))
}

// send sends count records of one reading.
func (r *rig) send(n *edgetest.Node, count int) {
	for range count {
		r.take(n.Data(n.Reading(unit, 1, time.Now().UnixNano(), n.Next, 1)))
	}
}

func (r *rig) wantAcked(n *edgetest.Node, want string) {
	r.t.Helper()
	if got := r.wire.acked(n.ID, n.Epoch).String(); got != want {
		r.t.Errorf("acknowledged %q, want %q", got, want)
	}
}

// logHandler is called with the message of each line of the log.
type logHandler func(message string)

func (h logHandler) Enabled(context.Context, slog.Level) bool { return true }
func (h logHandler) WithAttrs([]slog.Attr) slog.Handler       { return h }
func (h logHandler) WithGroup(string) slog.Handler            { return h }

func (h logHandler) Handle(_ context.Context, r slog.Record) error {
	h(r.Message)
	return nil
}
