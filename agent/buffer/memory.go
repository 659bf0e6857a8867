package buffer

import (
	"slices"
	"time"
)

// enqueue takes an entry into memory, to be written, under the next position.
func (x *index) enqueue(e *entry, now time.Time, step time.Duration) {
	ep := x.current()
	e.key = Key{Epoch: ep.id, Position: ep.next}
	ep.marks.add(ep.next, now, step)
	ep.next++
	x.push(e)
	x.unwritten.Add(e.tally())
	ep.mem[e.key.Position] = e
	ep.hidden = append(ep.hidden, e)
}

// enqueueCursor takes a cursor to be written behind what was enqueued before.
func (x *index) enqueueCursor(name string, c cursor) {
	x.push(&entry{label: name, cursor: &c, ahead: true, cost: int64(len(name)+len(c.Data)) + entryCost})
}

func (x *index) push(e *entry) {
	x.serial++
	e.serial, e.stage = x.serial, queued
	x.memory += e.cost
	if e.ahead {
		x.aheadQueued++
	}
	x.queue = append(x.queue, e)
}

// show makes visible what may be, in the order of positions, and reports whether
// there was anything.
func (x *index) show(ep *epoch) bool {
	n := 0
	for n < len(ep.hidden) && (!ep.hidden[n].ahead || ep.hidden[n].stage == stored || ep.hidden[n].stage == gone) {
		p := ep.hidden[n].key.Position
		ep.held.Add(p, p+1)
		ep.hidden[n] = nil
		n++
	}
	if ep.hidden = ep.hidden[n:]; len(ep.hidden) == 0 {
		ep.hidden = nil
	}
	return n > 0
}

// drop takes an acknowledged entry out of memory. It reports whether it was not
// written and now need not be.
func (x *index) drop(ep *epoch, e *entry) bool {
	delete(ep.mem, e.key.Position)
	was := e.stage
	switch was {
	case writing:
		e.acked = true // see written
		return false
	case queued:
		x.unwritten.Sub(e.tally())
	case stored:
		x.cacheSize -= e.cost
		x.inCache--
	case gone:
		return false
	}
	e.stage = gone
	x.memory -= e.cost
	e.data, e.packed = nil, nil
	if was == queued {
		x.settleLoss(e)
	}
	return was == queued
}

// written notes that an entry is on disk in f. It stays in memory while the cache has
// less than limit bytes.
func (x *index) written(f *file, e *entry, limit int64) {
	if e.ahead {
		x.aheadQueued--
	}
	if e.cursor != nil {
		e.stage = gone
		x.memory -= e.cost
		return
	}
	ep := x.byID[e.key.Epoch]
	h := f.holding(e.key.Epoch)
	p := e.key.Position
	x.change(h, func() {
		if e.acked {
			h.dead.Add(p, p+1)
			h.gone++
		} else {
			h.live.Add(p, p+1)
		}
	})
	x.unwritten.Sub(e.tally())
	x.memory -= e.cost
	e.packed = nil
	e.stage = stored
	e.cost = int64(len(e.data)) + entryCost
	x.settleLoss(e)
	if e.acked || x.cacheSize+e.cost > limit {
		x.forget(ep, e)
		return
	}
	x.memory += e.cost
	x.cacheSize += e.cost
	x.inCache++
	if len(x.cached) > 2*x.inCache+64 {
		x.cached = slices.DeleteFunc(x.cached, func(e *entry) bool { return e.stage == gone })
	}
	x.cached = append(x.cached, e)
}

// forget puts an entry that is on disk out of memory.
func (x *index) forget(ep *epoch, e *entry) {
	e.stage = gone
	e.data = nil
	if ep != nil && ep.mem[e.key.Position] == e {
		delete(ep.mem, e.key.Position)
	}
}

// evict frees memory by putting out cached entries, the latest first, because the
// oldest are read next. It reports whether that was enough.
func (x *index) evict(need, limit int64) bool {
	for x.memory+need > limit && len(x.cached) > 0 {
		e := x.cached[len(x.cached)-1]
		x.cached[len(x.cached)-1] = nil
		x.cached = x.cached[:len(x.cached)-1]
		if e.stage == stored {
			x.cacheSize -= e.cost
			x.inCache--
			x.memory -= e.cost
			x.forget(x.byID[e.key.Epoch], e)
		}
	}
	return x.memory+need <= limit
}

// requeue has an entry written again, whose file is not there any more. The caller takes it out
// of cached. Its cursor is on disk already, in the files that were active since: a power cut
// before the entry is written again takes it.
func (x *index) requeue(e *entry) {
	x.cacheSize -= e.cost
	x.inCache--
	x.memory -= e.cost
	e.ahead, e.bound = false, false
	x.push(e)
	x.unwritten.Add(e.tally())
}
