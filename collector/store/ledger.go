package store

import (
	"cmp"
	"fmt"
	"slices"

	"andon.internal/shared/ranges"
)

// ledgerRow is an epoch's row of the ledger, locked by the transaction at hand. It
// is a lattice: committed beats quarantined beats lost. In a row of many ranges
// committed also holds what was quarantined, see fold.
type ledgerRow struct {
	key                          int32
	committed, lost, quarantined ranges.Set
	repeats                      int64
	folded                       bool // committed may hold quarantined positions

	hidden  ranges.Set // of these, the ones that concern the batch at hand
	changed bool
	union   *ranges.Set // of the three, once somebody asked
}

// maxRanges is how many ranges a row may have, in terms of [Config.MaxHoles], before
// nothing is taken that opens another. The factor leaves room for what is lost: when an
// epoch ends, each of its holes becomes a range of it, and what the node still holds
// must get in nevertheless.
func maxRanges(holes int) int { return 4 * holes }

// size is how many ranges the row has.
func (l *ledgerRow) size() int {
	return len(l.committed.Ranges()) + len(l.lost.Ranges()) + len(l.quarantined.Ranges())
}

// fold counts the quarantined positions as committed when the row has many ranges: both
// are settled, and where they alternate their union is small. Which they are remains in
// the table quarantine, where each has a row for the whole of it; see attempt.unhide.
func (l *ledgerRow) fold(holes int) {
	if l.quarantined.Empty() || l.size() < holes {
		return
	}
	l.committed.AddSet(l.quarantined)
	l.hidden.AddSet(l.quarantined)
	l.quarantined = ranges.Set{}
	l.folded, l.changed = true, true
}

// join returns the union of sets, in time that does not depend on how they interleave.
func join(sets ...ranges.Set) ranges.Set {
	var list []ranges.Range
	for _, s := range sets {
		list = append(list, s.Ranges()...)
	}
	slices.SortFunc(list, func(a, b ranges.Range) int { return cmp.Compare(a.From, b.From) })
	return ranges.Of(list...)
}

// has reports whether a position is committed, and nothing more can be done for it.
func (l *ledgerRow) has(p uint64) bool { return l.committed.Contains(p) && !l.hidden.Contains(p) }

// aside reports whether a position is quarantined: settled, until it comes in a form
// that can be stored.
func (l *ledgerRow) aside(p uint64) bool { return l.quarantined.Contains(p) || l.hidden.Contains(p) }

// crowded reports whether a row that is folded has too many ranges to settle position
// p, which is not settled: because it would open another hole, or another range beside
// what is lost.
func (l *ledgerRow) crowded(p uint64, holes int) bool {
	if l.size() < holes {
		return false
	}
	if l.union == nil {
		l.union = l.all()
	}
	if len(l.union.Ranges()) >= holes && !l.union.Contains(p) && beside(*l.union, p) == 0 {
		return true
	}
	more := 1 - beside(l.committed, p)
	if l.lost.Contains(p) {
		more += beside(l.lost, p) - 1
	}
	return more > 0 && l.size() >= maxRanges(holes)
}

// beside counts the neighbours of p that are in s.
func beside(s ranges.Set, p uint64) (n int) {
	if p > 0 && s.Contains(p-1) {
		n++
	}
	if s.Contains(p + 1) {
		n++
	}
	return n
}

// refuses reports whether the row has too many ranges to note these positions as lost.
func (l *ledgerRow) refuses(lost ranges.Set, holes int) bool {
	l.fold(holes)
	if l.size() < maxRanges(holes) {
		return false
	}
	after := l.lost.Clone()
	after.AddSet(l.news(lost))
	return len(after.Ranges()) > len(l.lost.Ranges())
}

// all returns the union of the three sets.
func (l *ledgerRow) all() *ranges.Set {
	u := join(l.committed, l.quarantined, l.lost)
	return &u
}

