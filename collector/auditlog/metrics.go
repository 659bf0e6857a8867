package auditlog

import "github.com/prometheus/client_golang/prometheus"

// Metrics counts what a Writer does.
type Metrics struct {
	written, lost, summed, failures prometheus.Counter
	waiting                         prometheus.Gauge
}

// NewMetrics registers the metrics; with a nil registerer they count unseen.
func NewMetrics(reg prometheus.Registerer) *Metrics {
	counter := func(name, help string) prometheus.Counter {
		return prometheus.NewCounter(prometheus.CounterOpts{Name: "andon_audit_" + name, Help: help})
	}
	m := &Metrics{
		written:  counter("written_total", "Entries written to the audit log."),
		lost:     counter("lost_total", "Entries that were not written, because too many waited or the database refused them; the log says how many."),
		summed:   counter("summed_total", "Refused attempts that are only counted in the audit log, because there were many in a minute."),
		failures: counter("failures_total", "Writes to the audit log that failed and are made again."),
		waiting:  prometheus.NewGauge(prometheus.GaugeOpts{Name: "andon_audit_waiting", Help: "Entries that wait to be written."}),
	}
	if reg != nil {
		reg.MustRegister(m.written, m.lost, m.summed, m.failures, m.waiting)
	}
	return m
}
