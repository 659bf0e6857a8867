package flight

import "time"

// What the backlog has in flight while there are live records. What is under way waits in
// queues: in sockets, at the broker, before the commit, and live records stand in the same
// ones. So the backlog is given as much as keeps the way busy and no more: as much as was
// acknowledged of it, at its best of late, in the time of the fastest acknowledgement of a
// live record and a little queue behind it. While that is not all that the way takes, the
// records in flight come home sooner than that, the rate rises with them, and so it grows.
const (
	// leastYield lets the backlog come home where commits take long and not all the same: the
	// fastest of them says little then. It waits behind the broker, and not on the link, where
	// a live record never finds more than one message before it.
	leastYield = 512 << 10
	// queue is how long the backlog may stand behind live records, which overtake it before
	// the commit: what a transaction or two of 20 ms need, and the turns of 20 ms in which
	// acknowledgements are said.
	queue = 50 * time.Millisecond
	// perRecord is what a record costs on its way beside its bytes, in bytes: the messages of
	// one reading each that a cut cable leaves behind are many and small.
	perRecord = 1 << 10
	// How long the fastest acknowledgement and the highest rate are remembered, at least.
	fastestFor = 10 * time.Second
	rateFor    = time.Second
	// leanFor is how long, beside what the backlog needs to come home, it has little in flight
	// at the begin of each such while: live records that are sent then find the way as it is.
	// Where they stand behind the backlog the fastest would else be slower with each while.
	leanFor = 200 * time.Millisecond
)

type yield struct {
	home    float64 // bytes of the backlog that were acknowledged, with what records cost
	fastest extreme // seconds from sending a live record to its acknowledgement
	rate    extreme // bytes of the backlog that were acknowledged in a second
	lean    bool    // little is to be in flight, so that the fastest shows
	until   time.Time
}

// extreme is the best of this while and of the one before.
type extreme struct {
	best   [2]float64 // 0: none is known
	turned time.Time  // when this while began
}

// note takes a value in; better says which of two is the better.
func (e *extreme) note(now time.Time, v float64, while time.Duration, better func(a, b float64) float64) {
	if now.Sub(e.turned) > while {
		e.best[1], e.best[0], e.turned = e.best[0], 0, now
	}
	if e.best[0] == 0 {
		e.best[0] = v
	}
	e.best[0] = better(e.best[0], v)
}

// of is the better of the two whiles; 0: none is known.
func (e *extreme) of(better func(a, b float64) float64) float64 {
	if e.best[0] > 0 && e.best[1] > 0 {
		return better(e.best[0], e.best[1])
	}
	return max(e.best[0], e.best[1])
}

func least(a, b float64) float64 { return min(a, b) }
func most(a, b float64) float64  { return max(a, b) }

// live notes how long the acknowledgement of a live record took.
func (y *yield) live(now time.Time, took time.Duration) {
	turned := y.fastest.turned
	y.fastest.note(now, took.Seconds(), fastestFor, least)
	if y.fastest.turned != turned {
		home := time.Duration(y.fastest.of(least)*float64(time.Second)) + queue
		y.lean, y.until = true, now.Add(home+leanFor)
	} else if now.After(y.until) {
		y.lean = false
	}
}

// came notes that a record of the backlog was acknowledged.
func (y *yield) came(bytes int64) { y.home += float64(bytes) + perRecord }

// old notes how long the acknowledgement of a record of the backlog took, and how much had
// been acknowledged of it when the record was sent.
func (y *yield) old(now time.Time, took time.Duration, home float64) {
	if took > 0 {
		y.rate.note(now, (y.home-home)/took.Seconds(), rateFor, most)
	}
}

// room reports whether a further record may be sent beside so many in flight.
func (y *yield) room(records int, bytes, size int64) bool {
	allowed := float64(leastYield)
	if rate, fastest := y.rate.of(most), y.fastest.of(least); rate > 0 && fastest > 0 && !y.lean {
		allowed = max(rate*(fastest+queue.Seconds()), leastYield)
	}
	return float64(bytes+size)+float64(records+1)*perRecord <= allowed
}
