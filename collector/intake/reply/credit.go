package reply

import (
	"time"

	"andon.internal/shared/sparkplug"
)

// activeFor is how long a node with a commit counts as one that has data to send.
const activeFor = 5 * time.Second

func (o *owed) isActive(now time.Time) bool { return now.Sub(o.data) < activeFor }

// share is the node's part of the credit. Half of the bounds is split among all
// nodes, so that each can begin, and half among those that had data of late; the sum
// stays within the bounds, but for the one record that every node has at least.
// Above half a queue all credits shrink, to one record at three quarters: before the
// intake drops data, at seven eighths.
func (b *Board) share(o *owed, now time.Time) sparkplug.Credit {
	part := 0.5 / float64(max(1, len(b.nodes)))
	if o.isActive(now) {
		part += 0.5 / float64(max(1, b.active))
	}
	part *= room(b.load)
	return sparkplug.Credit{
		Records: max(1, int(part*float64(b.config.Records))),
		Bytes:   max(1, int64(part*float64(b.config.Bytes))),
	}
}

// room falls from 1 at half a queue to 0 at three quarters.
func room(load float64) float64 {
	const from, to = 0.5, 0.75
	return min(1, max(0, (to-load)/(to-from)))
}