func (l *ledgerRow) note(from, to uint64) {
	l.changed = true
	if l.union != nil {
		l.union.Add(from, to)
	}
}

// commit notes a position as stored.
func (l *ledgerRow) commit(p uint64) {
	l.committed.Add(p, p+1)
	l.quarantined.Remove(p, p+1)
	l.hidden.Remove(p, p+1)
	l.lost.Remove(p, p+1)
	l.note(p, p+1)
}

// quarantine notes a position as set aside, unless it is committed.
func (l *ledgerRow) quarantine(p uint64) {
	if l.committed.Contains(p) {
		return
	}
	l.quarantined.Add(p, p+1)
	l.lost.Remove(p, p+1)
	l.note(p, p+1)
}

// demote turns a position that this transaction committed, and whose rows turned
// out to be unstorable, into a quarantined one.
func (l *ledgerRow) demote(p uint64) {
	l.committed.Remove(p, p+1)
	l.quarantine(p)
}

// news returns which of some lost positions are not settled.
func (l *ledgerRow) news(lost ranges.Set) ranges.Set {
	gone := lost.Clone()
	gone.RemoveSet(l.committed)
	gone.RemoveSet(l.quarantined)
	return gone
}

// lose notes positions as lost, where they are not settled, and returns how many
// were news.
func (l *ledgerRow) lose(s ranges.Set) uint64 {
	gone := l.news(s)
	n := l.lost.AddSet(gone)
	if n > 0 {
		l.changed = true
		if l.union != nil {
			l.union.AddSet(gone)
		}
	}
	return n
}

// stored returns what a node may delete.
func (l *ledgerRow) stored() ranges.Set { return join(l.committed, l.quarantined) }

// selectLedger locks ledger rows in the order of their keys, which is the one order
// everywhere. where chooses them by l.epoch_key and e's columns.
func selectLedger(where string, params [][]byte, put func(l *ledgerRow, epochID string) error) call {
	return call{
		sql: `SELECT l.epoch_key, l.committed, l.lost, l.quarantined, l.folded, e.epoch_id FROM ledger l
 JOIN epoch e USING (epoch_key) WHERE ` + where + ` ORDER BY l.epoch_key FOR UPDATE OF l`,
		params: params,
		row: func(v [][]byte) error {
			key, err := parseInt(v[0])
			if err != nil {
				return err
			}
			l := &ledgerRow{key: int32(key), folded: string(v[4]) == "t"}
			for i, set := range []*ranges.Set{&l.committed, &l.lost, &l.quarantined} {
				if *set, err = parseMultirange(v[1+i]); err != nil {
					return fmt.Errorf("ledger of epoch key %d: %w", key, err)
				}
			}
			return put(l, string(v[5]))
		},
	}
}

// updateLedger writes the rows that changed, in the order of their keys. It returns
// nil when none did.
func updateLedger(rows []*ledgerRow) []call {
	slices.SortFunc(rows, func(a, b *ledgerRow) int { return cmp.Compare(a.key, b.key) })
	var keys, committed, lost, quarantined, repeats, folded list
	for _, l := range rows {
		if !l.changed && l.repeats == 0 {
			continue
		}
		keys.int(int64(l.key))
		committed.set(l.committed)
		lost.set(l.lost)
		quarantined.set(l.quarantined)
		repeats.int(l.repeats)
		folded.bool(l.folded)
	}
	if keys.n == 0 {
		return nil
	}
	return []call{{
		sql: `UPDATE ledger l SET committed = d.c, lost = d.l, quarantined = d.q, repeats = l.repeats + d.r, folded = d.f
 FROM unnest($1::int[], $2::int8multirange[], $3::int8multirange[], $4::int8multirange[], $5::bigint[], $6::boolean[])
 d(k, c, l, q, r, f) WHERE l.epoch_key = d.k`,
		params: [][]byte{
			keys.param(), committed.param(), lost.param(), quarantined.param(), repeats.param(), folded.param(),
		},
	}}
}
