package sentinel

import (
	"container/heap"
	"time"
)

// deadlines is a heap of the instances that wait for a moment.
type deadlines []*instance

func (d deadlines) Len() int           { return len(d) }
func (d deadlines) Less(a, b int) bool { return d[a].deadline.Before(d[b].deadline) }

func (d deadlines) Swap(a, b int) {
	d[a], d[b] = d[b], d[a]
	d[a].place, d[b].place = a, b
}

// Push is for container/heap.
func (d *deadlines) Push(x any) {
	i := x.(*instance)
	i.place = len(*d)
	*d = append(*d, i)
}

// Pop is for container/heap.
func (d *deadlines) Pop() any {
	last := len(*d) - 1
	i := (*d)[last]
	(*d)[last] = nil
	*d = (*d)[:last]
	i.place = -1
	return i
}

func (d *deadlines) remove(i *instance) {
	if i.place >= 0 {
		heap.Remove(d, i.place)
	}
}

func (d *deadlines) set(i *instance, at time.Time) {
	i.deadline = at
	if i.place >= 0 {
		heap.Fix(d, i.place)
	} else {
		heap.Push(d, i)
	}
}

// expire steps every instance whose deadline is not after now, each at its deadline.
func (e *Engine) expire(now time.Time) {
	for len(e.due) > 0 && !e.due[0].deadline.After(now) {
		i := e.due[0]
		at := i.deadline
		e.due.remove(i)
		i.elapse(at)
		i.threshold = 0 // found anew, for the usual period as it is now
		e.step(i, at, Identity{}, 0)
	}
}

// schedule brings the deadlines of instances up to date.
func (e *Engine) schedule(list []*instance, now time.Time) {
	for _, i := range list {
		e.reschedule(i, now)
	}
}

// reschedule finds when the instance next changes by itself.
func (e *Engine) reschedule(i *instance, now time.Time) {
	var at time.Time
	switch {
	case i.condition == pending || i.condition == clearing:
		left := i.delay() - i.counted
		if left <= 0 {
			break // only a suppressing alarm or an unknown predicate holds it
		}
		if i.unit != nil && i.rule.silence == "" && left > i.unit.stale() {
			break // the data would be stale before: the next reading goes on counting
		}
		at = i.mark.Add(left)
	case i.condition == normal && i.rule.silence != "":
		at = e.silentAt(i)
	}
	if at.IsZero() {
		e.due.remove(i)
		return
	}
	e.due.set(i, at)
}

// Bounds of the search for the age at which a silence rule becomes true.
const (
	shortestSilence = time.Millisecond
	longestSilence  = MaxWindow
)

// silentAt returns when the silence rule will be true if nothing is heard, or zero.
// The predicate is taken to stay true once it is: the age is found by doubling and
// halving, to a millisecond, once for each usual period.
func (e *Engine) silentAt(i *instance) time.Time {
	if i.unit != nil && !i.unit.active {
		return time.Time{}
	}
	from, usual := time.Time{}, 0.0
	if i.node != nil {
		from = i.node.heard
	} else {
		from, usual = i.unit.heard, i.unit.period
	}
	if from.IsZero() {
		return time.Time{}
	}
	if i.threshold == 0 || usual > i.forPeriod*1.05 || usual < i.forPeriod*0.95 {
		i.threshold, i.forPeriod = e.findSilence(i), usual
	}
	if i.threshold > longestSilence {
		return time.Time{}
	}
	return from.Add(i.threshold)
}

func (e *Engine) findSilence(i *instance) time.Duration {
	silent := func(age time.Duration) bool {
		return i.rule.when.eval(&e.machine, i.silenceEnv(age)) == yes
	}
	high := shortestSilence
	for !silent(high) {
		if high *= 2; high > longestSilence {
			return high
		}
	}
	low := high / 2
	for high-low > time.Millisecond {
		if middle := low + (high-low)/2; silent(middle) {
			high = middle
		} else {
			low = middle
		}
	}
	return high
}
