package buffer

import (
	"slices"
	"sync"

	"github.com/prometheus/client_golang/prometheus"
)

// Metrics counts what a buffer does. It is safe for concurrent use.
type Metrics struct {
	appended     prometheus.Counter // records
	appendedRows prometheus.Counter
	acked        prometheus.Counter // records
	ackedEarly   prometheus.Counter // of these, before they were written
	refused      prometheus.Counter // appends
	stored       prometheus.Counter // bytes of records
	written      prometheus.Counter // bytes of pages
	commits      *prometheus.HistogramVec
	lost         *prometheus.CounterVec // records
	lostRows     *prometheus.CounterVec
	failures     prometheus.Counter // of writes
	setAside     prometheus.Counter // files
	shed         prometheus.Counter // records
	noSpace      prometheus.Counter // writes
	unlogged     prometheus.Counter // lines

	mu   sync.Mutex
	open []*Buffer // that use these metrics; the last one is spoken of
}

// NewMetrics returns metrics registered with reg, or unregistered when reg is nil.
// One buffer uses them at a time.
func NewMetrics(reg prometheus.Registerer) *Metrics {
	m := &Metrics{}
	counter := func(name, help string) prometheus.Counter {
		c := prometheus.NewCounter(prometheus.CounterOpts{Name: "andon_buffer_" + name, Help: help})
		register(reg, c)
		return c
	}
	byReason := func(name, help string) *prometheus.CounterVec {
		c := prometheus.NewCounterVec(prometheus.CounterOpts{Name: "andon_buffer_" + name, Help: help}, []string{"reason"})
		register(reg, c)
		return c
	}
	m.appended = counter("appended_records_total", "Records that were given a position and kept.")
	m.appendedRows = counter("appended_rows_total", "Readings in the records that were kept.")
	m.acked = counter("acknowledged_records_total", "Records that were acknowledged.")
	m.ackedEarly = counter("acknowledged_unwritten_records_total", "Records that were acknowledged before they were written to disk.")
	m.refused = counter("refused_appends_total", "Appends with a cursor that found no room and wait.")
	m.stored = counter("stored_bytes_total", "Bytes of the records that were written to disk, as stored.")
	m.written = counter("written_bytes_total", "Bytes of the pages that were written to disk for them, about.")
	m.failures = counter("write_failures_total", "Transactions whose write or sync failed, and record files that could not be made.")
	m.setAside = counter("damaged_files_total", "Files that were set aside because they do not read back.")
	m.shed = counter("shed_records_total", "Records on disk that were let go of for newer ones, as the policy says.")
	m.noSpace = counter("no_space_total", "Writes that found no space on the disk before its limit was reached.")
	m.unlogged = counter("unlogged_lines_total", "Log lines that were dropped because the log did not take those before them.")
	m.lost = byReason("lost_records_total", "Records that became a loss record.")
	m.lostRows = byReason("lost_rows_total", "Readings in the records that became a loss record, where known.")
	m.commits = prometheus.NewHistogramVec(prometheus.HistogramOpts{
		Name: "andon_buffer_commit_seconds", Help: "Time of one synced transaction.",
		Buckets: prometheus.ExponentialBuckets(0.001, 2, 14),
	}, nil)
	register(reg, m.commits)
	for _, g := range gauges {
		register(reg, prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: "andon_buffer_" + g.name, Help: g.help},
			func() float64 { return g.of(m.now()) }))
	}
	return m
}

var gauges = []struct {
	name, help string
	of         func(Stats) float64
}{
	{"records", "Records that are held.", func(s Stats) float64 { return float64(s.Records) }},
	{"rows", "Readings in the records that are held.", func(s Stats) float64 { return float64(s.Rows) }},
	{"record_bytes", "Bytes of the records that are held, as stored.", func(s Stats) float64 { return float64(s.Bytes) }},
	{"oldest_age_seconds", "Time since the oldest record that is held was appended.", func(s Stats) float64 { return s.OldestAge.Seconds() }},
	{"unwritten_records", "Records that are held in memory only.", func(s Stats) float64 { return float64(s.Unwritten) }},
	{"memory_bytes", "Bytes of records in memory.", func(s Stats) float64 { return float64(s.MemoryBytes) }},
	{"disk_bytes", "Size of the files on disk.", func(s Stats) float64 { return float64(s.DiskBytes) }},
	{"disk_limit_bytes", "Size that the files may have.", func(s Stats) float64 { return float64(s.DiskLimit) }},
	{"files", "Record files on disk.", func(s Stats) float64 { return float64(s.Files) }},
	{"sealed_files", "Record files that are not written any more: a write to them failed, a record in them is damaged, or they cannot be removed.", func(s Stats) float64 { return float64(s.Sealed) }},
	{"damaged_files_in_place", "Damaged record files that could not be salvaged or set aside: the next start tries again.", func(s Stats) float64 { return float64(s.InPlace) }},
	{"unreadable_records", "Records that are held and cannot be read now: their file does not open, or a newer version wrote them.", func(s Stats) float64 { return float64(s.UnreadableRecords) }},
	{"full", "1 while appends find no room.", func(s Stats) float64 { return truth(s.Full) }},
	{"detached", "1 while the folder cannot be used at all: records are in memory only.", func(s Stats) float64 { return truth(s.Detached != nil) }},
	{"no_space", "1 while the file system has no space left for what the files may still take.", func(s Stats) float64 { return truth(s.NoSpace) }},
}

func truth(is bool) float64 {
	if is {
		return 1
	}
	return 0
}

func register(reg prometheus.Registerer, c prometheus.Collector) {
	if reg != nil {
		reg.MustRegister(c)
	}
}

// attach makes the gauges speak of a buffer, until detach. There may be two for a while: one
// that a slow disk opened too late, and what was begun without it.
func (m *Metrics) attach(b *Buffer) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.open = append(m.open, b)
}

func (m *Metrics) detach(b *Buffer) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.open = slices.DeleteFunc(m.open, func(o *Buffer) bool { return o == b })
}

func (m *Metrics) now() Stats {
	m.mu.Lock()
	var b *Buffer
	if n := len(m.open); n > 0 {
		b = m.open[n-1]
	}
	m.mu.Unlock()
	if b == nil {
		return Stats{}
	}
	return b.Stats()
}
