package intake

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"andon.internal/collector/session"
	"andon.internal/shared/sparkplug"
)

// The reasons to drop a message that the intake knows beside those of the session.
const (
	reasonTopic    = "bad_topic"
	reasonRetained = "retained"
	reasonQueue    = "queue_full"
)

// maxNodeMetrics bounds the nodes that have metrics of their own.
const maxNodeMetrics = 256

// Metrics counts what the intake does.
type Metrics struct {
	messages map[sparkplug.MessageType]prometheus.Counter
	dropped  map[string]prometheus.Counter
	outcomes [Quarantined + 1]prometheus.Counter

	bytes, rows, late, gaps, foreign         prometheus.Counter
	failures, refused, syncs, unnoted        prometheus.Counter
	acks, rebirths, unasked, unsent          prometheus.Counter
	commitSeconds, settleSeconds, batchCount prometheus.Histogram

	register func(prometheus.Collector)
}

// NewMetrics returns metrics registered with reg; with nil they count unseen. They
// serve one Intake.
func NewMetrics(reg prometheus.Registerer) *Metrics {
	m := &Metrics{register: func(c prometheus.Collector) {
		if reg != nil {
			reg.MustRegister(c)
		}
	}}
	counter := func(name, help string) prometheus.Counter {
		c := prometheus.NewCounter(prometheus.CounterOpts{Name: "andon_intake_" + name, Help: help})
		m.register(c)
		return c
	}
	m.bytes = counter("received_bytes_total", "Bytes of messages received.")
	m.rows = counter("rows_total", "Readings committed.")
	m.late = counter("late_rows_total", "Readings committed that are older than what their unit had.")
	m.gaps = counter("sequence_gaps_total", "Messages missing in the nodes' sequences.")
	m.foreign = counter("foreign_messages_total", "Messages of nodes that are not Andon's; they are ignored.")
	m.failures = counter("database_failures_total", "Attempts at the database that failed and are made again.")
	m.refused = counter("refused_entries_total", "Entries given up because their transaction can never succeed.")
	m.syncs = counter("syncs_total", "Births answered.")
	m.unnoted = counter("unnoted_units_total", "Births of units not noted because too many waited; their first records note them.")
	m.acks = counter("acks_total", "Acknowledgements sent.")
	m.rebirths = counter("rebirths_total", "Births asked for.")
	m.unasked = counter("rebirths_put_off_total", "Births not asked for because too many nodes waited to be asked.")
	m.unsent = counter("unsent_total", "Messages to nodes that could not be sent.")

	vector := func(name, help, label string) func(value string) prometheus.Counter {
		v := prometheus.NewCounterVec(prometheus.CounterOpts{Name: "andon_intake_" + name, Help: help}, []string{label})
		m.register(v)
		return func(value string) prometheus.Counter { return v.WithLabelValues(value) }
	}
	m.messages = map[sparkplug.MessageType]prometheus.Counter{}
	messages := vector("messages_total", "Messages received, by type.", "type")
	for t := sparkplug.NBirth; t <= sparkplug.HostState; t++ {
		m.messages[t] = messages(t.String())
	}
	m.dropped = map[string]prometheus.Counter{}
	dropped := vector("dropped_total", "Messages dropped without acknowledgement, by reason.", "reason")
	for _, r := range session.Reasons() {
		m.dropped[string(r)] = dropped(string(r))
	}
	for _, r := range []string{reasonTopic, reasonRetained, reasonQueue} {
		m.dropped[r] = dropped(r)
	}
	outcomes := vector("entries_total", "Records, losses and poisoned messages through the store, by outcome.", "outcome")
	for o := Deferred; o <= Quarantined; o++ {
		m.outcomes[o] = outcomes(o.String())
	}

	histogram := func(name, help string, buckets []float64) prometheus.Histogram {
		h := prometheus.NewHistogram(prometheus.HistogramOpts{Name: "andon_intake_" + name, Help: help, Buckets: buckets})
		m.register(h)
		return h
	}
	m.commitSeconds = histogram("commit_seconds", "From the first attempt at a batch to its commit.",
		prometheus.ExponentialBuckets(0.001, 2, 14))
	m.settleSeconds = histogram("settle_seconds", "From the receipt of an entry to its commit.",
		prometheus.ExponentialBuckets(0.001, 2, 14))
	m.batchCount = histogram("batch_entries", "Entries of a committed batch.", prometheus.ExponentialBuckets(1, 2, 13))
	return m
}

