package intake

import (
	"time"

	"andon.internal/collector/session"
)

// waiting is what a writer has to bring into the database: fresh entries before those of
// the past, so that nobody who looks at the plant waits for a backlog.
type waiting struct {
	fresh, old []item // each in the order of arrival
	accepted   uint64 // entries ever added
}

type item struct {
	entry session.Entry
	cost  int64
	nth   uint64 // of all that were added
}

func (q *waiting) add(e session.Entry, cost int64) {
	i := item{e, cost, q.accepted}
	q.accepted++
	if e.Historical || e.Poison != nil {
		q.old = append(q.old, i)
	} else {
		q.fresh = append(q.fresh, i)
	}
}

func (q *waiting) len() int { return len(q.fresh) + len(q.old) }

// settled is how many of the entries that came first are no longer here.
func (q *waiting) settled() uint64 {
	n := q.accepted
	for _, list := range [...][]item{q.fresh, q.old} {
		if len(list) > 0 {
			n = min(n, list[0].nth)
		}
	}
	return n
}

// bytes is what all of it takes, counted up to most.
func (q *waiting) bytes(most int64) (sum int64) {
	for _, list := range [...][]item{q.fresh, q.old} {
		for n := 0; n < len(list) && sum < most; n++ {
			sum += list[n].cost
		}
	}
	return sum
}

// take takes a batch: fresh entries up to the bounds of a transaction, and behind them
// some of the past, for about oldBytes and one at least.
func (q *waiting) take(oldBytes int64) []item {
	batch, bytes := front(&q.fresh, nil, maxBatchEntries-1, maxBatchBytes)
	batch, _ = front(&q.old, batch, maxBatchEntries, max(min(oldBytes, maxBatchBytes-bytes), 1))
	return batch
}

// front moves entries from the front of a list into a batch, until that has so many, or
// they take so many bytes.
func front(list *[]item, batch []item, entries int, most int64) (_ []item, bytes int64) {
	n := 0
	for n < len(*list) && len(batch)+n < entries && bytes < most {
		bytes += (*list)[n].cost
		n++
	}
	batch = append(batch, (*list)[:n]...)
	clear((*list)[:n]) // the records may go when they are committed
	if *list = (*list)[n:]; len(*list) == 0 {
		*list = nil
	}
	return batch, bytes
}

// clear empties it and returns what there was.
func (q *waiting) clear() []item {
	list := append(q.fresh, q.old...)
	q.fresh, q.old = nil, nil
	return list
}

// The length of a transaction while there are fresh entries: the next ones wait for its
// end. A tenth of a second would be seen.
const (
	transactionGoal = 40 * time.Millisecond
	leastOld        = 64 << 10
	freshLingers    = 2 * time.Second
)

// portion is how much of the past goes into one transaction. It follows how long they
// take, while there are fresh entries too.
type portion struct {
	size  int64
	fresh time.Time // when there last was a fresh entry
}

func newPortion() portion { return portion{size: 1 << 20} }

// now returns the bytes that may go into the next transaction.
func (p *portion) now(at time.Time, fresh bool) int64 {
	if fresh {
		p.fresh = at
	}
	if at.Sub(p.fresh) > freshLingers {
		return maxBatchBytes
	}
	return p.size
}

// took notes how long a transaction was that had something of the past in it.
func (p *portion) took(at time.Time, d time.Duration) {
	switch {
	case at.Sub(p.fresh) > freshLingers:
	case d > transactionGoal:
		p.size = max(p.size*3/4, leastOld)
	case d < transactionGoal/2:
		p.size = min(p.size*5/4, maxBatchBytes)
	}
}
