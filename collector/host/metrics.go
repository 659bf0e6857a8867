package host

import "github.com/prometheus/client_golang/prometheus"

// Metrics counts what the connection does.
type Metrics struct {
	connected prometheus.Gauge
	connects  prometheus.Counter
	failures  prometheus.Counter
	sent      prometheus.Counter
}

// NewMetrics returns metrics registered with reg; with nil they count unseen.
func NewMetrics(reg prometheus.Registerer) *Metrics {
	m := &Metrics{
		connected: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "andon_host_connected", Help: "1 while there is a connection to the broker.",
		}),
		connects: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "andon_host_connects_total", Help: "Connections made to the broker.",
		}),
		failures: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "andon_host_failures_total", Help: "Connections to the broker that failed or were lost.",
		}),
		sent: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "andon_host_sent_total", Help: "Messages sent to nodes, STATE not counted.",
		}),
	}
	if reg != nil {
		reg.MustRegister(m.connected, m.connects, m.failures, m.sent)
	}
	return m
}
