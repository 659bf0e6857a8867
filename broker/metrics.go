package broker

import (
	"sync/atomic"

	mqtt "github.com/mochi-mqtt/server/v2"
	"github.com/prometheus/client_golang/prometheus"
)

// metrics counts what our listener and rules do.
type metrics struct {
	connections          prometheus.Gauge
	refused              *prometheus.CounterVec
	broken               *prometheus.CounterVec
	denied               *prometheus.CounterVec
	expelled             *prometheus.CounterVec
	refusedSubscriptions prometheus.Counter
	refusedMessages      prometheus.Counter
	acceptErrors         prometheus.Counter
	writeTimeouts        prometheus.Counter
	keepalives           prometheus.Counter
	downgraded           prometheus.Counter
	notRetained          prometheus.Counter
	takeOvers            prometheus.Counter
	paced                prometheus.Counter
	panics               prometheus.Counter
}

func newMetrics(reg prometheus.Registerer) *metrics {
	counter := func(name, help string) prometheus.Counter {
		c := prometheus.NewCounter(prometheus.CounterOpts{Name: "andon_broker_" + name, Help: help})
		reg.MustRegister(c)
		return c
	}
	m := &metrics{
		connections: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "andon_broker_connections", Help: "Open connections, also those that have not said who they are.",
		}),
		refused: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "andon_broker_refused_connections_total", Help: "Connections that came to no session, by reason.",
		}, []string{"reason"}),
		broken: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "andon_broker_broken_sessions_total", Help: "Sessions ended for what their client did, by reason.",
		}, []string{"reason"}),
		denied: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "andon_broker_denied_total", Help: "What clients wanted and may not, by action: connect, publish, retain, subscribe.",
		}, []string{"action"}),
		expelled: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "andon_broker_expelled_total", Help: "Connections ended because their certificate is no longer good, by reason: revoked, expired.",
		}, []string{"reason"}),
		refusedSubscriptions: counter("refused_subscriptions_total", "Topic filters that were malformed, shared or too many."),
		refusedMessages:      counter("refused_messages_total", "Messages to topics that are too long, too deep or reserved."),
		acceptErrors:         counter("accept_errors_total", "Connections that could not be accepted."),
		writeTimeouts:        counter("write_timeouts_total", "Connections closed because their client did not read."),
		keepalives:           counter("forced_keepalives_total", "Clients that asked for no keepalive or a longer one than allowed."),
		downgraded:           counter("downgraded_subscriptions_total", "Topic filters granted QoS 0 instead of more."),
		notRetained:          counter("not_retained_total", "Messages that passed through but were too large or too many to retain."),
		takeOvers:            counter("take_overs_total", "Sessions ended because another client came with their client id."),
		paced:                counter("paced_packets_total", "Packets whose reading was held up because their sender is beyond its rate."),
		panics:               counter("panics_total", "Packets that made the MQTT library panic."),
	}
	reg.MustRegister(m.connections, m.refused, m.broken, m.denied, m.expelled)
	return m
}

// publishInfo registers the library's own counts.
func publishInfo(reg prometheus.Registerer, s *mqtt.Server, d *depot, lobby, hall *room) {
	counter := func(name, help string, labels prometheus.Labels, read func() float64) {
		reg.MustRegister(prometheus.NewCounterFunc(prometheus.CounterOpts{
			Name: "andon_broker_" + name, Help: help, ConstLabels: labels,
		}, read))
	}
	gauge := func(name, help string, read func() float64) {
		reg.MustRegister(prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: "andon_broker_" + name, Help: help}, read))
	}
	info := func(n *int64) func() float64 {
		return func() float64 { return float64(atomic.LoadInt64(n)) }
	}
	counter("received_bytes_total", "Bytes of MQTT packets received.", nil, info(&s.Info.BytesReceived))
	counter("sent_bytes_total", "Bytes of MQTT packets sent.", nil, info(&s.Info.BytesSent))
	counter("received_messages_total", "Messages published to the broker.", nil, info(&s.Info.MessagesReceived))
	counter("sent_messages_total", "Messages written to readers.", nil, info(&s.Info.MessagesSent))
	const dropped, help = "dropped_messages_total", "Messages that a reader did not get, by the bound that it was beyond."
	counter(dropped, help, prometheus.Labels{"bound": "client_queue"}, info(&s.Info.MessagesDropped))
	counter(dropped, help, prometheus.Labels{"bound": "queue_bytes"}, func() float64 { return float64(d.refused.Load()) })
	counter(dropped, help, prometheus.Labels{"bound": "max_inflight"}, info(&s.Info.InflightDropped))
	gauge("pending_connections", "Connections that have no session yet.", lobby.load)
	gauge("receiving_bytes", "Bytes of large packets that are coming in, as they say.", hall.load)
	gauge("clients", "Clients with a session.", info(&s.Info.ClientsConnected))
	gauge("subscriptions", "Topic filters subscribed.", info(&s.Info.Subscriptions))
	gauge("retained_messages", "Retained messages, the broker's own included.", func() float64 { return float64(s.Topics.Retained.Len()) })
	gauge("inflight_messages", "QoS 1 and 2 messages that wait for an acknowledgement.", info(&s.Info.Inflight))
	gauge("queued_bytes", "Bytes that wait for slow readers.", func() float64 { return float64(d.waiting.Load()) })
}
