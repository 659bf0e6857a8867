package flight

import "time"

// What the backlog has in flight while there are live records. What is under way waits in
// queues: in sockets, at the broker, for a processor, before the commit, and live records
// stand in the same ones. So acknowledgements say how much the backlog may have: less when
// those of live records take half as long again as at their best of late, more while they,
// and its own, do not. It starts small and about doubles with each turn
// until live ones first take longer.
const (
	// leastYield is what it has at any rate, in bytes: it comes home, slowly, also where
	// something else makes live records wait.
	leastYield = 128 << 10
	// perRecord is what a record costs on its way beside its bytes, in bytes: behind a backlog
	// of large ones the messages of one reading each that a cut cable leaves are many at once.
	perRecord = 16 << 10
	// patience is how much longer than at their best records may take, in parts of that and at
	// least in time, which the turns of 20 ms need, of commits and of acknowledgements.
	patience      = 0.5
	leastPatience = 25 * time.Millisecond
	// turn is how long acknowledgements are looked at together, at least.
	turn = 50 * time.Millisecond
	// gain is the most that a turn adds, in parts.
	gain = 0.25
	// bestFor is how long the best turn is remembered, at least. leanFor is how long, beside
	// what the backlog needs to come home, it has little in flight at the begin of each such
	// while: records then find the way as it is. Where they stand behind the backlog the best
	// would else be slower with each while.
	bestFor = 10 * time.Second
	leanFor = 200 * time.Millisecond
)

type yield struct {
	allowed float64 // bytes, with what records cost
	steady  bool    // live records have had to wait: it does not double any more
	full    bool    // it was the allowance that bounded the backlog in this turn

	began  time.Time // this turn
	lanes  [2]pulse
	turned time.Time // when the best were last forgotten
	lean   time.Time // little is to be in flight until then
}

// pulse is how long the acknowledgements of a lane take.
type pulse struct {
	took  time.Duration // those of this turn, together
	count int
	mean  time.Duration    // of the last turn
	best  [2]time.Duration // the quickest turn of this while and of the one before; 0: none
}

// turn ends one.
func (p *pulse) turn() {
	if p.count == 0 {
		return
	}
	p.mean = p.took / time.Duration(p.count)
	p.took, p.count = 0, 0
	if p.best[0] == 0 || p.mean < p.best[0] {
		p.best[0] = p.mean
	}
}

// forget ends a while.
func (p *pulse) forget() { p.best[1], p.best[0] = p.best[0], 0 }

// spare is how much longer the last turn could have taken, in parts of the patience: 1 at its
// best, below 0 when it took too long. may is what it could have taken.
func (p *pulse) spare() (part float64, may time.Duration) {
	best := p.best[0]
	if best == 0 || p.best[1] > 0 && p.best[1] < best {
		best = p.best[1]
	}
	more := max(time.Duration(float64(best)*patience), leastPatience)
	return float64(best+more-p.mean) / float64(more), best + more
}

// note takes in that a record was acknowledged.
func (y *yield) note(now, sent time.Time, lane Lane) {
	if lane == Backlog || !sent.Before(y.began) { // else it tells of the turn before
		y.lanes[lane].took += now.Sub(sent)
		y.lanes[lane].count++
	}
}

// acked is said behind what was acknowledged together.
func (y *yield) acked(now time.Time) {
	// A turn that is not longer than the way would know the quickest alone.
	if live := &y.lanes[Live]; live.count == 0 || now.Sub(y.began) < max(turn, 2*live.mean) {
		return
	}
	forget := now.Sub(y.turned) > bestFor
	for i := range y.lanes {
		if forget {
			y.lanes[i].forget()
		}
		y.lanes[i].turn()
	}
	if forget {
		y.turned, y.lean = now, now.Add(y.lanes[Backlog].mean+leanFor)
	}
	if !now.Before(y.lean) {
		y.judge()
	}
	y.began, y.full = now, false
}

// judge changes what is allowed by the turn that ends.
func (y *yield) judge() {
	live, may := y.lanes[Live].spare()
	old, _ := y.lanes[Backlog].spare()
	switch {
	case live < 0:
		y.steady = true
		y.allowed *= float64(may) / float64(y.lanes[Live].mean)
	case !y.full || old < 0:
		// Something else bounds the backlog, or it keeps the way busy: more would only stand there.
	case y.steady:
		y.allowed *= 1 + gain*live
	default:
		y.allowed *= 1 + live
	}
	y.allowed = max(y.allowed, leastYield)
}

// room reports whether a further record may be sent beside so many in flight.
func (y *yield) room(now time.Time, records int, bytes, size int64) bool {
	allowed := y.allowed
	if now.Before(y.lean) {
		allowed = 0
	}
	if float64(bytes+size)+float64(records+1)*perRecord <= max(allowed, leastYield) {
		return true
	}
	y.full = true
	return false
}
