package intake

import (
	"slices"
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

// takeFresh takes fresh entries up to the bounds of a transaction. They go without
// company: what of the past goes with them they would have to wait for.
func (q *waiting) takeFresh() []item { return front(&q.fresh, maxBatchBytes) }

// takeOld takes entries of the past, for about most bytes and one at least.
func (q *waiting) takeOld(most int64) []item { return front(&q.old, max(min(most, maxBatchBytes), 1)) }

// front takes entries from the front of a list, until they are as many as a transaction
// has, or take so many bytes.
func front(list *[]item, most int64) []item {
	n, bytes := 0, int64(0)
	for n < len(*list) && n < maxBatchEntries && bytes < most {
		bytes += (*list)[n].cost
		n++
	}
	batch := slices.Clone((*list)[:n])
	clear((*list)[:n]) // the records may go when they are committed
	if *list = (*list)[n:]; len(*list) == 0 {
		*list = nil
	}
	return batch
}

func costOfItems(list []item) (cost int64) {
	for n := range list {
		cost += list[n].cost
	}
	return cost
}

// clear empties it and returns what there was.
func (q *waiting) clear() []item {
	list := append(q.fresh, q.old...)
	q.fresh, q.old = nil, nil
	return list
}

// The length of a transaction of the past while there are fresh entries: the next ones
// wait for its end. It is about the time for which entries are gathered anyway, so that
// they wait as long as at rest; a shorter one costs the backlog more than it gives them.
const (
	transactionGoal = 20 * time.Millisecond
	leastOld        = 64 << 10
	freshLingers    = 2 * time.Second
)

// portion is how much of the past goes into one transaction. It follows how long they
// take, while there are fresh entries too.
type portion struct {
	size  int64
	fresh time.Time // when there last was a fresh entry
}

func newPortion() portion { return portion{size: 512 << 10} }

// now returns the bytes that may go into the next transaction.
func (p *portion) now(at time.Time) int64 {
	if at.Sub(p.fresh) > freshLingers {
		return maxBatchBytes
	}
	return p.size
}

// took notes how long a transaction of the past was, and what was in it. One that took far
// too long is no accident: the next is half as large at once. One that was short because
// there was no more says nothing of a larger one.
func (p *portion) took(at time.Time, d time.Duration, bytes int64) {
	switch {
	case at.Sub(p.fresh) > freshLingers:
	case d > 2*transactionGoal:
		p.size = max(p.size/2, leastOld)
	case d > transactionGoal:
		p.size = max(p.size*7/8, leastOld)
	case d < transactionGoal*3/4 && bytes >= p.size:
		p.size = min(p.size*9/8, maxBatchBytes)
	}
}
