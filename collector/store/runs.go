package store

import (
	"cmp"
	"math"
	"slices"

	"andon.internal/shared/ranges"
	"andon.internal/shared/telemetry"
)

// runChange is what a batch adds to a run.
type runChange struct {
	run
	found    bool
	newest   int64 // µs of the newest reading before the batch; add lets it follow
	latest   int64 // µs: no reading of the run is newer, also of those just copied
	rows     int64
	late     int64
	expected int64
	end      *telemetry.End
	moved    span // of the readings stored before the batch that had come under a new name
	newMoved span // of those of the batch
}

// span is from the first to the last of some times in µs; empty when the last is before the
// first.
type span struct{ first, last int64 }

// noSpan is empty.
var noSpan = span{math.MaxInt64, math.MinInt64}

func (s *span) add(us int64) { s.first, s.last = min(s.first, us), max(s.last, us) }

func (s span) overlaps(o span) bool { return s.first <= o.last && o.first <= s.last }

func (s span) empty() bool { return s.last < s.first }

// maxCount bounds what a node may claim as a count, so that sums fit a bigint.
const maxCount = 1 << 60

func clampCount(n uint64) int64 { return int64(min(n, maxCount)) }

// selectRuns reads the runs' newest times and those of what was moved, and checks that their keys are what we
// remember.
func selectRuns(runs map[runID]*runChange) call {
	byKey := make(map[int64]*runChange, len(runs))
	var keys, units list
	for _, r := range runs {
		byKey[int64(r.key)] = r
		keys.int(int64(r.key))
		units.int(int64(r.unit))
	}
	return call{
		sql: `SELECT r.run_key, (extract(epoch FROM r.last_ts) * 1000000)::bigint,
 (extract(epoch FROM r.moved_first) * 1000000)::bigint, (extract(epoch FROM r.moved_last) * 1000000)::bigint FROM unit_run r
 JOIN unnest($1::int[], $2::int[]) d(k, u) ON (r.run_key, r.unit_key) = (d.k, d.u)`,
		params: [][]byte{keys.param(), units.param()},
		row: func(v [][]byte) error {
			key, err := parseInt(v[0])
			if err != nil {
				return err
			}
			r := byKey[key]
			r.found = true
			for i, to := range []*int64{&r.newest, &r.moved.first, &r.moved.last} {
				if v[1+i] != nil && err == nil {
					*to, err = parseInt(v[1+i])
				}
			}
			return err
		},
	}
}

// updateRuns adds the batch's readings to their runs.
func (b *batch) updateRuns(runs map[runID]*runChange) []call {
	for i := range b.items {
		it := &b.items[i]
		if it.table == nil || (it.outcome != Committed && it.outcome != Quarantined) {
			continue
		}
		runs[it.run].note(it.entry.Record)
		if it.outcome == Committed {
			runs[it.run].add(it)
		}
	}
	changed := make([]*runChange, 0, len(runs))
	for _, r := range runs {
		if r.expected > 0 || r.end != nil {
			changed = append(changed, r)
		}
	}
	if len(changed) == 0 {
		return nil
	}
	slices.SortFunc(changed, func(a, b *runChange) int { return cmp.Compare(a.key, b.key) })
	var keys, rows, expected, late, newest, died, reasons, movedFirst, movedLast list
	for _, r := range changed {
		keys.int(int64(r.key))
		rows.int(r.rows)
		expected.int(r.expected)
		late.int(r.late)
		if r.rows > 0 {
			newest.micros(r.newest)
		} else {
			newest.null()
		}
		if r.newMoved.empty() {
			movedFirst.null()
			movedLast.null()
		} else {
			movedFirst.micros(r.newMoved.first)
			movedLast.micros(r.newMoved.last)
		}
		if r.end != nil {
			died.micros(micros(r.end.Time))
			reasons.text(clip(r.end.Reason, telemetry.MaxTextLength))
		} else {
			died.null()
			reasons.null()
		}
	}
	return []call{{
		sql: `UPDATE unit_run r SET readings = r.readings + d.n, expected = greatest(r.expected, d.e), late = r.late + d.l,
 last_ts = greatest(r.last_ts, d.t), died = coalesce(d.died, r.died), reason = coalesce(d.reason, r.reason),
 moved_first = least(r.moved_first, d.mf), moved_last = greatest(r.moved_last, d.ml)
 FROM unnest($1::int[], $2::bigint[], $3::bigint[], $4::bigint[], $5::timestamptz[], $6::timestamptz[], $7::text[],
 $8::timestamptz[], $9::timestamptz[]) d(k, n, e, l, t, died, reason, mf, ml) WHERE r.run_key = d.k`,
		params: [][]byte{
			keys.param(), rows.param(), expected.param(), late.param(), newest.param(), died.param(), reasons.param(),
			movedFirst.param(), movedLast.param(),
		},
	}}
}

