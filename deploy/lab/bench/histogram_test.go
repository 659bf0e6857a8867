package bench_test

import (
	"testing"

	"andon.internal/lab/bench"
)

func TestBoundOf(t *testing.T) {
	series := func(source, le string) string { return `late_seconds_bucket{source="` + source + `",le="` + le + `"}` }
	before := map[string]float64{series("a", "0.001"): 50, series("a", "0.01"): 50, series("a", "+Inf"): 60, "late_seconds_count": 60}
	after := map[string]float64{
		series("a", "0.001"): 120, series("a", "0.01"): 149, series("a", "+Inf"): 159,
		series("b", "0.001"): 0, series("b", "0.01"): 1, series("b", "+Inf"): 1,
		"late_seconds_count": 160, "later_seconds_bucket": 7,
	}
	for name, c := range map[string]struct {
		before, after map[string]float64
		want          bench.Bound
	}{
		"two series":      {before, after, bench.Bound{N: 100, P50: 1, P99: 10, Max: 10}},
		"beyond the last": {nil, before, bench.Bound{N: 60, P50: 1, P99: 1e6, Max: 1e6}},
		"nothing came":    {after, after, bench.Bound{}},
	} {
		if got := bench.BoundOf(c.before, c.after, "late_seconds"); got != c.want {
			t.Errorf("%s: %+v, want %+v", name, got, c.want)
		}
	}
}

func TestPeriodKept(t *testing.T) {
	load := bench.Load{Units: 2, Hz: 10}
	good := bench.Jitter{Due: 1000, Taken: 1000, Late: bench.Bound{Max: 100}, Store: bench.Bound{Max: 50}}
	for name, c := range map[string]struct {
		change func(*bench.Jitter)
		want   bool
	}{
		"kept":           {func(*bench.Jitter) {}, true},
		"one was late":   {func(j *bench.Jitter) { j.Late.Max = 500 }, false},
		"it was held up": {func(j *bench.Jitter) { j.Store.Max = 1e6 }, false},
		"some missed":    {func(j *bench.Jitter) { j.Missed = 1 }, false},
		"not asked":      {func(j *bench.Jitter) { j.Taken = 980 }, false},
	} {
		j := good
		c.change(&j)
		if got := j.Met(load); got != c.want {
			t.Errorf("%s: %v", name, got)
		}
	}
}
