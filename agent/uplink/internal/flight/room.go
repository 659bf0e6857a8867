package flight

import (
	"time"

	"andon.internal/shared/broken"
)

// LeastShare is the least of the window that a lane has while both have something to send.
const LeastShare = 0.05

// Room reports whether a record of the given size may be sent now, and notes what it refuses
// the backlog. contended says that both lanes have something to send: then the backlog gets
// at most its share of the window, in records and in bytes, and live leaves it one record,
// and [LeastShare] of the bytes or as many as the record that found no room beside live ones
// alone. One live record, and an eighth of the bytes, are always kept free for live as long as
// the window is wider than one.
func (t *Table) Room(now time.Time, lane Lane, size int64, contended bool) bool {
	n := t.byLane[Live] + t.byLane[Backlog]
	limit := t.win.records()
	bytes := t.win.bytes()
	if n == 0 || broken.Is(broken.NoCredit) {
		return lane == Backlog || !contended || t.owed == 0 || t.owed+size <= bytes // what leaves no room for others goes alone
	}
	if n >= limit || t.bytes[Live]+t.bytes[Backlog]+size > bytes {
		if lane == Backlog && t.byLane[Backlog] == 0 {
			t.owed = size
		}
		return false
	}
	if limit == 1 {
		return true
	}
	if lane == Backlog {
		share, most := limit-1, bytes-bytes/8
		if contended {
			share = max(int(float64(limit)*t.cfg.BacklogShare), 1)
			most = int64(float64(bytes) * t.cfg.BacklogShare)
		}
		held := t.byLane[Backlog]
		yields := contended && !t.yield.room(now, held, t.bytes[Backlog], size)
		return held < share && (held == 0 || t.bytes[Backlog]+size <= most && !yields)
	}
	if !contended || t.byLane[Live] == 0 {
		return true
	}
	least := max(int64(float64(bytes)*LeastShare), t.owed)
	return t.byLane[Live] < limit-1 && t.bytes[Live]+size <= bytes-least
}
