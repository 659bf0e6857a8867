package store

import (
	"cmp"
	"fmt"
	"slices"

	"andon.internal/shared/ranges"
)

// ledgerRow is an epoch's row of the ledger, locked by the transaction at hand. It
// is a lattice: committed beats quarantined beats lost.
type ledgerRow struct {
	key                          int32
	committed, lost, quarantined ranges.Set
	repeats                      int64

	changed bool
	union   *ranges.Set // of the three, once somebody asked
}

// settled reports whether a position needs nothing more.
func (l *ledgerRow) settled(p uint64) bool {
	return l.committed.Contains(p) || l.quarantined.Contains(p)
}

// crowded reports whether position p would open another range in a ledger that has
// most of them already.
func (l *ledgerRow) crowded(p uint64, most int) bool {
	if l.union == nil {
		if len(l.committed.Ranges())+len(l.lost.Ranges())+len(l.quarantined.Ranges()) < most {
			return false
		}
		l.union = l.all()
	}
	if len(l.union.Ranges()) < most || l.union.Contains(p) {
		return false
	}
	return !l.union.Contains(p+1) && (p == 0 || !l.union.Contains(p-1))
}

// all returns the union of the three sets.
func (l *ledgerRow) all() *ranges.Set {
	u := l.committed.Clone()
	u.AddSet(l.quarantined)
	u.AddSet(l.lost)
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

// lose notes positions as lost, where they are not settled, and returns how many
// were news.
func (l *ledgerRow) lose(s ranges.Set) uint64 {
	gone := s.Clone()
	gone.RemoveSet(l.committed)
	gone.RemoveSet(l.quarantined)
	n := l.lost.AddSet(gone)
	if n > 0 {
		l.changed, l.union = true, nil
	}
	return n
}

// stored returns what a node may delete.
func (l *ledgerRow) stored() ranges.Set {
	s := l.committed.Clone()
	s.AddSet(l.quarantined)
	return s
}

// selectLedger locks ledger rows in the order of their keys, which is the one order
// everywhere. where chooses them by l.epoch_key and e's columns.
func selectLedger(where string, params [][]byte, put func(l *ledgerRow, epochID string) error) call {
	return call{
		sql: `SELECT l.epoch_key, l.committed, l.lost, l.quarantined, e.epoch_id FROM ledger l
 JOIN epoch e USING (epoch_key) WHERE ` + where + ` ORDER BY l.epoch_key FOR UPDATE OF l`,
		params: params,
		row: func(v [][]byte) error {
			key, err := parseInt(v[0])
			if err != nil {
				return err
			}
			l := &ledgerRow{key: int32(key)}
			for i, set := range []*ranges.Set{&l.committed, &l.lost, &l.quarantined} {
				if *set, err = parseMultirange(v[1+i]); err != nil {
					return fmt.Errorf("ledger of epoch key %d: %w", key, err)
				}
			}
			return put(l, string(v[4]))
		},
	}
}

// updateLedger writes the rows that changed, in the order of their keys. It returns
// nil when none did.
func updateLedger(rows []*ledgerRow) []call {
	slices.SortFunc(rows, func(a, b *ledgerRow) int { return cmp.Compare(a.key, b.key) })
	var keys, committed, lost, quarantined, repeats list
	for _, l := range rows {
		if !l.changed && l.repeats == 0 {
			continue
		}
		keys.int(int64(l.key))
		committed.set(l.committed)
		lost.set(l.lost)
		quarantined.set(l.quarantined)
		repeats.int(l.repeats)
	}
	if keys.n == 0 {
		return nil
	}
	return []call{{
		sql: `UPDATE ledger l SET committed = d.c, lost = d.l, quarantined = d.q, repeats = l.repeats + d.r
 FROM unnest($1::int[], $2::int8multirange[], $3::int8multirange[], $4::int8multirange[], $5::bigint[]) d(k, c, l, q, r)
 WHERE l.epoch_key = d.k`,
		params: [][]byte{keys.param(), committed.param(), lost.param(), quarantined.param(), repeats.param()},
	}}
}
