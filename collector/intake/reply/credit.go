package reply

import (
	"time"

	"andon.internal/shared/sparkplug"
	"andon.internal/shared/telemetry"
)

// activeFor is how long a node with a commit counts as one that has data to send.
const activeFor = 5 * time.Second

func (o *owed) isActive(now time.Time) bool { return now.Sub(o.data) < activeFor }

// Weigh notes what a record of a node takes in memory until it is committed, and what
// it took on the wire: the bound of the queue is in the former, the credit in the
// latter. The next acknowledgement says the new credit.
func (b *Board) Weigh(n telemetry.Node, wire int, memory int64) {
	o := b.nodes[n]
	if o == nil || wire <= 0 {
		return
	}
	w := max(1, float64(memory)/float64(wire))
	if w < o.weight {
		w = o.weight + (w-o.weight)/weightFades // one small record is no change
	}
	o.weight = w
}

// weightFades is in how many records a weight sinks to a third of what it was above
// theirs.
const weightFades = 16

// share is the node's part of the credit. Half of the bounds is split among all
// nodes, so that each can begin, and half among those that had data of late; the sum
// stays within the bounds, but for the one record that every node has at least.
// Above half a queue all credits shrink, to one record at three quarters: before the
// intake drops data, at seven eighths. Bytes are counted as the node's records take
// them in memory.
func (b *Board) share(o *owed, now time.Time) sparkplug.Credit {
	part := 0.5 / float64(max(1, len(b.nodes)))
	if o.isActive(now) {
		part += 0.5 / float64(max(1, b.active))
	}
	part *= room(b.load)
	return sparkplug.Credit{
		Records: max(1, int(part*float64(b.config.Records))),
		Bytes:   max(1, int64(part*float64(b.config.Bytes)/o.weight)),
	}
}

// room falls from 1 at half a queue to 0 at three quarters.
func room(load float64) float64 {
	const from, to = 0.5, 0.75
	return min(1, max(0, (to-load)/(to-from)))
}
