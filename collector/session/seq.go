package session

import (
	"math"
	"time"
)

// sequence follows the seq numbers of one node's messages, 0 to 255 and round
// again, and knows which are missing. The zero sequence takes any first number.
type sequence struct {
	started bool
	next    uint8
	missing [4]uint64 // a bit for each number that was passed over
	since   time.Time // when the oldest of them was passed over
}

// restart begins at the number behind seq, as a birth does.
func (s *sequence) restart(seq uint8) {
	*s = sequence{started: true, next: seq + 1}
}

// take follows one message and returns how many are missing before it. A number
// that comes late fills its gap, and one above 255 is none.
func (s *sequence) take(number uint64, now time.Time) int {
	if number > math.MaxUint8 {
		return 0
	}
	seq := uint8(number)
	if !s.started {
		s.restart(seq)
		return 0
	}
	if s.missing[seq>>6]&(1<<(seq&63)) != 0 {
		s.missing[seq>>6] &^= 1 << (seq & 63)
		return 0
	}
	gap := int(seq - s.next)
	if gap > 0 && !s.gapped() {
		s.since = now
	}
	for q := s.next; q != seq; q++ {
		s.missing[q>>6] |= 1 << (q & 63)
	}
	s.next = seq + 1
	return gap
}

// gapped reports whether a number is still missing.
func (s *sequence) gapped() bool {
	return s.missing != [4]uint64{}
}

// overdue reports whether a number has been missing for longer than wait.
func (s *sequence) overdue(now time.Time, wait time.Duration) bool {
	return s.gapped() && now.Sub(s.since) >= wait
}

// forgive forgets what is missing.
func (s *sequence) forgive() { s.missing = [4]uint64{} }
