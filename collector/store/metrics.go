package store

import "github.com/prometheus/client_golang/prometheus"

// Metrics counts what the store does. A Metrics belongs to one Store.
type Metrics struct {
	rows, late, repeats, rejected, recovered, moved, bisections, partitions, unknown prometheus.Counter

	positions *prometheus.CounterVec // by outcome
	failures  *prometheus.CounterVec // by class of error
	seconds   prometheus.Histogram   // of successful Commits
}

// NewMetrics makes the counters and registers them with reg, unless it is nil.
func NewMetrics(reg prometheus.Registerer) *Metrics {
	counter := func(name, help string) prometheus.Counter {
		return prometheus.NewCounter(prometheus.CounterOpts{Name: "andon_store_" + name, Help: help})
	}
	m := &Metrics{
		rows:       counter("rows_total", "Readings stored."),
		late:       counter("late_rows_total", "Readings stored that are older than one stored before them."),
		repeats:    counter("repeats_total", "Positions that came again."),
		rejected:   counter("quarantined_total", "Readings and messages set aside in quarantine."),
		recovered:  counter("recovered_total", "Positions that were quarantined and came in a form that could be stored."),
		moved:      counter("moved_repeats_total", "Readings that came under a second name, from a cell that was put back to an earlier state or from two boxes with one card, and were stored already."),
		bisections: counter("bisections_total", "Batches that were searched for a reading that PostgreSQL refuses."),
		partitions: counter("partitions_made_total", "Daily partitions made."),
		unknown:    counter("unknown_commits_total", "Transactions whose outcome was not learnt."),
		positions: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "andon_store_positions_total", Help: "Positions by what became of them.",
		}, []string{"outcome"}),
		failures: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "andon_store_failures_total", Help: "Calls to be repeated, by class of error.",
		}, []string{"class"}),
		seconds: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name: "andon_store_commit_seconds", Help: "Time of a batch's transaction.",
			Buckets: prometheus.ExponentialBuckets(0.001, 2, 14),
		}),
	}
	if reg != nil {
		reg.MustRegister(m.rows, m.late, m.repeats, m.rejected, m.recovered, m.moved, m.bisections, m.partitions, m.unknown,
			m.positions, m.failures, m.seconds)
	}
	return m
}

// failed counts err if it is to be repeated, and returns it.
func (m *Metrics) failed(err error) error {
	if r, ok := asRetry(err); ok {
		m.failures.WithLabelValues(r.Class).Inc()
		if r.Unknown {
			m.unknown.Inc()
		}
	}
	return err
}

// committed counts a batch.
func (m *Metrics) committed(r *Result, seconds float64) {
	m.seconds.Observe(seconds)
	m.rows.Add(float64(r.Rows))
	for _, o := range r.Outcomes {
		m.positions.WithLabelValues(o.String()).Inc()
	}
	for _, n := range r.Nodes {
		m.late.Add(float64(n.Late))
		m.repeats.Add(float64(n.Duplicates))
		m.rejected.Add(float64(n.Quarantined))
		m.recovered.Add(float64(n.Recovered))
		m.moved.Add(float64(n.Repeated))
	}
}