func (m *Metrics) drop(reason string) { m.dropped[reason].Inc() }

// watch adds what is read from the intake when it is asked for.
func (m *Metrics) watch(i *Intake) {
	gauge := func(name, help string, value func() float64) {
		m.register(prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: "andon_intake_" + name, Help: help}, value))
	}
	gauge("queue_bytes", "Bytes received and not yet settled, as they take memory.", func() float64 { return float64(i.budget.used.Load()) })
	gauge("queue_limit_bytes", "Bound of andon_intake_queue_bytes.", func() float64 { return float64(i.budget.limit) })
	gauge("database_up", "1 while the database takes the data of all nodes.", func() float64 { return truth(i.Database() == nil) })
	gauge("lease_held", "1 while this is the active intake.", func() float64 { return truth(i.Lease() == nil) })
	m.register(&nodeCollector{intake: i})
}

func truth(b bool) float64 {
	if b {
		return 1
	}
	return 0
}

// nodeCollector tells of each node what its heartbeat said.
type nodeCollector struct{ intake *Intake }

var (
	nodeLabels = []string{"group", "node"}
	nodeUp     = prometheus.NewDesc("andon_intake_node_up", "1 while the node is born and not dead.", nodeLabels, nil)
	nodeUnits  = prometheus.NewDesc("andon_intake_node_units", "Units born and not dead.", nodeLabels, nil)
	nodeHeard  = prometheus.NewDesc("andon_intake_node_heard_seconds", "Time since the node's last message.", nodeLabels, nil)
	nodeLag    = prometheus.NewDesc("andon_intake_node_lag_seconds", "Age of the oldest reading in the node's buffer, as of its last heartbeat.", nodeLabels, nil)
	nodeRows   = prometheus.NewDesc("andon_intake_node_buffered_rows", "Readings in the node's buffer, as of its last heartbeat.", nodeLabels, nil)
	nodeSent   = prometheus.NewDesc("andon_intake_node_messages_total", "Messages of the node.", append(nodeLabels, "kind"), nil)
	nodeCount  = prometheus.NewDesc("andon_intake_nodes", "Nodes remembered; those beyond 256 have no metrics of their own.", []string{"kind"}, nil)
)

func (c *nodeCollector) Describe(out chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{nodeUp, nodeUnits, nodeHeard, nodeLag, nodeRows, nodeSent, nodeCount} {
		out <- d
	}
}

func (c *nodeCollector) Collect(out chan<- prometheus.Metric) {
	now, ours, foreign := time.Now(), 0, 0
	for _, n := range c.intake.Nodes() {
		kind := "andon"
		if n.Foreign {
			kind = "foreign"
			foreign++
		} else {
			ours++
		}
		if ours+foreign > maxNodeMetrics {
			continue
		}
		out <- prometheus.MustNewConstMetric(nodeSent, prometheus.CounterValue, float64(n.Messages), n.ID.Group, n.ID.ID, kind)
		if n.Foreign {
			continue
		}
		gauge := func(d *prometheus.Desc, v float64) {
			out <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, v, n.ID.Group, n.ID.ID)
		}
		gauge(nodeUp, truth(n.Alive))
		gauge(nodeUnits, float64(n.Units))
		gauge(nodeHeard, now.Sub(n.Heard).Seconds())
		if !n.Beaten.IsZero() {
			gauge(nodeLag, float64(n.Heartbeat.OldestMS)/1000)
			gauge(nodeRows, float64(n.Heartbeat.Rows))
		}
	}
	out <- prometheus.MustNewConstMetric(nodeCount, prometheus.GaugeValue, float64(ours), "andon")
	out <- prometheus.MustNewConstMetric(nodeCount, prometheus.GaugeValue, float64(foreign), "foreign")
}
