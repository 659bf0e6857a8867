package broker

import (
	"sync"
	"sync/atomic"
	"unsafe"
)

// The library bounds what waits for a reader in messages only, and calls no hook
// that knows both the reader and the message. So each message gets a topic string of
// its own when it is published, and the address of that string, which the library
// copies along, names the message: before it is queued for a reader (the access
// check of the delivery) and when it leaves the queue (encoding).

// ticket names a message on its way: the address of its topic's bytes.
type ticket *byte

func ticketOf(topic string) ticket { return unsafe.StringData(topic) }

// overhead is what a queued message takes beside topic and payload, in bytes.
const overhead = 512

// costOf is what a message takes in a reader's queue, in bytes.
func costOf(topic string, payload int) int64 { return int64(payload + len(topic) + overhead) }

// depot knows the size of every message that is being handed to its readers, and the
// sum of what waits for all of them. The size of a retained message, which is handed
// out long after it was published, is told by what the library retains.
type depot struct {
	sizes   sync.Map // ticket -> int64
	limit   int64    // bytes for all readers together
	waiting atomic.Int64
	readers atomic.Int64 // that have something waiting
	refused atomic.Int64 // messages, over all readers, for bytes
}

// forget drops the size of the client's last message: its readers have it.
func (d *depot) forget(c *conn) {
	if c.published != nil {
		d.sizes.Delete(c.published)
		c.published = nil
	}
}

// queue is what waits for one reader. The order of leaving is nearly the order of
// coming; a message that the library dropped without telling is found missing when a
// later one leaves.
type queue struct {
	depot *depot
	limit int64 // bytes

	mu      sync.Mutex
	entries []queued // entries[head:] wait
	head    int
	bytes   int64
	gone    bool // the reader is; nothing is booked any more

	dropped atomic.Uint64 // messages that this reader lost, for whatever bound
}

type queued struct {
	ticket ticket
	bytes  int64
}

// admit books a message of n bytes for the reader and reports whether it may be
// queued.
func (q *queue) admit(t ticket, n int64) bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.gone {
		return true
	}
	if q.bytes+n > q.limit || q.overShareLocked(n) {
		q.dropped.Add(1)
		q.depot.refused.Add(1)
		return false
	}
	if q.bytes == 0 {
		q.depot.readers.Add(1)
	}
	q.bytes += n
	q.depot.waiting.Add(n)
	if q.head > 64 && q.head > len(q.entries)/2 {
		q.entries = append(q.entries[:0], q.entries[q.head:]...)
		q.head = 0
	}
	q.entries = append(q.entries, queued{t, n})
	return true
}

// overShareLocked reports whether all readers together hold more than the depot
// takes, and this one more than its fair share of it.
func (q *queue) overShareLocked(n int64) bool {
	d := q.depot
	return d.waiting.Load()+n > d.limit && q.bytes+n > d.limit/max(1, d.readers.Load())
}

// leave takes a message off the books, and those before it that never left.
func (q *queue) leave(t ticket) {
	q.mu.Lock()
	defer q.mu.Unlock()
	for i := q.head; i < len(q.entries); i++ {
		if q.entries[i].ticket == t {
			q.dropLocked(i + 1)
			return
		}
	}
}

// close takes everything off the books: the reader is gone.
func (q *queue) close() {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.gone = true
	q.dropLocked(len(q.entries))
}

func (q *queue) dropLocked(to int) {
	if to == q.head {
		return
	}
	var n int64
	for ; q.head < to; q.head++ {
		n += q.entries[q.head].bytes
		q.entries[q.head] = queued{}
	}
	q.bytes -= n
	q.depot.waiting.Add(-n)
	if q.bytes == 0 {
		q.depot.readers.Add(-1)
		q.entries, q.head = q.entries[:0], 0
	}
}
