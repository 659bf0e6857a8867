package web

import "github.com/prometheus/client_golang/prometheus"

// Metrics counts what the pages do.
type Metrics struct {
	clients  prometheus.Gauge
	refused  prometheus.Counter
	frames   prometheus.Counter
	dropped  prometheus.Counter
	reports  *prometheus.CounterVec
	failures *prometheus.CounterVec
	acks     *prometheus.CounterVec

	turnedAway *prometheus.CounterVec
}

// NewMetrics registers the metrics with reg; with nil they count unregistered.
func NewMetrics(reg prometheus.Registerer) *Metrics {
	counter := func(name, help string) prometheus.Counter {
		return prometheus.NewCounter(prometheus.CounterOpts{Name: name, Help: help})
	}
	vector := func(name, help, label string, values ...string) *prometheus.CounterVec {
		v := prometheus.NewCounterVec(prometheus.CounterOpts{Name: name, Help: help}, []string{label})
		for _, value := range values {
			v.WithLabelValues(value)
		}
		return v
	}
	m := &Metrics{
		clients: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "andon_web_clients", Help: "Event streams that are open.",
		}),
		refused:  counter("andon_web_clients_refused_total", "Event streams refused because there were too many."),
		frames:   counter("andon_web_frames_total", "Events sent to event streams, heartbeats not included."),
		dropped:  counter("andon_web_clients_dropped_total", "Event streams ended because the client took nothing for long."),
		reports:  vector("andon_web_reports_total", "Faults that pages reported.", "taken", "logged", "dropped"),
		failures: vector("andon_web_failures_total", "Questions to the database that failed.", "question", "ping", "series", "runs", "alarms"),
		turnedAway: vector("andon_web_requests_refused_total", "Requests that were not served, by why: no login, no permission, a rate, a foreign form, a login in the clear, too many connections.",
			"reason", "login", "permission", "rate", "form", "plain", "connections"),
		acks: vector("andon_web_acknowledgements_total", "Acknowledgements by operators.", "outcome", "sent", "refused", "failed"),
	}
	if reg != nil {
		reg.MustRegister(m.clients, m.refused, m.frames, m.dropped, m.reports, m.failures, m.acks, m.turnedAway)
	}
	return m
}
