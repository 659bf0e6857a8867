package flight

import "time"

// The backlog's bytes in flight while there are live records. What is under way waits in
// queues: in sockets, at the broker, before the commit, and live records stand in the same
// ones. So the backlog is given as much as keeps the way busy and no more: it grows for as
// long as all of it is used, live records are acknowledged about as fast as they ever were,
// and its own do not stand in a queue for long; otherwise it shrinks.
const (
	firstYield = 256 << 10
	leastYield = 32 << 10
	mostYield  = 64 << 20
	// slack is how much longer than the fastest an acknowledgement may take: a transaction
	// of the past comes before, and acknowledgements are said in turns, both of 20 ms.
	slack = 40 * time.Millisecond
	// queued is how much longer than the fastest live one an acknowledgement of the backlog
	// may take: fresh records overtake it before the commit, which takes what a few
	// transactions need and nothing more. The rest only waits there.
	queued = 100 * time.Millisecond
	// fastestFor is how long the fastest acknowledgement is remembered, at least.
	fastestFor = 10 * time.Second
)

type yield struct {
	bytes   float64
	fastest [2]time.Duration // of this while and the one before; 0: none
	turned  time.Time        // when this while began
	cutAt   time.Time
}

func newYield() yield { return yield{bytes: firstYield} }

// live notes how long the acknowledgement of a live record took.
func (y *yield) live(now time.Time, took time.Duration) {
	if now.Sub(y.turned) > fastestFor {
		y.fastest[1], y.fastest[0], y.turned = y.fastest[0], 0, now
	}
	if y.fastest[0] == 0 || took < y.fastest[0] {
		y.fastest[0] = took
	}
	if best := y.best(); took > best+max(best/2, slack) {
		y.cut(now, took)
	}
}

// old notes how long the acknowledgement of a record of the backlog took.
func (y *yield) old(now time.Time, took time.Duration) {
	if best := y.best(); best > 0 && took > best+max(best, queued) {
		y.cut(now, took)
	}
}

// best is the fastest acknowledgement of a live record of late; 0: none is known.
func (y *yield) best() time.Duration {
	if y.fastest[0] > 0 && y.fastest[1] > 0 {
		return min(y.fastest[0], y.fastest[1])
	}
	return max(y.fastest[0], y.fastest[1])
}

// cut shrinks what is allowed, once for what was under way.
func (y *yield) cut(now time.Time, took time.Duration) {
	if now.Sub(y.cutAt) > took {
		y.cutAt = now
		y.bytes = max(y.bytes*3/4, leastYield)
	}
}

// backlog notes that so many bytes of the backlog were acknowledged, while so many were in
// flight: where these are about what is allowed, that doubles in about eight rounds.
func (y *yield) backlog(bytes, inFlight int64) {
	if float64(inFlight) >= y.bytes*3/4 {
		y.bytes = min(y.bytes+float64(bytes)/8, mostYield)
	}
}
