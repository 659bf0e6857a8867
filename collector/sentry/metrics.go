package sentry

import (
	"github.com/prometheus/client_golang/prometheus"
)

// Metrics counts what a sentry does.
type Metrics struct {
	readings  prometheus.Counter
	skipped   prometheus.Counter
	raised    *prometheus.CounterVec
	open      prometheus.Gauge
	decided   prometheus.Histogram
	published prometheus.Counter
	pending   prometheus.Gauge
	journaled prometheus.Counter
	failures  prometheus.Counter
	lost      prometheus.Counter
	refused   prometheus.Counter
	unwatched prometheus.Counter

	warned bool
}

// NewMetrics registers the metrics; with a nil registerer they count unseen.
func NewMetrics(reg prometheus.Registerer) *Metrics {
	counter := func(name, help string) prometheus.Counter {
		return prometheus.NewCounter(prometheus.CounterOpts{Name: "andon_sentry_" + name, Help: help})
	}
	gauge := func(name, help string) prometheus.Gauge {
		return prometheus.NewGauge(prometheus.GaugeOpts{Name: "andon_sentry_" + name, Help: help})
	}
	m := &Metrics{
		readings: counter("readings_total", "Readings that rules were evaluated on."),
		skipped:  counter("skipped_records_total", "Records of runs that are not under way, or old before the first live one."),
		raised: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "andon_sentry_raised_total", Help: "Alarms raised, by rule.",
		}, []string{"rule"}),
		open: gauge("open_alarms", "Alarms that are active or not acknowledged."),
		decided: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name: "andon_sentry_decide_seconds", Help: "From the arrival of the deciding reading, or a deadline, to the alarm.",
			Buckets: prometheus.ExponentialBuckets(50e-6, 2, 14),
		}),
		published: counter("published_total", "States of alarms sent to the broker."),
		pending:   gauge("journal_pending", "Events of alarms that wait for the journal."),
		journaled: counter("journalled_total", "Events of alarms written to the journal."),
		failures:  counter("journal_failures_total", "Attempts at the journal that failed."),
		lost:      counter("lost_events_total", "Events of alarms that the journal was away for too long for."),
		refused:   counter("refused_acks_total", "Acknowledgements that were malformed, or of no open alarm."),
		unwatched: counter("unwatched_total", "Messages of nodes beyond the limit, which are not watched."),
	}
	if reg != nil {
		reg.MustRegister(m.readings, m.skipped, m.raised, m.open, m.decided, m.published, m.pending, m.journaled,
			m.failures, m.lost, m.refused, m.unwatched)
	}
	return m
}

// overflow reports whether this is the first event that was lost since the journal was
// written.
func (m *Metrics) overflow() bool {
	first := !m.warned
	m.warned = true
	return first
}
