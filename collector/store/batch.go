package store

import (
	"fmt"
	"math"
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

	reason string // why the entry, or the skipped rows, go to quarantine
	rows   int    // rows to store
	late   int
}

// batch is what a Commit works on. Its methods up to plan change nothing but it.
type batch struct {
	items   []item
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

// bind gives every item its ledger row and run, by the cache's keys, and returns
// the rows that the transaction must lock. ok is false when a key is missing.
func (b *batch) bind(c *cache) (rows map[epochID]*ledgerRow, runs map[runID]*runChange, ok bool) {
	rows, runs = map[epochID]*ledgerRow{}, map[runID]*runChange{}
	c.mu.Lock()
	defer c.mu.Unlock()
	row := func(id epochID) *ledgerRow {
		l := rows[id]
		if l == nil {
			key, found := c.epochs[id]
			ok = ok && found
			l = &ledgerRow{key: key}
			rows[id] = l
		}
		return l
	}
	ok = true
	for i := range b.items {
		it := &b.items[i]
		if it.outcome == Invalid {
			continue
		}
		it.outcome, it.ledger = 0, row(it.epoch)
		if l := it.entry.Loss; l != nil && !it.whole() {
			row(epochID{it.epoch.node, l.Epoch})
		}
		if it.table != nil {
			r, found := c.runs[it.run]
			ok = ok && found
			it.runKey = r
			if runs[it.run] == nil {
				runs[it.run] = &runChange{run: r, newest: math.MinInt64}
			}
		}
	}
	return rows, runs, ok
}

// plan decides what becomes of every entry, in the batch's order, now that the
// ledger rows are read and locked. It changes the rows in memory.
func (b *batch) plan(rows map[epochID]*ledgerRow) {
	for i := range b.items {
		it := &b.items[i]
		if it.outcome == Invalid {
			continue
		}
		p, l := it.entry.Position, it.ledger
		l.fold(b.cfg.MaxHoles)
		var of *ledgerRow // where a loss is noted
		var lost ranges.Set
		if loss := it.entry.Loss; loss != nil && !it.whole() {
			of = rows[epochID{it.epoch.node, loss.Epoch}]
			lost = ranges.Of(ranges.Range{From: loss.From, To: loss.To})
		}
		switch {
		case l.settled(p):
			it.outcome = Duplicate
			l.repeats++
		case l.crowded(p, b.cfg.MaxHoles), of != nil && of.refuses(lost, b.cfg.MaxHoles):
			it.outcome = Deferred
		case it.whole():
			it.outcome = Quarantined
			l.quarantine(p)
		default:
			it.outcome = Committed
			l.commit(p)
			if of != nil {
				of.lose(lost)
			}
		}
	}
}
