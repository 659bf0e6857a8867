package store_test

import (
	"fmt"
	"slices"
	"testing"

	"andon.internal/collector/store"
	"andon.internal/shared/telemetry"
)

// moved is an entry under a new name.
func moved(e store.Entry, epoch telemetry.Epoch, position uint64) store.Entry {
	e.Epoch, e.Position, e.Moved = epoch, position, true
	return e
}

// of is some rows of an entry, as a record.
func of(e store.Entry, from, to int) store.Entry {
	return with(e, func(_ *store.Entry, r *telemetry.Record) {
		n := len(r.Profile.Signals)
		r.Times, r.Qualities, r.Values = r.Times[from:to], r.Qualities[from:to], r.Values[from*n:to*n]
		r.Count += uint64(from)
	})
}

// changed is an entry with a change to its rows, which it does not share.
func changed(e store.Entry, change func(r *telemetry.Record)) store.Entry {
	return with(e, func(_ *store.Entry, r *telemetry.Record) {
		r.Times, r.Qualities, r.Values = slices.Clone(r.Times), slices.Clone(r.Qualities), slices.Clone(r.Values)
		change(r)
	})
}

func onPress2(e store.Entry) store.Entry {
	return with(e, func(_ *store.Entry, r *telemetry.Record) { r.Unit = "press-2" })
}

