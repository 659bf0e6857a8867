package session

import "time"

// Skew is how far a node's clock is from ours, as far as is known.
type Skew struct {
	By    time.Duration // ours minus the node's: above 0 where the node's is behind
	Known bool          // otherwise By is the most that it can be
}

// Beyond reports whether the clocks are known to be further apart than limit.
func (s Skew) Beyond(limit time.Duration) bool {
	return s.Known && (s.By > limit || s.By < -limit)
}

const (
	// skewSlots of skewSlot each are the window in which the least is looked for.
	skewSlots = 6
	skewSlot  = 10 * time.Second
	// skewSamples that came within no less than skewSpread are wanted before a clock counts
	// as behind: a single message may have been long on its way, and after a pause of
	// ours all that waited come at once. One that is ahead is so for certain, and one that is
	// behind by more than longestWay too: no session lives through such a delay.
	skewSamples = 3
	skewSpread  = 10 * time.Second
	longestWay  = 15 * time.Minute
	// anchorMoved is by how much a node's anchor must move to count as a clock that was set.
	anchorMoved = 500 * time.Millisecond
)

// skew estimates how far a node's clock is off, as the least of received minus sent over
// the last minute: what a message takes on its way only ever adds to it. A clock that was
// set is seen by its anchor, the difference between wall time and boot time: the estimate
// moves with it, so that what was certain before is certain at once.
type skew struct {
	slots    [skewSlots]skewLeast
	anchor   time.Duration
	anchored bool
}

type skewLeast struct {
	slot         int64 // number since 1970; 0: empty
	least        time.Duration
	known        bool          // least is
	sure         time.Duration // the least of the messages that said their anchor
	isSure       bool          // there was one
	count        int
	first, final time.Time // when the samples came
}

// take notes a message that was sent at so many ms since 1970 by the node's clock, and
// at boot ns by its CLOCK_BOOTTIME, which is 0 where it was not said. One that queued
// after it was made, as data do on a thin link, can only make the least smaller: it is no
// sample of a clock that is behind.
func (s *skew) take(received time.Time, sent uint64, boot int64, queued bool) {
	if sent > maxSent {
		sent = maxSent
	}
	at := time.UnixMilli(int64(sent))
	if boot > 0 {
		anchor := time.Duration(at.UnixNano() - boot)
		if moved := anchor - s.anchor; s.anchored && (moved > anchorMoved || moved < -anchorMoved) {
			s.set(moved)
		}
		s.anchor, s.anchored = anchor, true
	}
	number := received.UnixNano() / int64(skewSlot)
	slot := &s.slots[number%skewSlots]
	d := received.Sub(at)
	if slot.slot != number {
		*slot = skewLeast{slot: number}
	}
	if !slot.known || d < slot.least {
		slot.least, slot.known = d, true
	}
	if boot > 0 && (!slot.isSure || d < slot.sure) {
		slot.sure, slot.isSure = d, true
	}
	if queued {
		return
	}
	if slot.count == 0 {
		slot.first = received
	}
	slot.count++
	slot.final = received
}

// set notes that the node's clock was set ahead by that much, or back. Messages without an
// anchor may have been sent by it already: by one that was set back they only seem longer
// on their way, by one that was set ahead they may be what the least is of.
func (s *skew) set(ahead time.Duration) {
	for i := range s.slots {
		l := &s.slots[i]
		switch {
		case ahead < 0, l.isSure && l.least > l.sure-ahead:
			l.least -= ahead
		case !l.isSure:
			l.known = false
		}
		l.sure -= ahead
	}
}

// maxSent is a time in ms that is also one in ns: the year 2200 or so.
const maxSent = 7_258_118_400_000

// now is the estimate at a moment.
func (s *skew) now(at time.Time) Skew {
	by, ok := s.sure(at)
	if by > SkewLimit && by < longestWay && !s.spread(at) {
		return Skew{By: by}
	}
	return Skew{by, ok}
}

// least is what is known of the clock when nothing is asked of the samples; ok is false
// where there are none.
func (s *skew) least(at time.Time) (by time.Duration, ok bool) {
	return s.leastOf(at, func(l *skewLeast) (time.Duration, bool) { return l.least, l.known })
}

// transit is how much sooner than all that said their anchor another message may have come.
const transit = time.Minute

// near is the least, unless it is so far below that of the messages that said their anchor
// that another clock must have given it: the node's before it was set, or somebody else's.
func (s *skew) near(at time.Time) (by time.Duration, ok bool) {
	by, ok = s.least(at)
	if sure, known := s.sure(at); known && sure-by > transit {
		return sure, true
	}
	return by, ok
}

// sure is that of the messages that said their anchor, or of all where there is none.
func (s *skew) sure(at time.Time) (by time.Duration, ok bool) {
	if by, ok = s.leastOf(at, func(l *skewLeast) (time.Duration, bool) { return l.sure, l.isSure }); ok {
		return by, true
	}
	return s.least(at)
}

func (s *skew) leastOf(at time.Time, of func(*skewLeast) (time.Duration, bool)) (by time.Duration, ok bool) {
	for i := range s.slots {
		l := &s.slots[i]
		if d, known := of(l); known && l.within(at) && (!ok || d < by) {
			by, ok = d, true
		}
	}
	return by, ok
}

// spread reports whether there are enough samples, over long enough.
func (s *skew) spread(at time.Time) bool {
	var first, final time.Time
	samples := 0
	for i := range s.slots {
		l := &s.slots[i]
		if !l.within(at) || l.count == 0 {
			continue
		}
		samples += l.count
		if first.IsZero() || l.first.Before(first) {
			first = l.first
		}
		if l.final.After(final) {
			final = l.final
		}
	}
	return samples >= skewSamples && final.Sub(first) >= skewSpread
}

// within reports whether the slot is in the window that ends at a moment.
func (l *skewLeast) within(at time.Time) bool {
	return l.slot > at.UnixNano()/int64(skewSlot)-skewSlots
}
