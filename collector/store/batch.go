package store

import (
	"fmt"
	"time"

	"andon.internal/shared/ranges"
	"andon.internal/shared/telemetry"
)

// item is an entry on its way through a Commit.
type item struct {
	entry   *Entry
	outcome Outcome // Invalid from the start; else set by plan

	epoch  epochID
	ledger *ledgerRow

	// Of a record that can be stored:
	table  *table
	layout *layout
	run    runID
	runKey run
	skip   []bool // rows that cannot be stored; nil: none
	known  []bool // rows that are stored already, under another name; nil: none

	reason    string // why the entry, or the skipped rows, go to quarantine
	rows      int    // rows to store
	repeated  int    // rows that are known
	late      int
	recovered bool // the position was quarantined before the batch
}

// place is a position of an epoch.
type place struct {
	ledger   *ledgerRow
	position uint64
}

func (it *item) place() place { return place{it.ledger, it.entry.Position} }

// batch is what a Commit works on. Its methods up to plan change nothing but it.
type batch struct {
	items   []item
	rows    map[epochID]*ledgerRow    // since bind
	aside   map[place]*item           // who of the batch is quarantined; nil: nobody
	days    map[*table]map[int64]bool // partitions that are needed and missing
	unknown bool                      // some record's profile is not installed as it came
	now     time.Time
	cfg     *Config
}

// examine decides, without looking at the ledger, what of each entry can be stored.
func examine(cfg *Config, c *cache, entries []Entry) *batch {
	b := &batch{items: make([]item, len(entries)), days: map[*table]map[int64]bool{}, now: cfg.Now(), cfg: cfg}
	for i := range entries {
		e := &entries[i]
		it := &b.items[i]
		it.entry = e
		it.epoch = epochID{e.Node, e.Epoch}
		switch {
		case e.Node.Check() != nil || e.Epoch.IsZero() || e.Position > ranges.MaxPosition:
			it.outcome = Invalid
		case e.Poison != nil:
			it.reason = e.Poison.Reason
		case e.Loss != nil:
			it.reason = checkLoss(e.Loss)
		case e.Record != nil:
			b.examineRecord(it, c)
		default:
			it.reason = "the entry is empty"
		}
	}
	return b
}

func checkLoss(l *telemetry.Loss) string {
	if l.Epoch.IsZero() || l.From >= l.To || l.To > ranges.MaxPosition+1 {
		return fmt.Sprintf("loss of positions [%d,%d) of epoch %s names no positions", l.From, l.To, l.Epoch)
	}
	return ""
}

// examineRecord finds the record's table and the rows that it can take.
func (b *batch) examineRecord(it *item, c *cache) {
	rec := it.entry.Record
	if err := rec.Check(); err != nil {
		it.reason = err.Error()
		return
	}
	t := c.tables[rec.Profile.Name]
	if t == nil {
		b.unknown = true
		it.reason = fmt.Sprintf("profile %s is not installed", clip(rec.Profile.Name, 64))
		return
	}
	l := t.layoutOf(rec.Profile)
	if l.refused != "" {
		b.unknown = true
		it.reason = l.refused
		return
	}
	b.examineTimes(it, t)
	if it.rows == 0 && rec.End == nil {
		return
	}
	it.table, it.layout = t, l
	it.run = runID{it.entry.Node.Group, rec.Unit, micros(rec.Born)}
}

// examineTimes counts the rows whose time can be stored and marks the others. Times
// rise within a record, so its ends stand for it when they are of one day.
func (b *batch) examineTimes(it *item, t *table) {
	times := it.entry.Record.Times
	it.rows = len(times)
	if n := len(times); n > 0 {
		first, last := micros(times[0]), micros(times[n-1])
		if dayOf(first) == dayOf(last) && b.refuseTime(t, first) == "" && b.refuseTime(t, last) == "" {
			return
		}
	}
	for i, ns := range times {
		if reason := b.refuseTime(t, micros(ns)); reason != "" {
			if it.skip == nil {
				it.skip = make([]bool, len(times))
			}
			it.skip[i], it.reason = true, reason
			it.rows--
		}
	}
}

// refuseTime says why a reading of that time (µs) cannot be stored, or notes the
// partition that it needs.
func (b *batch) refuseTime(t *table, us int64) string {
	if limit := b.now.Add(b.cfg.FutureLimit); us > limit.UnixMicro() {
		return fmt.Sprintf("its time is more than %v ahead of the collector's clock", b.cfg.FutureLimit)
	}
	day := dayOf(us)
	if r := b.cfg.Retention; r > 0 && us < b.now.Add(-r).UnixMicro() {
		return fmt.Sprintf("it is older than the retention of %v", r)
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.days[day] || b.days[t][day] {
		return ""
	}
	if len(t.days)+len(b.days[t]) >= b.cfg.MaxDays {
		return fmt.Sprintf("profile %s has readings of %d days already, which is the limit", t.profile.Name, b.cfg.MaxDays)
	}
	if b.days[t] == nil {
		b.days[t] = map[int64]bool{}
	}
	b.days[t][day] = true
	return ""
}

// left are the rows of the record that are not to be written; nil: all are.
func (it *item) left() []bool {
	switch {
	case it.known == nil:
		return it.skip
	case it.skip == nil:
		return it.known
	}
	out := make([]bool, len(it.skip))
	for row := range out {
		out[row] = it.skip[row] || it.known[row]
	}
	return out
}

// whole reports whether the entry is to be quarantined as a whole.
func (it *item) whole() bool { return it.reason != "" && it.table == nil }

// needs returns the keys that the batch wants and the cache lacks.
func (b *batch) needs(c *cache) *needs {
	n := newNeeds()
	c.mu.Lock()
	defer c.mu.Unlock()
	for i := range b.items {
		it := &b.items[i]
		if it.outcome == Invalid {
			continue
		}
		n.epoch(c, it.epoch)
		switch {
		case it.table != nil:
			n.run(c, it.run, it.epoch.node, it.table.key)
		case it.entry.Loss != nil && !it.whole():
			n.epoch(c, epochID{it.epoch.node, it.entry.Loss.Epoch})
		}
	}
	return n
}
