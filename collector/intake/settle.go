package intake

import (
	"time"

	"andon.internal/collector/intake/reply"
	"andon.internal/collector/session"
	"andon.internal/shared/telemetry"
)

// settled owes the nodes the acknowledgement of what a transaction settled. It is
// called behind the COMMIT, and nowhere else.
func (i *Intake) settled(entries []session.Entry, done Committed, began time.Time) {
	now := time.Now()
	byNode := make(map[telemetry.Node]reply.Epochs)
	for n := range entries {
		e := &entries[n]
		o := done.Outcomes[n]
		i.metrics.outcomes[o].Inc()
		if o < Stored {
			continue
		}
		epochs := byNode[e.Node]
		if epochs == nil {
			epochs = reply.Epochs{}
			byNode[e.Node] = epochs
		}
		set := epochs[e.Epoch]
		set.Add(e.Position, e.Position+1)
		epochs[e.Epoch] = set
		i.metrics.settleSeconds.Observe(now.Sub(e.Received).Seconds())
	}
	i.metrics.rows.Add(float64(done.Rows))
	i.metrics.late.Add(float64(done.Late))
	i.metrics.commitSeconds.Observe(now.Sub(began).Seconds())
	i.metrics.batchCount.Observe(float64(len(entries)))
	if len(done.Reasons) > 0 {
		if skipped, ok := i.reject.pass(now); ok {
			i.log.Warn("readings are quarantined", "reasons", done.Reasons, "other_batches", skipped)
		}
	}
	i.onBoard(func(b *reply.Board, now time.Time) {
		for node, epochs := range byNode {
			b.Committed(node, epochs, now)
		}
	})
}
