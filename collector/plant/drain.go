package plant

import "time"

// drain is how a cell's backlog has gone of late.
type drain struct {
	list []beat // oldest first
}

type beat struct {
	at   time.Time
	rows uint64
}

// What an estimate rests on.
const (
	drainSpan  = 30 * time.Second // the last of it
	drainLeast = 4 * time.Second  // at least so much
	drainGap   = 10 * time.Second // a longer silence begins anew
	// behind is the age of the oldest reading from which on a cell has a backlog.
	behind = 10 * time.Second
)

// add notes a heartbeat and returns how long it takes until the backlog is gone at the
// pace of the last half minute; 0 where there is none or nothing is known, and Never
// where it does not shrink.
func (d *drain) add(now time.Time, b Buffer) time.Duration {
	if n := len(d.list); n > 0 && now.Sub(d.list[n-1].at) > drainGap || b.Oldest <= behind {
		d.list = d.list[:0]
	}
	if b.Oldest <= behind {
		return 0
	}
	d.list = append(d.list, beat{now, b.Rows})
	for now.Sub(d.list[0].at) > drainSpan {
		d.list = d.list[1:]
	}
	first := d.list[0]
	took := now.Sub(first.at)
	switch {
	case took < drainLeast:
		return 0
	case b.Rows >= first.rows:
		return Never
	}
	left := float64(b.Rows) / float64(first.rows-b.Rows) * float64(took)
	return time.Duration(min(left, float64(Never-1)))
}

// Never is a [Cell.CatchUp] that does not end.
const Never = 100 * 365 * 24 * time.Hour
