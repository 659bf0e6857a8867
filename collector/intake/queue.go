package intake

import (
	"sync"
	"sync/atomic"

	"andon.internal/collector/session"
)

// overhead is what a message costs beside its payload, or its decoded form: topic,
// headers, a place in a queue.
const overhead = 512

// costOf is what a message takes from the budget until it is decoded.
func costOf(payload []byte) int64 { return int64(len(payload)) + overhead }

// costOfEntry is what an entry takes from the budget until it is settled. A record
// may be far larger decoded than on the wire, because there a missing value takes
// nothing.
func costOfEntry(e *session.Entry) int64 {
	switch {
	case e.Record != nil:
		return e.Record.Size() + overhead
	case e.Loss != nil:
		return e.Loss.Size() + overhead
	}
	return costOf(e.Poison.Payload) + int64(len(e.Poison.Reason))
}

// budget bounds the bytes between the handler and the commit. Its last eighth is
// kept for what is not data, so that a birth is not lost in a flood of records.
type budget struct {
	limit int64
	used  atomic.Int64
}

// take takes n bytes, or nothing when they are not there. It never blocks.
func (b *budget) take(n int64, control bool) bool {
	return b.exchange(0, n, control)
}

// exchange gives old bytes back and takes n, or only gives back when these are not
// there.
func (b *budget) exchange(old, n int64, control bool) bool {
	limit := b.limit
	if !control {
		limit -= limit / 8
	}
	if b.used.Add(n-old) > limit && n > old {
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
