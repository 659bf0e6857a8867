package store

import (
	"math"

	"andon.internal/shared/broken"
	"andon.internal/shared/ranges"
)

// bind gives every item its ledger row and run, by the cache's keys, and notes
// the rows that the transaction must lock. ok is false when a key is missing.
func (b *batch) bind(c *cache) (runs map[runID]*runChange, ok bool) {
	b.rows, runs = map[epochID]*ledgerRow{}, map[runID]*runChange{}
	c.mu.Lock()
	defer c.mu.Unlock()
	row := func(id epochID) *ledgerRow {
		l := b.rows[id]
		if l == nil {
			key, found := c.epochs[id]
			ok = ok && found
			l = &ledgerRow{key: key}
			b.rows[id] = l
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
				runs[it.run] = &runChange{run: r, newest: math.MinInt64, moved: noSpan, newMoved: noSpan}
			}
		}
	}
	return runs, ok
}

// plan decides what becomes of every entry, in the batch's order, now that the
// ledger rows are read and locked. It changes the rows in memory.
func (b *batch) plan() {
	for i := range b.items {
		if it := &b.items[i]; it.outcome != Invalid {
			b.decide(it)
		}
	}
}

// decide decides what becomes of an entry, after those before it.
func (b *batch) decide(it *item) {
	p, l := it.entry.Position, it.ledger
	l.fold(b.cfg.MaxHoles)
	var of *ledgerRow // where a loss is noted
	var lost ranges.Set
	if loss := it.entry.Loss; loss != nil && !it.whole() {
		of = b.rows[epochID{it.epoch.node, loss.Epoch}]
		lost = ranges.Of(ranges.Range{From: loss.From, To: loss.To})
	}
	aside := l.aside(p)
	switch {
	case l.has(p) && !broken.Is(broken.NoLedger), aside && it.whole():
		it.outcome = Duplicate
		l.repeats++
	case !aside && l.crowded(p, b.cfg.MaxHoles), of != nil && of.refuses(lost, b.cfg.MaxHoles):
		it.outcome = Deferred
	case it.whole():
		l.quarantine(p)
		b.setAside(it)
	default:
		if aside {
			b.supersede(it)
		}
		it.outcome = Committed
		l.commit(p)
		if of != nil {
			of.lose(lost)
		}
	}
}

// setAside makes an entry the one that is quarantined for its position.
func (b *batch) setAside(it *item) {
	if b.aside == nil {
		b.aside = map[place]*item{}
	}
	it.outcome = Quarantined
	b.aside[it.place()] = it
}

// supersede lets an entry that can be stored take the place of what is quarantined for
// its position: by an entry of this batch, which then counts as the one that came too
// often, or before it.
func (b *batch) supersede(it *item) {
	it.ledger.repeats++
	it.recovered = true
	if before := b.aside[it.place()]; before != nil {
		it.recovered = before.recovered
		before.outcome = Duplicate
	}
}

// refuse quarantines an entry that this transaction committed and whose rows turned out
// to be unstorable. It returns an entry of the batch that is committed instead, because
// it came for the same position; nil: there is none.
func (b *batch) refuse(it *item, reason string) *item {
	it.reason, it.rows, it.skip = reason, 0, nil
	it.repeated, it.known = 0, nil
	it.ledger.demote(it.entry.Position)
	b.setAside(it)
	behind := false
	for i := range b.items {
		next := &b.items[i]
		switch {
		case next == it:
			behind = true
		case behind && next.outcome == Duplicate && next.place() == it.place() && !next.whole():
			next.ledger.repeats-- // decided anew
			if b.decide(next); next.outcome == Committed {
				return next
			}
		}
	}
	return nil
}
