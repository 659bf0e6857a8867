package identity

import (
	"github.com/prometheus/client_golang/prometheus"

	"andon.internal/shared/mtls"
)

// Metrics counts what a keeper does. Safe for concurrent use.
type Metrics struct{ renewals *prometheus.CounterVec }

// NewMetrics returns metrics registered with reg, or unregistered when reg is nil.
func NewMetrics(reg prometheus.Registerer, s *mtls.Store) *Metrics {
	m := &Metrics{renewals: prometheus.NewCounterVec(prometheus.CounterOpts{
		Namespace: "andon", Subsystem: "certificate", Name: "renewals_total",
		Help: "Attempts to renew the certificate, by result: ok or failed.",
	}, []string{"result"})}
	m.renewals.WithLabelValues("ok")
	m.renewals.WithLabelValues("failed")
	expires := prometheus.NewGaugeFunc(prometheus.GaugeOpts{
		Namespace: "andon", Subsystem: "certificate", Name: "expires_timestamp_seconds",
		Help: "When the certificate expires, in seconds since 1970.",
	}, func() float64 { return float64(s.Leaf().NotAfter.Unix()) })
	if reg != nil {
		reg.MustRegister(m.renewals, expires)
	}
	return m
}
