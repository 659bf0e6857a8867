package replay

import "github.com/prometheus/client_golang/prometheus"

// Metrics counts what replays do, by file. One Metrics serves any number of them.
type Metrics struct {
	lines     *prometheus.CounterVec
	valid     *prometheus.GaugeVec
	malformed *prometheus.GaugeVec
}

// NewMetrics makes the metrics and registers them, unless reg is nil.
func NewMetrics(reg prometheus.Registerer) *Metrics {
	file := []string{"file"}
	m := &Metrics{
		lines: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "andon_replay_lines_total", Help: "Lines delivered as readings.",
		}, file),
		valid: prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Name: "andon_replay_valid_lines", Help: "Valid lines in the file, as last opened.",
		}, file),
		malformed: prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Name: "andon_replay_malformed_lines", Help: "Malformed lines in the file, as last opened; they are passed over.",
		}, file),
	}
	if reg != nil {
		reg.MustRegister(m.lines, m.valid, m.malformed)
	}
	return m
}