// TestMoved: of a record that comes under a new name, what is stored under the old one is
// not stored again, and nothing else is left out. Rows are epoch/position/row/value; the
// numbers behind them are the readings that were there, and the late ones of the stored.
func TestMoved(t *testing.T) {
	a, b, c := epoch(1), epoch(2), epoch(3)
	three := entry(a, 7, 3)
	type batch []store.Entry
	tests := []struct {
		name           string
		batches        []batch
		rows           []string
		repeated, late int
	}{
		{
			"all are there",
			[]batch{{three}, {moved(three, b, 0)}},
			[]string{"1/7/0/7", "1/7/1/7.01", "1/7/2/7.02"},
			3, 0,
		},
		{
			"some are there",
			[]batch{{of(three, 1, 2)}, {moved(three, b, 0)}},
			[]string{"1/7/0/7.01", "2/0/0/7", "2/0/2/7.02"},
			1, 1,
		},
		{
			"none is there",
			[]batch{{entry(a, 8, 1)}, {moved(three, b, 0)}},
			[]string{"1/8/0/8", "2/0/0/7", "2/0/1/7.01", "2/0/2/7.02"},
			0, 3,
		},
		{
			"later than all that is there",
			[]batch{{entry(a, 1, 1)}, {moved(three, b, 0)}},
			[]string{"1/1/0/1", "2/0/0/7", "2/0/1/7.01", "2/0/2/7.02"},
			0, 0,
		},
		{
			"another value at one time",
			[]batch{{three}, {moved(changed(three, func(r *telemetry.Record) { r.Values[4] = telemetry.DoubleValue(9) }), b, 0)}},
			[]string{"1/7/0/7", "1/7/1/7.01", "1/7/2/7.02", "2/0/1/9"},
			2, 1,
		},
		{
			"a value that is missing in one of them",
			[]batch{{three}, {moved(changed(three, func(r *telemetry.Record) { r.Values[5] = telemetry.Value{} }), b, 0)}},
			[]string{"1/7/0/7", "1/7/1/7.01", "1/7/2/7.02", "2/0/1/7.01"},
			2, 1,
		},
		{
			"missing in both",
			[]batch{
				{changed(three, func(r *telemetry.Record) { r.Values[5] = telemetry.Value{} })},
				{moved(changed(three, func(r *telemetry.Record) { r.Values[5] = telemetry.Value{} }), b, 0)},
			},
			[]string{"1/7/0/7", "1/7/1/7.01", "1/7/2/7.02"},
			3, 0,
		},
		{
			"another quality",
			[]batch{{three}, {moved(changed(three, func(r *telemetry.Record) { r.Qualities[0] = 1 }), b, 0)}},
			[]string{"1/7/0/7", "1/7/1/7.01", "1/7/2/7.02", "2/0/0/7"},
			2, 1,
		},
		{
			"another unit",
			[]batch{{three, onPress2(entry(a, 8, 1))}, {moved(onPress2(three), b, 0)}},
			[]string{"1/7/0/7", "1/7/1/7.01", "1/7/2/7.02", "1/8/0/8", "2/0/0/7", "2/0/1/7.01", "2/0/2/7.02"},
			0, 3,
		},
		{
			"another run",
			[]batch{{three}, {moved(with(three, func(_ *store.Entry, r *telemetry.Record) { r.Born += 1000 }), b, 0)}},
			[]string{"1/7/0/7", "1/7/1/7.01", "1/7/2/7.02", "2/0/0/7", "2/0/1/7.01", "2/0/2/7.02"},
			0, 0,
		},
		{
			"moved twice, and both came",
			[]batch{{three}, {moved(three, b, 0), moved(three, c, 0)}},
			[]string{"1/7/0/7", "1/7/1/7.01", "1/7/2/7.02"},
			6, 0,
		},
		{
			"moved twice, and the first name did not come",
			[]batch{{moved(three, b, 0), moved(three, c, 0)}},
			[]string{"2/0/0/7", "2/0/1/7.01", "2/0/2/7.02"},
			3, 0,
		},
		{
			"in one batch with its old name, and before it",
			[]batch{{moved(three, b, 0), three}},
			[]string{"1/7/0/7", "1/7/1/7.01", "1/7/2/7.02"},
			3, 0,
		},
		{
			"behind its new name",
			[]batch{{moved(three, b, 0)}, {three}},
			[]string{"2/0/0/7", "2/0/1/7.01", "2/0/2/7.02"},
			3, 0,
		},
		{
			"behind its new name, and one has another value",
			[]batch{{moved(three, b, 0)}, {changed(three, func(r *telemetry.Record) { r.Values[4] = telemetry.DoubleValue(9) })}},
			[]string{"1/7/1/9", "2/0/0/7", "2/0/1/7.01", "2/0/2/7.02"},
			2, 1,
		},
		{
			"behind a part of it under its new name",
			[]batch{{moved(of(three, 1, 2), b, 0)}, {three}},
			[]string{"1/7/0/7", "1/7/2/7.02", "2/0/0/7.01"},
			1, 1,
		},
		{
			"behind two new names, each of a part",
			[]batch{{moved(of(three, 2, 3), b, 0)}, {moved(of(three, 0, 1), c, 0)}, {three}},
			[]string{"1/7/1/7.01", "2/0/0/7.02", "3/0/0/7"},
			2, 2,
		},
		{
			"behind its new name, under which nothing was new",
			[]batch{{three}, {moved(three, b, 0)}, {moved(three, c, 0)}, {three}},
			[]string{"1/7/0/7", "1/7/1/7.01", "1/7/2/7.02"},
			6, 0,
		},
		{
			"again under its new name",
			[]batch{{three}, {moved(three, b, 0)}, {moved(three, b, 0)}},
			[]string{"1/7/0/7", "1/7/1/7.01", "1/7/2/7.02"},
			3, 0,
		},
		{
			"two that agree, of one life",
			[]batch{{moved(three, b, 0)}, {moved(three, b, 1)}},
			[]string{"2/0/0/7", "2/0/1/7.01", "2/0/2/7.02", "2/1/0/7", "2/1/1/7.01", "2/1/2/7.02"},
			0, 2,
		},
		{
			"the end of its run",
			[]batch{{three}, {moved(with(three, func(_ *store.Entry, r *telemetry.Record) {
				r.End = &telemetry.End{Time: now.UnixNano()}
			}), b, 0), moved(with(of(three, 3, 3), func(_ *store.Entry, r *telemetry.Record) {
				r.End = &telemetry.End{Time: now.UnixNano()}
			}), b, 1)}},
			[]string{"1/7/0/7", "1/7/1/7.01", "1/7/2/7.02"},
			3, 0,
		},
		{
			"a row that cannot be stored",
			[]batch{{of(three, 1, 2)}, {moved(changed(three, func(r *telemetry.Record) { r.Times[2] += 1e18 }), b, 0)}},
			[]string{"1/7/0/7.01", "2/0/0/7"},
			1, 1,
		},
		{
			"not moved",
			[]batch{{three}, {moved(three, b, 0), with(three, func(e *store.Entry, _ *telemetry.Record) { e.Epoch = c })}},
			[]string{"1/7/0/7", "1/7/1/7.01", "1/7/2/7.02", "3/7/0/7", "3/7/1/7.01", "3/7/2/7.02"},
			3, 2,
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			f := setUp(t)
			repeated, rows, late, aside := 0, 0, 0, 0
			for _, entries := range tt.batches {
				r, err := f.s.Commit(t.Context(), f.lease, entries)
				if err != nil {
					t.Fatal(err)
				}
				repeated += r.Nodes[node].Repeated
				rows += r.Rows
				late += r.Nodes[node].Late
				aside += r.Nodes[node].Quarantined
			}
			got := lines(t, f.dsn, `SELECT concat_ws('/', right(epoch_id, 1), position, row_no, a) FROM readings_mixed ORDER BY 1`)
			if !slices.Equal(got, tt.rows) || repeated != tt.repeated || rows != len(tt.rows) {
				t.Errorf("stored %d: %q, repeated %d; want %q, %d", rows, got, repeated, tt.rows, tt.repeated)
			}
			counts := one(t, f.dsn, `SELECT sum(readings), sum(late), (SELECT count(*) FROM quarantine) FROM unit_run`)
			if want := fmt.Sprintf("%d|%d|%d", rows, late, aside); counts != want || late != tt.late {
				t.Errorf("readings, late, quarantined are %s, and were told as %s; want %d late", counts, want, tt.late)
			}
			for _, entries := range tt.batches {
				for _, x := range entries {
					if !f.has(x.Epoch, x.Position) {
						t.Errorf("position %d of %s is not committed", x.Position, x.Epoch)
					}
				}
			}
		})
	}
}

