package intake

import (
	"context"
	"time"

	"andon.internal/collector/intake/reply"
	"andon.internal/shared/sparkplug"
	"andon.internal/shared/telemetry"
)

// onBoard changes what is owed, and wakes who sends it. A standby owes nothing, and its
// board stays as [Intake.enter] left it.
func (i *Intake) onBoard(change func(b *reply.Board, now time.Time)) {
	i.boardMu.Lock()
	if i.mode.get() != standby {
		change(i.board, time.Now())
	}
	i.boardMu.Unlock()
	signal(i.wake)
}

// weigh notes what a record takes; the next acknowledgement is early enough to say it.
func (i *Intake) weigh(n telemetry.Node, wire int, memory int64) {
	i.boardMu.Lock()
	defer i.boardMu.Unlock()
	i.board.Weigh(n, wire, memory)
}

// acknowledge sends what is owed, until ctx ends; then once more.
func (i *Intake) acknowledge(ctx context.Context) {
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		i.pulse.Beat()
		i.boardMu.Lock()
		now := time.Now()
		i.board.Database(i.databaseOf(now))
		i.board.Load(i.budget.full())
		out, next := i.board.Due(now)
		i.boardMu.Unlock()
		for _, o := range out {
			i.send(o, now)
		}
		timer.Reset(max(time.Millisecond, time.Until(next)))
		select {
		case <-timer.C:
		case <-i.wake:
		case <-ctx.Done():
			i.boardMu.Lock()
			i.board.Database(i.databaseOf(time.Now()))
			last, _ := i.board.Due(now.Add(time.Minute)) // whatever it still waits for
			i.boardMu.Unlock()
			for _, o := range last {
				i.send(o, now)
			}
			return
		}
	}
}

// databaseOf tells of the database what a node's own writer finds.
func (i *Intake) databaseOf(now time.Time) func(telemetry.Node) sparkplug.DBState {
	states := make([]sparkplug.DBState, len(i.lanes))
	for n, l := range i.lanes {
		states[n] = l.writer.attempts.state(now)
	}
	return func(n telemetry.Node) sparkplug.DBState { return states[i.lane(n)] }
}

func (i *Intake) send(o reply.Out, now time.Time) {
	topic := sparkplug.Topic{Type: sparkplug.NCmd, Group: o.Node.Group, Node: o.Node.ID}.String()
	ts := uint64(now.UnixMilli())
	var payload []byte
	if o.Ack == nil {
		payload = sparkplug.AppendRebirth(nil, ts)
		i.metrics.rebirths.Inc()
	} else {
		payload = sparkplug.AppendAck(nil, ts, *o.Ack)
		i.metrics.acks.Inc()
	}
	if err := i.link.Publish(topic, payload); err != nil {
		i.metrics.unsent.Inc()
		i.log.Debug("message to a node was not sent", "node", o.Node, "error", err)
	}
}

// rebirth asks a node for its births.
func (i *Intake) rebirth(n telemetry.Node, why string) {
	i.log.Info("births are asked for", "node", n, "reason", why)
	i.onBoard(func(b *reply.Board, _ time.Time) {
		if !b.Rebirth(n) {
			i.metrics.unasked.Inc()
		}
	})
}
