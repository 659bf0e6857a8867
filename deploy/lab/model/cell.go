package model

import "fmt"

// step is something that happened, and the world after it.
type step struct {
	text  string
	after world
}

// stepper collects what can happen next.
type stepper struct {
	c    *Scenario
	from *world
	out  []step
}

func (s *stepper) add(w *world, format string, args ...any) {
	s.out = append(s.out, step{fmt.Sprintf(format, args...), *w})
}

// room is how many records a cell that can overflow may hold.
const room = 1

// cellSteps is what a cell does.
func (s *stepper) cellSteps(i int) {
	c := &s.from.cells[i]
	switch {
	case !c.exists:
	case !c.up:
		s.start(i)
	default:
		s.take(i)
		s.write(i)
		s.crash(i)
		if !c.synced {
			s.birth(i)
		} else if c.session != s.from.session {
			s.askBirth(i)
		}
		if c.synced || !s.c.keeps(WaitSync) {
			s.send(i)
		}
		if s.c.Rotate {
			s.rotate(i)
		}
	}
}

func (s *stepper) start(i int) {
	w := *s.from
	c := &w.cells[i]
	if int(w.begun) == s.c.Epochs {
		return
	}
	e, again := w.begun, c.listed != [epochs]bool{}
	w.begun++
	w.parent[e] = e
	c.up = true
	for n, r := range c.retained { // what was acknowledged is not known any more
		if r != 0 {
			c.disk[n], c.retained[n] = r, 0
		}
	}
	s.connect(&w, i)
	if again && !s.c.keeps(FreshEpoch) {
		c.next = c.ended[c.current]
		s.add(&w, "cell %d starts, and goes on in epoch %c at %s", i+1, 'A'+c.current, spell(of(c.current, c.next)))
		return
	}
	if again {
		w.parent[e] = c.current
	}
	c.current, c.listed[e], c.ended[e], c.next = e, true, 0, 0
	s.add(&w, "cell %d starts in epoch %c", i+1, 'A'+c.current)
}

// connect begins a session: what was sent in an earlier one may still be under way.
func (s *stepper) connect(w *world, i int) {
	w.sessions++
	w.cells[i].session, w.cells[i].synced = w.sessions, false
}

// askBirth lets a cell be born again, from which another one has taken the session.
func (s *stepper) askBirth(i int) {
	w := *s.from
	w.cells[i].synced = false
	s.add(&w, "the collector asks cell %d for its births", i+1)
}

func (s *stepper) take(i int) {
	w := *s.from
	c := &w.cells[i]
	if int(w.taken) == s.c.Readings || c.next == positions || s.shared() && !s.c.Limits {
		return
	}
	w.taken++
	r, n := w.taken, of(c.current, c.next)
	if s.c.Overflow && c.disk.held()+c.memory.held() >= room {
		s.refuse(w, i, r, n)
		s.dropOldest(w, i, r, n)
		return
	}
	c.memory[n] = r
	c.next++
	s.add(&w, "cell %d takes reading %d as %s", i+1, r, spell(n))
}

// shared reports whether a cell and its running copy are in one epoch.
func (s *stepper) shared() bool {
	a, b := &s.from.cells[0], &s.from.cells[1]
	return s.c.Beside && a.up && b.up && a.current == b.current
}

// refuse rejects the newest for want of room.
func (s *stepper) refuse(w world, i int, r uint8, n name) {
	c := &w.cells[i]
	w.excused[r], w.full[n] = true, r
	c.fresh.add(n)
	if s.c.keeps(TakePosition) {
		c.next++
	}
	s.add(&w, "cell %d is full, and refuses reading %d as %s", i+1, r, spell(n))
}

// dropOldest makes room on disk.
func (s *stepper) dropOldest(w world, i int, r uint8, n name) {
	c := &w.cells[i]
	for old := range name(names) {
		x := c.disk[old]
		if x == 0 {
			continue
		}
		c.disk[old] = 0
		c.losses.add(old)
		w.excused[x] = true
		c.memory[n] = r
		c.next++
		s.add(&w, "cell %d is full, drops reading %d (%s), and takes reading %d as %s", i+1, x, spell(old), r, spell(n))
		return
	}
}

// write is one transaction of the buffer: memory to disk.
func (s *stepper) write(i int) {
	c := &s.from.cells[i]
	if !c.memory.any() && c.fresh == 0 {
		return
	}
	w := *s.from
	d := &w.cells[i]
	for n, r := range c.memory {
		if r == 0 {
			continue
		}
		w.safe[r] = true
		if s.c.keeps(Sync) { // otherwise it is in the page cache, which is memory
			d.disk[n], d.memory[n] = r, 0
		}
	}
	d.losses |= c.fresh
	d.fresh = 0
	d.ended[d.current] = max(d.ended[d.current], d.next)
	s.add(&w, "cell %d writes %s", i+1, held(&c.memory))
	if s.from.failed > 0 {
		return
	}
	w = *s.from
	w.failed++
	if !s.c.keeps(CommitFirst) {
		w.cells[i].memory = records{}
	}
	s.add(&w, "cell %d fails to write %s", i+1, held(&c.memory))
}

// crash takes what is in memory.
func (s *stepper) crash(i int) {
	w := *s.from
	c := &w.cells[i]
	if w.resumed && !c.synced && !s.c.Limits {
		return // see Scenario.PutBack
	}
	before := c.memory
	lose(c)
	for _, r := range before {
		if r != 0 && !w.safe[r] && !w.holds(r) {
			w.excused[r] = true // the last moments before a crash are told, or never were
		}
	}
	s.add(&w, "cell %d crashes", i+1)
}

// lose takes what is not on a cell's disk.
func lose(c *cell) {
	c.up, c.synced, c.memory, c.sent, c.fresh = false, false, records{}, 0, 0
}

// send puts a record that is held, or a loss, on the way, whether it was before or not.
func (s *stepper) send(i int) {
	c := &s.from.cells[i]
	slot := -1
	for k, m := range s.from.wire {
		if !m.used && (k < credit || !s.c.keeps(Credit)) {
			slot = k
			break
		}
	}
	if slot < 0 {
		return
	}
	for n := range name(names) {
		r := max(c.disk[n], c.memory[n])
		if s.c.Restore {
			r = c.disk[n] // who retains writes before it sends
		}
		loss := r == 0 && c.losses.has(n)
		if r == 0 && !loss {
			continue
		}
		w := *s.from
		w.cells[i].sent.add(n)
		w.wire[slot] = message{used: true, loss: loss, moved: c.moved.has(n), name: n, reading: r, session: c.session}
		if loss {
			s.add(&w, "cell %d sends the loss of %s", i+1, spell(n))
		} else {
			s.add(&w, "cell %d sends %s, reading %d", i+1, spell(n), r)
		}
	}
}

// rotate moves what an earlier epoch left to the file in use.
func (s *stepper) rotate(i int) {
	if s.c.keeps(KeepNames) {
		return // the names are all that the protocol sees of a file
	}
	w := *s.from
	c := &w.cells[i]
	for n := range name(names) {
		if r := c.disk[n]; r != 0 && epochOf(n) != c.current && c.next < positions {
			c.disk[n], c.disk[of(c.current, c.next)] = 0, r
			c.next++
			c.ended[c.current] = c.next
			s.add(&w, "cell %d moves %s to another file, as %s", i+1, spell(n), spell(of(c.current, c.next-1)))
			return
		}
	}
}

func held(r *records) set {
	var s set
	for n, x := range r {
		if x != 0 {
			s.add(name(n))
		}
	}
	return s
}