// has reports whether a position is committed.
func (f *fixture) has(e telemetry.Epoch, position uint64) bool {
	f.tb.Helper()
	return one(f.tb, f.dsn, `SELECT committed @> $2::bigint FROM ledger JOIN epoch USING (epoch_key) WHERE epoch_id = $1`,
		e.String(), position) == "t"
}

// TestMovedRefused: where PostgreSQL refuses a reading, the search for it compares as well,
// and a record that is quarantined is so whole.
func TestMovedRefused(t *testing.T) {
	f := setUp(t)
	a, b := epoch(1), epoch(2)
	f.commit(entry(a, 1, 2), of(entry(a, 2, 3), 0, 1), entry(a, 9, 1))
	exec(t, f.dsn, `ALTER TABLE reading_mixed ADD CHECK (a <> 2.02)`)
	bad := entry(a, 2, 3)
	got := f.commit(moved(entry(a, 1, 2), b, 0), moved(bad, b, 1), moved(entry(a, 3, 1), b, 2), entry(b, 3, 1))
	if got != "committed quarantined committed committed" {
		t.Errorf("outcomes are %s", got)
	}
	rows := lines(t, f.dsn, `SELECT concat_ws('/', right(epoch_id, 1), position, row_no) FROM readings_mixed ORDER BY 1`)
	if want := []string{"1/1/0", "1/1/1", "1/2/0", "1/9/0", "2/2/0", "2/3/0"}; !slices.Equal(rows, want) {
		t.Errorf("stored %q, want %q", rows, want)
	}
	if n := one(t, f.dsn, `SELECT sum(readings) FROM unit_run`); n != "6" {
		t.Errorf("the run counts %s readings, want 6", n)
	}
	// So it is behind the new name.
	got = f.commit(entry(a, 3, 1), with(entry(a, 2, 3), func(e *store.Entry, _ *telemetry.Record) { e.Position = 4 }))
	if n := one(t, f.dsn, `SELECT count(*) FROM reading_mixed`); got != "committed quarantined" || n != "6" {
		t.Errorf("outcomes are %s, %s readings are stored, want 6", got, n)
	}
}

// TestMovedLoss: a loss that both lives tell is kept once, and one that only says the same
// of the same positions is another.
func TestMovedLoss(t *testing.T) {
	f := setUp(t)
	a, b := epoch(1), epoch(2)
	told := loss(a, 5, a, 0, 2)
	more := loss(a, 5, a, 0, 2)
	more.Loss.Readings++
	f.commit(told)
	if got := f.commit(moved(told, b, 0), moved(more, b, 1), moved(loss(a, 6, a, 3, 4), b, 2)); got != "committed committed committed" {
		t.Errorf("outcomes are %s", got)
	}
	got := lines(t, f.dsn, `SELECT concat_ws('/', positions, readings, told_position) FROM loss ORDER BY 1`)
	if want := []string{"{[0,2)}/7/5", "{[0,2)}/8/1", "{[3,4)}/7/2"}; !slices.Equal(got, want) {
		t.Errorf("losses are %q, want %q", got, want)
	}
	f.commit(loss(a, 6, a, 3, 4)) // by the life that goes on, behind the other's
	if n := one(t, f.dsn, `SELECT count(*) FROM loss`); n != "3" {
		t.Errorf("%s losses are kept, want 3", n)
	}
}
