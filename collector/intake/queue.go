package intake

import (
	"sync"
	"sync/atomic"

	"andon.internal/collector/session"
)

// overhead is what a message costs beside its payload: topic, headers, a place in a
// queue, its decoded form's headers.
const overhead = 512

// costOf is what a message takes from the budget until it is settled.
func costOf(payload []byte) int64 { return int64(len(payload)) + overhead }

// budget bounds the bytes between the handler and the commit. Its last eighth is
// kept for what is not data, so that a birth is not lost in a flood of records.
type budget struct {
	limit int64
	used  atomic.Int64
}

// take takes n bytes, or nothing when they are not there. It never blocks.
func (b *budget) take(n int64, control bool) bool {
	limit := b.limit
	if !control {
		limit -= limit / 8
	}
	if b.used.Add(n) > limit {
		b.used.Add(-n)
		return false
	}
	return true
}

func (b *budget) give(n int64) { b.used.Add(-n) }

// full is how full it is, from 0 to 1.
func (b *budget) full() float64 { return float64(b.used.Load()) / float64(b.limit) }

// queue holds messages for one worker. Its bound is the budget that its messages
// were taken from.
type queue struct {
	mu    sync.Mutex
	list  []session.Message
	ready chan struct{} // capacity 1: list is not empty
}

func (q *queue) push(m session.Message) {
	q.mu.Lock()
	q.list = append(q.list, m)
	q.mu.Unlock()
	signal(q.ready)
}

// take returns all messages and keeps the room of spare for new ones.
func (q *queue) take(spare []session.Message) []session.Message {
	q.mu.Lock()
	defer q.mu.Unlock()
	list := q.list
	q.list = spare[:0]
	return list
}

// signal wakes who waits on a channel of capacity 1.
func signal(c chan<- struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}
