package oidc

import "github.com/prometheus/client_golang/prometheus"

// metrics counts logins, and what went wrong between us and the provider.
type metrics struct {
	logins   *prometheus.CounterVec
	failures *prometheus.CounterVec
}

func newMetrics(reg prometheus.Registerer) metrics {
	m := metrics{
		logins: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "andon_oidc_logins_total", Help: "Logins by OpenID Connect that came to an end, by result.",
		}, []string{"result"}),
		failures: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "andon_oidc_provider_failures_total", Help: "Requests to the identity provider that failed.",
		}, []string{"failure"}),
	}
	for _, r := range []Result{OK, NoRole, Declined, Stale, BadToken, Away} {
		m.logins.WithLabelValues(string(r))
	}
	for _, f := range []string{failUnreachable, failStatus} {
		m.failures.WithLabelValues(f)
	}
	if reg != nil {
		reg.MustRegister(m.logins, m.failures)
	}
	return m
}
