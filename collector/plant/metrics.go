package plant

import "github.com/prometheus/client_golang/prometheus"

// Metrics counts what the limits cost.
type Metrics struct {
	refused *prometheus.CounterVec
}

// NewMetrics registers the metrics with reg; with nil they count unregistered.
func NewMetrics(reg prometheus.Registerer) *Metrics {
	m := &Metrics{refused: prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "andon_plant_refused_total",
		Help: "Things that the live picture had no room for: a cell, a unit, the trend of a unit, an alarm.",
	}, []string{"what"})}
	for _, what := range []string{"cell", "unit", "trend", "alarm"} {
		m.refused.WithLabelValues(what)
	}
	if reg != nil {
		reg.MustRegister(m.refused)
	}
	return m
}
