package bench

import (
	"slices"
	"time"
)

// Spread is the distribution of durations, in milliseconds.
type Spread struct {
	N   int     `json:"n"`
	P50 float64 `json:"p50_ms"`
	P99 float64 `json:"p99_ms"`
	Max float64 `json:"max_ms"`
}

// spread sorts d.
func spread(d []time.Duration) Spread {
	if len(d) == 0 {
		return Spread{}
	}
	slices.Sort(d)
	at := func(share float64) float64 {
		// The smallest value that at least this share of all does not exceed.
		i := min(len(d)-1, max(0, int(share*float64(len(d))+0.999999)-1))
		return float64(d[i]) / float64(time.Millisecond)
	}
	return Spread{N: len(d), P50: at(0.50), P99: at(0.99), Max: at(1)}
}
