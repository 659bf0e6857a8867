package intake_test

import (
	"testing"
	"testing/synctest"
	"time"

	"andon.internal/collector/intake"
	"andon.internal/collector/internal/edgetest"
	"andon.internal/shared/sparkplug"
)

// foreignBirth is the NBIRTH of another maker's node.
func foreignBirth(topic string) edgetest.Message {
	p := sparkplug.Payload{Timestamp: 1, HasTimestamp: true, HasSeq: true, Metrics: []sparkplug.Metric{
		{Name: "bdSeq", DataType: sparkplug.Int64, Value: sparkplug.LongValue(0)},
	}}
	return edgetest.Message{Topic: topic, Payload: p.Append(nil)}
}

// TestNodeThatTurnsForeignIsNotSpokenTo: else what is owed to it would stay for ever,
// since a foreign node is forgotten without a death.
func TestNodeThatTurnsForeignIsNotSpokenTo(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p, n := newPlant(t), edgetest.NewNode(group, "cell")
		r := newRig(t, intake.Config{}, p)
		defer r.stop()
		birth := n.Birth()
		r.take(birth)
		pass(2 * time.Second)
		if len(r.wire.said(n.ID)) < 2 {
			t.Fatal("the node is not spoken to")
		}
		r.take(foreignBirth(birth.Topic))
		pass(100 * time.Millisecond)
		said := len(r.wire.said(n.ID))
		pass(5 * time.Second)
		if more := len(r.wire.said(n.ID)) - said; more != 0 {
			t.Errorf("%d acknowledgements to a node of another maker", more)
		}
		n.Connect()
		r.births(n)
		r.send(n, 1)
		pass(time.Second)
		r.wantAcked(n, "[0,1)")
	})
}
