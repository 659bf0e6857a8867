package model

import "hash/maphash"

// Result is what was found.
type Result struct {
	States int
	Fault  string   // in the first state, by the number of steps, that is wrong; empty: none is
	Steps  []string // that lead to it
}

// Explore goes through every state of a scenario, those with fewer steps first, until one
// is wrong.
func Explore(c Scenario) Result {
	begin := c.beginning()
	x := explorer{seeds: [2]maphash.Seed{maphash.MakeSeed(), maphash.MakeSeed()}, seen: map[[2]uint64]bool{}}
	x.note(&begin, -1, "")
	queue := []world{begin}
	for at := int32(0); len(queue) > 0; at++ {
		w := queue[0]
		queue = queue[1:]
		for _, next := range steps(&c, &w) {
			if !x.note(&next.after, at, next.text) {
				continue
			}
			if fault := next.after.fault(&c); fault != "" {
				return Result{States: len(x.way), Fault: fault, Steps: x.steps()}
			}
			queue = append(queue, next.after)
		}
	}
	return Result{States: len(x.way)}
}

// beginning is the first state: a box that has never run, or that runs with a backlog.
func (c *Scenario) beginning() world {
	w := world{}
	first := &w.cells[0]
	first.exists = true
	if c.Backlog > 0 {
		s := stepper{c: c, from: &w}
		s.start(0)
		w = s.out[0].after
	}
	for ; int(w.taken) < c.Backlog; first.next++ {
		w.taken++
		first.disk[of(first.current, first.next)] = w.taken
		w.safe[w.taken] = true
	}
	first.ended[first.current] = first.next
	return w
}

// explorer knows the states that were met, by 128 bits of a hash, and the way to each.
type explorer struct {
	seeds [2]maphash.Seed
	seen  map[[2]uint64]bool
	way   []origin // in the order in which they were met, which is that of the queue
}

// origin is how a state was come to.
type origin struct {
	from int32
	text string
}

// note reports whether a state is new.
func (x *explorer) note(w *world, from int32, text string) bool {
	h := [2]uint64{maphash.Comparable(x.seeds[0], *w), maphash.Comparable(x.seeds[1], *w)}
	if x.seen[h] {
		return false
	}
	x.seen[h] = true
	x.way = append(x.way, origin{from, text})
	return true
}

// steps is the way to the newest state.
func (x *explorer) steps() []string {
	var out []string
	for at := x.way[len(x.way)-1]; at.from >= 0; at = x.way[at.from] {
		out = append([]string{at.text}, out...)
	}
	return out
}

func steps(c *Scenario, w *world) []step {
	s := &stepper{c: c, from: w}
	for i := range w.cells {
		s.cellSteps(i)
	}
	s.plantSteps()
	s.misfortunes()
	return s.out
}
