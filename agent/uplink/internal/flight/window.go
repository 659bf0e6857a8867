package flight

import "time"

// window is how many records and bytes may be unacknowledged at once. It starts
// small and doubles with every round of acknowledgements; after the first loss it
// grows by one record a round; it never passes what the collector grants and is
// never below one record.
type window struct {
	first      int   // records at the start of a session
	firstBytes int64 // bytes until the collector grants some
	grant      int   // the collector's limit; 0 before it said one
	grantBytes int64
	limit      float64 // records
	threshold  float64 // above this it grows linearly; 0: no loss seen yet
	cutAt      time.Time
}

func (w *window) begin() {
	w.grant, w.grantBytes = 0, 0
	w.limit, w.threshold = float64(w.first), 0
}

func (w *window) setGrant(records int, bytes int64) {
	w.grant, w.grantBytes = max(records, 1), max(bytes, 1)
}

// records is the limit in force.
func (w *window) records() int {
	n := max(int(w.limit), 1)
	if w.grant > 0 {
		n = min(n, w.grant)
	}
	return n
}

// bytes is the limit in force.
func (w *window) bytes() int64 {
	if w.grant > 0 {
		return w.grantBytes
	}
	return w.firstBytes
}

// acked lets the window grow by one acknowledged record.
func (w *window) acked() {
	if w.threshold == 0 || w.limit < w.threshold {
		w.limit++
	} else {
		w.limit += 1 / w.limit
	}
	if w.grant > 0 {
		w.limit = min(w.limit, float64(w.grant))
	}
}

// lost halves the window, at most once in a round trip: what was lost together is
// one event.
func (w *window) lost(now time.Time, roundTrip time.Duration) {
	if !w.cutAt.IsZero() && now.Sub(w.cutAt) < roundTrip {
		return
	}
	w.cutAt = now
	w.limit = max(float64(w.records())/2, 1)
	w.threshold = w.limit
}
