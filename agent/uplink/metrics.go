package uplink

import "github.com/prometheus/client_golang/prometheus"

// Metrics counts what an uplink does. Safe for concurrent use.
type Metrics struct {
	connected, hold, parked, inFlightRecords, inFlightBytes   prometheus.Gauge
	creditRecords, creditBytes, units                         prometheus.Gauge
	sessions, connectFailures, watchdog, births, rebirths     prometheus.Counter
	syncs, syncTimeouts, newEpochs, holds, requeued           prometheus.Counter
	retransmissions, acknowledged, refused, retained, invalid prometheus.Counter
	ignored, parkings                                         prometheus.Counter
	messages, records                                         *prometheus.CounterVec
	bytes                                                     prometheus.Counter
	roundTrip                                                 prometheus.Gauge
	publish                                                   prometheus.Histogram
}

// NewMetrics returns metrics registered with reg, or unregistered when reg is nil.
func NewMetrics(reg prometheus.Registerer) *Metrics {
	var all []prometheus.Collector
	opts := func(name, help string) prometheus.Opts {
		return prometheus.Opts{Namespace: "andon", Subsystem: "uplink", Name: name, Help: help}
	}
	counter := func(name, help string) prometheus.Counter {
		c := prometheus.NewCounter(prometheus.CounterOpts(opts(name, help)))
		all = append(all, c)
		return c
	}
	gauge := func(name, help string) prometheus.Gauge {
		g := prometheus.NewGauge(prometheus.GaugeOpts(opts(name, help)))
		all = append(all, g)
		return g
	}
	vec := func(name, help, label string) *prometheus.CounterVec {
		v := prometheus.NewCounterVec(prometheus.CounterOpts(opts(name, help)), []string{label})
		all = append(all, v)
		return v
	}
	histogram := func(name, help string) prometheus.Histogram {
		h := prometheus.NewHistogram(prometheus.HistogramOpts{
			Namespace: "andon", Subsystem: "uplink", Name: name, Help: help,
			Buckets: []float64{.0001, .00025, .0005, .001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 30, 60},
		})
		all = append(all, h)
		return h
	}
	m := &Metrics{
		connected:       gauge("connected", "1 while a session is up and born."),
		hold:            gauge("hold", "1 while the database is away."),
		parked:          gauge("parked_records", "Records kept out of the way because they keep failing."),
		inFlightRecords: gauge("in_flight_records", "Records sent and not acknowledged."),
		inFlightBytes:   gauge("in_flight_bytes", "Bytes sent and not acknowledged."),
		creditRecords:   gauge("credit_records", "Records that may be in flight."),
		creditBytes:     gauge("credit_bytes", "Bytes that may be in flight."),
		units:           gauge("born_units", "Units announced in this session."),
		sessions:        counter("sessions_total", "Sessions that came up."),
		connectFailures: counter("connect_failures_total", "Attempts to connect that failed."),
		watchdog:        counter("watchdog_total", "Sessions ended because the collector was silent."),
		births:          counter("births_total", "Node births sent."),
		rebirths:        counter("rebirth_requests_total", "Requests to be born again."),
		syncs:           counter("syncs_total", "Complete answers to a birth."),
		syncTimeouts:    counter("sync_timeouts_total", "Births repeated for lack of an answer."),
		newEpochs:       counter("new_epochs_total", "Epochs begun because the database knew positions that were never sent."),
		holds:           counter("holds_total", "Times the database was away."),
		requeued:        counter("requeued_records_total", "Retained records that the database lacked."),
		retransmissions: counter("retransmissions_total", "Records sent again."),
		acknowledged:    counter("acknowledged_records_total", "Records in flight that were acknowledged."),
		refused:         counter("refused_positions_total", "Acknowledged positions that were never sent."),
		retained:        counter("retained_commands_total", "Retained commands refused."),
		invalid:         counter("invalid_messages_total", "Received messages that were not understood."),
		ignored:         counter("ignored_messages_total", "Received messages for which there was no room."),
		parkings:        counter("parkings_total", "Times a record was parked."),
		messages:        vec("messages_total", "Messages sent, by type.", "type"),
		records:         vec("records_total", "Records sent, by lane.", "lane"),
		bytes:           counter("sent_bytes_total", "Bytes of payloads sent."),
		publish:         histogram("publish_seconds", "From append to publish, of live records."),
		roundTrip:       gauge("round_trip_seconds", "From publish to acknowledgement, of records sent once; smoothed."),
	}
	if reg != nil {
		reg.MustRegister(all...)
	}
	return m
}
