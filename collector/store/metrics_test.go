package store_test

import (
	"testing"

	"github.com/prometheus/client_golang/prometheus"

	"andon.internal/collector/store"
)

func TestMetrics(t *testing.T) {
	reg := prometheus.NewRegistry()
	f := setUp(t, func(c *store.Config) { c.Metrics = store.NewMetrics(reg) })
	e := epoch(1)
	f.commit(entry(e, 1, 3), entry(e, 1, 3), poison(e, 2))
	f.commit(entry(e, 0, 2), poison(e, 4))
	f.commit(entry(e, 4, 1))
	f.commit(moved(entry(e, 0, 2), epoch(2), 0))
	if _, err := f.s.Commit(t.Context(), store.Lease{}, []store.Entry{entry(e, 5, 1)}); err == nil {
		t.Fatal("committed without a lease")
	}
	families, err := reg.Gather()
	if err != nil {
		t.Fatal(err)
	}
	got := map[string]float64{}
	for _, family := range families {
		for _, m := range family.GetMetric() {
			name := family.GetName()
			for _, l := range m.GetLabel() {
				name += " " + l.GetValue()
			}
			switch {
			case m.GetCounter() != nil:
				got[name] = m.GetCounter().GetValue()
			case m.GetHistogram() != nil:
				got[name] = float64(m.GetHistogram().GetSampleCount())
			}
		}
	}
	for name, want := range map[string]float64{
		"andon_store_rows_total": 6, "andon_store_late_rows_total": 2, "andon_store_repeats_total": 1,
		"andon_store_quarantined_total": 2, "andon_store_recovered_total": 1, "andon_store_moved_repeats_total": 2,
		"andon_store_partitions_made_total": 9, "andon_store_commit_seconds": 4,
		"andon_store_positions_total committed": 4, "andon_store_positions_total duplicate": 1,
		"andon_store_positions_total quarantined": 2, "andon_store_unknown_commits_total": 0,
	} {
		if got[name] != want {
			t.Errorf("%s is %v, want %v", name, got[name], want)
		}
	}
}
