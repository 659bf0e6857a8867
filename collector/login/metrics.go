package login

import (
	"errors"

	"github.com/prometheus/client_golang/prometheus"
)

// Metrics counts logins.
type Metrics struct {
	logins            *prometheus.CounterVec
	sessions, unsaved prometheus.Gauge
}

// NewMetrics registers the metrics with reg; with nil they count unregistered.
func NewMetrics(reg prometheus.Registerer) *Metrics {
	m := &Metrics{
		logins: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "andon_logins_total", Help: "Attempts to log in at the command center.",
		}, []string{"outcome"}),
		sessions: prometheus.NewGauge(prometheus.GaugeOpts{Name: "andon_sessions", Help: "Sessions at the command center that are not over."}),
		unsaved:  prometheus.NewGauge(prometheus.GaugeOpts{Name: "andon_sessions_unsaved", Help: "Logins and logouts that are not in the database yet."}),
	}
	for _, o := range []string{"ok", "wrong", "limited", "unavailable"} {
		m.logins.WithLabelValues(o)
	}
	if reg != nil {
		reg.MustRegister(m.logins, m.sessions, m.unsaved)
	}
	return m
}

func (m *Metrics) count(err error) {
	outcome := "unavailable"
	var limited *LimitError
	switch {
	case err == nil:
		outcome = "ok"
	case errors.Is(err, ErrWrong):
		outcome = "wrong"
	case errors.As(err, &limited):
		outcome = "limited"
	}
	m.logins.WithLabelValues(outcome).Inc()
}
