package bench

import (
	"math"
	"slices"
	"strconv"
	"strings"
)

// boundOf returns what came into the buckets of a histogram between two looks at the metrics
// of an agent, over all its series.
func boundOf(before, after map[string]float64, name string) Bound {
	buckets := map[float64]float64{} // upper bound in s -> how many are within it
	for series, n := range after {
		labels, ok := strings.CutPrefix(series, name+"_bucket{")
		if !ok {
			continue
		}
		_, le, ok := strings.Cut(labels, `le="`)
		le, _, _ = strings.Cut(le, `"`)
		if bound, err := strconv.ParseFloat(le, 64); ok && err == nil {
			buckets[bound] += n - before[series]
		}
	}
	var bounds []float64
	for b := range buckets {
		bounds = append(bounds, b)
	}
	slices.Sort(bounds)
	total := buckets[math.Inf(1)]
	at := func(share float64) float64 {
		for _, b := range bounds {
			if buckets[b] >= share*total && !math.IsInf(b, 1) {
				return b * 1000
			}
		}
		return 1e6
	}
	if total == 0 {
		return Bound{}
	}
	return Bound{N: int64(total), P50: at(0.50), P99: at(0.99), Max: at(1)}
}
