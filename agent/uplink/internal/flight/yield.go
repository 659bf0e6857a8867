package flight

import "time"

// The backlog's bytes in flight while there are live records. What is under way waits in
// queues: in sockets, at the broker, before the commit, and live records stand in the same
// ones. So the backlog is given as much as keeps the way busy and no more: it grows for as
// long as live records are acknowledged about as fast as they ever were, and shrinks when
// they are not.
const (
	firstYield = 256 << 10
	leastYield = 32 << 10
	mostYield  = 64 << 20
	// slack is how much longer than the fastest an acknowledgement may take: commits come
	// in turns.
	slack = 20 * time.Millisecond
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
	best := y.fastest[0]
	if y.fastest[1] > 0 {
		best = min(best, y.fastest[1])
	}
	if took > best+max(best/2, slack) && now.Sub(y.cutAt) > took { // once for what was under way
		y.cutAt = now
		y.bytes = max(y.bytes*3/4, leastYield)
	}
}

// backlog notes that so many bytes of the backlog were acknowledged: what is allowed
// doubles in about eight rounds.
func (y *yield) backlog(bytes int64) { y.bytes = min(y.bytes+float64(bytes)/8, mostYield) }
