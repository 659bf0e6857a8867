package simulated

import "github.com/prometheus/client_golang/prometheus"

// Metrics counts what the simulated stations did. It is safe for concurrent use.
type Metrics struct {
	taken   prometheus.Counter
	dropped prometheus.Counter
	missed  prometheus.Counter
}

// NewMetrics returns metrics registered with reg, or unregistered when reg is nil.
func NewMetrics(reg prometheus.Registerer) *Metrics {
	counter := func(name, help string) prometheus.Counter {
		return prometheus.NewCounter(prometheus.CounterOpts{
			Namespace: "andon", Subsystem: "simulated", Name: name, Help: help,
		})
	}
	m := &Metrics{
		taken:   counter("readings_total", "Readings taken from simulated machines."),
		dropped: counter("dropped_total", "Readings that never arrived, as configured."),
		missed:  counter("missed_total", "Readings that were not taken: the process stood still for more than a second, or the consumer was slow and the queue full."),
	}
	if reg != nil {
		reg.MustRegister(m.taken, m.dropped, m.missed)
	}
	return m
}