// note takes what a record says of its run. It holds also when its readings were
// refused: they were taken, and an end is an end.
func (r *runChange) note(rec *telemetry.Record) {
	r.expected = max(r.expected, clampCount(min(rec.Count, maxCount)+uint64(rec.Len())))
	if rec.End != nil {
		r.end = rec.End
	}
}

// add counts a stored record. A reading is late when one of its run that is newer
// was stored before.
func (r *runChange) add(it *item) {
	rec := it.entry.Record
	it.late = 0
	newest, left := r.newest, it.left()
	for i, ns := range rec.Times {
		if left != nil && left[i] {
			continue
		}
		us := micros(ns)
		if us < newest {
			it.late++
		}
		r.newest = max(r.newest, us)
		if it.entry.Moved {
			r.newMoved.add(us)
		}
	}
	r.rows += int64(it.rows)
	r.late += int64(it.late)
}

// insertLosses keeps the loss records of the batch, each only where it was not told in another
// epoch: of two lives both may tell it, see attempt.recall. Within an epoch only one that was
// moved is compared.
func (b *batch) insertLosses() []call {
	var keys, positions, reasons, units, readings, first, last, toldEpochs, toldPositions, moved list
	for i := range b.items {
		it := &b.items[i]
		l := it.entry.Loss
		if l == nil || it.outcome != Committed {
			continue
		}
		keys.int(int64(b.rows[epochID{it.epoch.node, l.Epoch}].key))
		positions.set(ranges.Of(ranges.Range{From: l.From, To: l.To}))
		reasons.text(clip(string(l.Reason), telemetry.MaxTextLength))
		units.text(unitList(l.Units))
		readings.int(clampCount(l.Readings))
		lossTime(&first, l.First)
		lossTime(&last, l.Last)
		toldEpochs.int(int64(it.ledger.key))
		toldPositions.int(int64(it.entry.Position))
		moved.bool(it.entry.Moved)
	}
	if keys.n == 0 {
		return nil
	}
	return []call{{
		sql: `INSERT INTO loss (epoch_key, positions, reason, units, readings, first_ts, last_ts, told_epoch_key, told_position)
 SELECT d.k, d.p, d.r, d.u::text[], d.n, d.f, d.l, d.te, d.tp FROM unnest($1::int[], $2::int8multirange[], $3::text[],
 $4::text[], $5::bigint[], $6::timestamptz[], $7::timestamptz[], $8::int[], $9::bigint[], $10::boolean[])
 d(k, p, r, u, n, f, l, te, tp, m) WHERE NOT EXISTS (SELECT FROM loss x
 WHERE x.epoch_key = d.k AND lower(x.positions) = lower(d.p) AND (d.m OR x.told_epoch_key <> d.te)
 AND (x.positions, x.reason, x.units, x.readings) = (d.p, d.r, d.u::text[], d.n)
 AND (x.first_ts, x.last_ts) IS NOT DISTINCT FROM (d.f, d.l))`,
		params: [][]byte{
			keys.param(), positions.param(), reasons.param(), units.param(), readings.param(),
			first.param(), last.param(), toldEpochs.param(), toldPositions.param(), moved.param(),
		},
	}}
}

// maxLossUnits bounds how many units of one loss are kept.
const maxLossUnits = 1000

// unitList is the text of an array within an array's element.
func unitList(units []string) string {
	var l list
	for _, u := range units[:min(len(units), maxLossUnits)] {
		l.text(clip(u, telemetry.MaxTextLength))
	}
	return string(l.param())
}

func lossTime(l *list, ns int64) {
	if ns == 0 {
		l.null()
	} else {
		l.micros(micros(ns))
	}
}
