package flight

import "time"

// What the backlog has in flight while there are live records. What is under way waits in
// queues: in sockets, at the broker, for a processor, before the commit, and live records
// stand in the same ones. So acknowledgements say how much the backlog may have: less when
// those of live records take half as long again as at their best of late, more while they,
// and its own, do not. It starts small and about doubles with each turn until live ones first
// take longer.
const (
	// leastYield is what it has at any rate, in bytes: it comes home also where something else
	// makes live records wait, or commits take long and not all the same. It waits behind the
	// broker then, and not on the link, where a live record never finds more than one message
	// before it.
	leastYield = 512 << 10
	// perRecord is what a record costs on its way beside its bytes, in bytes: behind a backlog
	// of large ones the messages of one reading each that a cut cable leaves are many at once.
	perRecord = 16 << 10
	// patience is how much longer than at their best records may take, in parts of that and at
	// least in time, which the turns of 20 ms need, of commits and of acknowledgements. It is
	// doubled where a turn has few records to tell by.
	patience      = 0.5
	leastPatience = 25 * time.Millisecond
	// A turn is how long acknowledgements are looked at together: at least so long, and until it
	// has some live ones, but for few of which nobody waits for ever.
	turn     = 50 * time.Millisecond
	turnMost = 2 * time.Second
	some     = 8
	// gain is the most that a turn adds, and cut what one of few leaves at least, in parts.
	gain = 0.25
	cut  = 0.5
	// bestFor is how long the best turn is remembered, at least. At the begin of each such while
	// the backlog has little in flight, leanYield, until live records have been acknowledged that
	// were sent when it had, or for leanMost: they find the way as it is. Where they stand behind
	// the backlog the best would else be slower with each while.
	bestFor   = 10 * time.Second
	leanYield = 128 << 10
	leanMost  = 3 * time.Second
)

// yield is of one session.
type yield struct {
	allowed float64 // bytes, with what records cost
	steady  bool    // live records have had to wait: it does not double any more
	full    bool    // it was the allowance that bounded the backlog in this turn

	began  time.Time // this turn
	grew   time.Time // when more was last allowed
	lanes  [2]pulse
	turned time.Time // when the best were last forgotten
	used   bool      // some of the backlog came home since

	clean    time.Time // from then on live records find no more than leanYield; zero: it is not lean
	leanEnds time.Time // at the latest
}

// pulse is how long the acknowledgements of a lane take.
type pulse struct {
	took  time.Duration // those of this turn, together
	count int
	mean  time.Duration    // of the last turn that had some
	best  [2]time.Duration // the quickest turn of this while and of the one before; 0: none
}

func (p *pulse) add(took time.Duration) { p.took, p.count = p.took+took, p.count+1 }

// turn ends one and returns how many it had.
func (p *pulse) turn() int {
	n := p.count
	if n == 0 {
		return 0
	}
	p.mean = p.took / time.Duration(n)
	p.took, p.count = 0, 0
	if p.best[0] == 0 || p.mean < p.best[0] {
		p.best[0] = p.mean
	}
	return n
}

// forget ends a while.
func (p *pulse) forget() { p.best[1], p.best[0] = p.best[0], 0 }

// spare is how much longer the last turn could have taken, in parts of the patience: 1 at its
// best, below 0 when it took too long. may is what it could have taken. It had so many.
func (p *pulse) spare(count int) (part float64, may time.Duration) {
	best := p.best[0]
	if p.best[1] > 0 && p.best[1] < best {
		best = p.best[1]
	}
	more := max(time.Duration(float64(best)*patience), leastPatience)
	if count < some {
		more *= 2
	}
	return float64(best+more-p.mean) / float64(more), best + more
}

func (y *yield) begin() { *y = yield{allowed: leastYield} }

// note takes in that a record was acknowledged. What was sent before the turn, or of the
// backlog before it had more, tells of another state of the way.
func (y *yield) note(now, sent time.Time, lane Lane) {
	if lane == Backlog {
		y.used = true
		if !sent.Before(y.grew) {
			y.lanes[Backlog].add(now.Sub(sent))
		}
	} else if !sent.Before(y.began) && !sent.Before(y.clean) {
		y.lanes[Live].add(now.Sub(sent))
	}
}

// acked is said behind what was acknowledged together, or a part of it.
func (y *yield) acked(now time.Time) {
	live := &y.lanes[Live]
	lasted := now.Sub(y.began)
	lean := !y.clean.IsZero()
	switch {
	case lean && now.After(y.leanEnds):
	case live.count == 0 || lasted < turn:
		return
	case lean:
	case lasted < min(2*live.mean, time.Second): // it would know the quickest alone
		return
	case live.count < some && lasted < turnMost:
		return
	}
	n, old := live.turn(), y.lanes[Backlog].turn()
	switch {
	case lean:
		y.clean = time.Time{}
	case now.Sub(y.turned) > bestFor:
		y.forget(now)
	case n > 0 && (old > 0 || y.full):
		y.judge(now, n, old)
	}
	y.began, y.full = now, false
}

// forget begins a while.
func (y *yield) forget(now time.Time) {
	for i := range y.lanes {
		y.lanes[i].forget()
	}
	if !y.used {
		y.begin() // the next backlog finds out anew
	}
	y.turned, y.used = now, false
	y.clean, y.leanEnds = now.Add(min(y.lanes[Backlog].mean, leanMost/2)), now.Add(leanMost)
}

// judge changes what is allowed by the turn that ends, which had so many live records and so
// many of the backlog.
func (y *yield) judge(now time.Time, live, old int) {
	spare, may := y.lanes[Live].spare(live)
	if spare < 0 {
		part := float64(may) / float64(y.lanes[Live].mean)
		if live < some {
			part = max(part, cut)
		}
		y.steady, y.allowed = true, max(y.allowed*part, leastYield)
		return
	}
	if !y.full || old == 0 {
		return // something else bounds the backlog, or what it has now is not home yet
	}
	if own, _ := y.lanes[Backlog].spare(old); own < 0 {
		return // it keeps the way busy: more would only stand there
	}
	if y.steady {
		spare *= gain
	}
	y.allowed *= 1 + spare
	y.grew = now
}

// room reports whether a further record may be sent beside so many in flight. What it refuses
// is noted: where nothing is, more would not be used.
func (y *yield) room(now time.Time, records int, bytes, size int64) bool {
	cost := float64(bytes+size) + float64(records+1)*perRecord
	if !y.clean.IsZero() && now.Before(y.leanEnds) {
		return cost <= leanYield
	}
	if cost <= y.allowed {
		return true
	}
	y.full = true
	return false
}
