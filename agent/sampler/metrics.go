package sampler

import (
	"github.com/prometheus/client_golang/prometheus"

	"andon.internal/shared/telemetry"
)

// Metrics counts what samplers do, by source. One Metrics serves any number of them.
type Metrics struct {
	readings   *prometheus.CounterVec
	records    *prometheus.CounterVec
	flagged    *prometheus.CounterVec
	refused    *prometheus.CounterVec
	errors     *prometheus.CounterVec
	fullWaits  *prometheus.CounterVec
	clockSteps *prometheus.CounterVec
	units      *prometheus.GaugeVec
	late       *prometheus.HistogramVec
	store      *prometheus.HistogramVec
}

// NewMetrics makes the metrics and registers them, unless reg is nil.
func NewMetrics(reg prometheus.Registerer) *Metrics {
	counter := func(name, help string, labels ...string) *prometheus.CounterVec {
		return prometheus.NewCounterVec(prometheus.CounterOpts{Name: "andon_sampler_" + name, Help: help}, append([]string{"source"}, labels...))
	}
	m := &Metrics{
		readings:   counter("readings_total", "Readings in records appended to the buffer."),
		records:    counter("records_total", "Records appended to the buffer."),
		flagged:    counter("flagged_readings_total", "Readings with a quality flag: missing or out_of_range.", "flag"),
		refused:    counter("refused_events_total", "Events that broke the rules of a source and were passed over."),
		errors:     counter("errors_total", "Failed attempts, by what was tried: open, read, store.", "attempt"),
		fullWaits:  counter("full_waits_total", "Waits of a rereadable source for room in the buffer."),
		clockSteps: counter("clock_steps_total", "Times the wall clock was found to have been set."),
		units: prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Name: "andon_sampler_units", Help: "Units on test.",
		}, []string{"source"}),
		late: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: "andon_sampler_late_seconds", Help: "How long after it was due a reading was taken.",
			Buckets: []float64{.0001, .0005, .001, .0025, .005, .01, .025, .05, .1, .5, 1, 10},
		}, []string{"source"}),
		store: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: "andon_sampler_store_seconds", Help: "How long it took to take what a source gave into the buffer: its next readings wait for that.",
			Buckets: []float64{.0001, .0005, .001, .0025, .005, .01, .025, .05, .1, .5, 1, 10},
		}, []string{"source"}),
	}
	if reg != nil {
		reg.MustRegister(m.readings, m.records, m.flagged, m.refused, m.errors, m.fullWaits, m.clockSteps, m.units, m.late, m.store)
	}
	return m
}

// counters are the metrics of one source.
type counters struct {
	readings, records, missing, outOfRange, refused prometheus.Counter
	openErrors, readErrors, storeErrors             prometheus.Counter
	fullWaits, clockSteps                           prometheus.Counter
	units                                           prometheus.Gauge
	late, store                                     prometheus.Observer
}

func (m *Metrics) of(name string) counters {
	return counters{
		readings:    m.readings.WithLabelValues(name),
		records:     m.records.WithLabelValues(name),
		missing:     m.flagged.WithLabelValues(name, "missing"),
		outOfRange:  m.flagged.WithLabelValues(name, "out_of_range"),
		refused:     m.refused.WithLabelValues(name),
		openErrors:  m.errors.WithLabelValues(name, "open"),
		readErrors:  m.errors.WithLabelValues(name, "read"),
		storeErrors: m.errors.WithLabelValues(name, "store"),
		fullWaits:   m.fullWaits.WithLabelValues(name),
		clockSteps:  m.clockSteps.WithLabelValues(name),
		units:       m.units.WithLabelValues(name),
		late:        m.late.WithLabelValues(name),
		store:       m.store.WithLabelValues(name),
	}
}

// stored counts records that are in the buffer.
func (c *counters) stored(records []*telemetry.Record) {
	rows, missing, outOfRange := 0, 0, 0
	for _, r := range records {
		rows += r.Len()
		for _, q := range r.Qualities {
			if q&telemetry.QualityMissing != 0 {
				missing++
			}
			if q&telemetry.QualityOutOfRange != 0 {
				outOfRange++
			}
		}
	}
	c.records.Add(float64(len(records)))
	c.readings.Add(float64(rows))
	c.missing.Add(float64(missing))
	c.outOfRange.Add(float64(outOfRange))
}
