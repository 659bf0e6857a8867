package uplink

import "github.com/prometheus/client_golang/prometheus"

// Metrics counts what an uplink does. Safe for concurrent use.
type Metrics struct {
	connected, hold, parked, inFlightRecords, inFlightBytes   prometheus.Gauge
	creditRecords, creditBytes, units                         prometheus.Gauge
	sessions, connectFailures, watchdog, births, rebirths     prometheus.Counter
	syncs, syncTimeouts, newEpochs, holds, requeued           prometheus.Counter
	retransmissions, acknowledged, refused, ignored, parkings prometheus.Counter
	messages, records, answers, refusals                      *prometheus.CounterVec
	bytes                                                     prometheus.Counter
	roundTrip                                                 prometheus.Gauge
	publish                                                   prometheus.Histogram
}

// What an acknowledgement came to, for each epoch that it names.
const (
	answerApplied  = "applied"  // of what is in flight, or part of the answer to a birth
	answerRepeated = "repeated" // nothing of it is waited for any more
	answerUnsent   = "unsent"   // positions that were never sent are among it; these do nothing
	answerUnknown  = "unknown"  // the buffer has no such epoch: done with, or never there
	answerUnasked  = "unasked"  // the answer to a birth of another session, or after the whole answer
)

const answersHelp = "Acknowledgements by epoch and what they came to: applied, repeated (of nothing that is waited for), " +
	"unsent (of positions never sent), unknown (of an epoch that is not held), unasked (an answer to no birth of ours)."

// Why a message is refused before it says anything.
const (
	refusedRetained  = "retained"  // a command out of the past
	refusedEarly     = "early"     // before our birth: meant for an earlier session
	refusedForeign   = "foreign"   // for another node, or a unit, which take none
	refusedMalformed = "malformed" // not understood
)

const refusalsHelp = "Received messages that were refused: retained, early (meant for an earlier session), " +
	"foreign (for another node or for a unit), malformed."

// NewMetrics returns metrics registered with reg, or unregistered when reg is nil.
func NewMetrics(reg prometheus.Registerer) *Metrics {
	var f family
	m := &Metrics{
		connected:       f.gauge("connected", "1 while a session is up and born."),
		hold:            f.gauge("hold", "1 while database or collector are away: live records are sent once, nothing is repeated."),
		parked:          f.gauge("parked_records", "Records kept out of the way because they keep failing."),
		inFlightRecords: f.gauge("in_flight_records", "Records sent and not acknowledged."),
		inFlightBytes:   f.gauge("in_flight_bytes", "Bytes sent and not acknowledged."),
		creditRecords:   f.gauge("credit_records", "Records that may be in flight."),
		creditBytes:     f.gauge("credit_bytes", "Bytes that may be in flight."),
		units:           f.gauge("born_units", "Units announced in this session."),
		sessions:        f.counter("sessions_total", "Sessions that came up."),
		connectFailures: f.counter("connect_failures_total", "Attempts to connect that failed."),
		watchdog:        f.counter("watchdog_total", "Sessions ended because the collector was silent."),
		births:          f.counter("births_total", "Node births sent."),
		rebirths:        f.counter("rebirth_requests_total", "Requests to be born again."),
		syncs:           f.counter("syncs_total", "Complete answers to a birth."),
		syncTimeouts:    f.counter("sync_timeouts_total", "Births repeated for lack of an answer."),
		newEpochs:       f.counter("new_epochs_total", "Epochs begun because the database knew positions that were never sent."),
		holds:           f.counter("holds_total", "Times the database or the collector was away; in each session anew."),
		requeued:        f.counter("requeued_records_total", "Retained records that the database lacked."),
		retransmissions: f.counter("retransmissions_total", "Records sent again."),
		acknowledged:    f.counter("acknowledged_records_total", "Records in flight that were acknowledged."),
		refused:         f.counter("refused_positions_total", "Acknowledged positions that were never sent."),
		ignored:         f.counter("ignored_messages_total", "Received messages for which there was no room."),
		parkings:        f.counter("parkings_total", "Times a record was parked."),
		messages:        f.vec("messages_total", "Messages sent, by type.", "type"),
		records:         f.vec("records_total", "Records sent, by lane.", "lane"),
		answers:         f.vec("acknowledgements_total", answersHelp, "result"),
		refusals:        f.vec("refused_messages_total", refusalsHelp, "reason"),
		bytes:           f.counter("sent_bytes_total", "Bytes of payloads sent."),
		publish:         f.histogram("publish_seconds", "From append to publish, of live records."),
		roundTrip:       f.gauge("round_trip_seconds", "From publish to acknowledgement, of records sent once; smoothed."),
	}
	for _, r := range []string{answerApplied, answerRepeated, answerUnsent, answerUnknown, answerUnasked} {
		m.answers.WithLabelValues(r)
	}
	for _, r := range []string{refusedRetained, refusedEarly, refusedForeign, refusedMalformed} {
		m.refusals.WithLabelValues(r)
	}
	if reg != nil {
		reg.MustRegister(f...)
	}
	return m
}

// family makes metrics and remembers them.
type family []prometheus.Collector

func opts(name, help string) prometheus.Opts {
	return prometheus.Opts{Namespace: "andon", Subsystem: "uplink", Name: name, Help: help}
}

func (f *family) counter(name, help string) prometheus.Counter {
	c := prometheus.NewCounter(prometheus.CounterOpts(opts(name, help)))
	*f = append(*f, c)
	return c
}

func (f *family) gauge(name, help string) prometheus.Gauge {
	g := prometheus.NewGauge(prometheus.GaugeOpts(opts(name, help)))
	*f = append(*f, g)
	return g
}

func (f *family) vec(name, help, label string) *prometheus.CounterVec {
	v := prometheus.NewCounterVec(prometheus.CounterOpts(opts(name, help)), []string{label})
	*f = append(*f, v)
	return v
}

func (f *family) histogram(name, help string) prometheus.Histogram {
	h := prometheus.NewHistogram(prometheus.HistogramOpts{
		Namespace: "andon", Subsystem: "uplink", Name: name, Help: help,
		Buckets: []float64{.0001, .00025, .0005, .001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 30, 60},
	})
	*f = append(*f, h)
	return h
}
