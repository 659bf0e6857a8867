package store_test

import (
	"math"
	"slices"
	"strings"
	"testing"

	"andon.internal/collector/store"
	"andon.internal/shared/telemetry"
)

// TestExactlyOnce gives batches, one after another, and looks at what is stored.
func TestExactlyOnce(t *testing.T) {
	e := epoch(1)
	type batch []store.Entry
	tests := []struct {
		name     string
		batches  []batch
		outcomes []string
		ledger   string
		rows     []string // position/row
	}{
		{
			"in order",
			[]batch{{entry(e, 0, 2), entry(e, 1, 1)}},
			[]string{"committed committed"},
			"{[0,2)}|{}|{}|0",
			[]string{"0/0", "0/1", "1/0"},
		},
		{
			"the same batch again",
			[]batch{{entry(e, 0, 1)}, {entry(e, 0, 1)}},
			[]string{"committed", "duplicate"},
			"{[0,1)}|{}|{}|1",
			[]string{"0/0"},
		},
		{
			"twice in a batch",
			[]batch{{entry(e, 0, 1), entry(e, 0, 1)}},
			[]string{"committed duplicate"},
			"{[0,1)}|{}|{}|1",
			[]string{"0/0"},
		},
		{
			"overlapping batches",
			[]batch{
				{entry(e, 0, 1), entry(e, 1, 1)},
				{entry(e, 1, 1), entry(e, 2, 1)},
			},
			[]string{"committed committed", "duplicate committed"},
			"{[0,3)}|{}|{}|1",
			[]string{"0/0", "1/0", "2/0"},
		},
		{
			"out of order",
			[]batch{{entry(e, 5, 1)}, {entry(e, 0, 1), entry(e, 4, 1)}},
			[]string{"committed", "committed committed"},
			"{[0,1),[4,6)}|{}|{}|0",
			[]string{"0/0", "4/0", "5/0"},
		},
		{
			"lost, then it comes",
			[]batch{{loss(e, 9, e, 0, 4)}, {entry(e, 2, 1)}},
			[]string{"committed", "committed"},
			"{[2,3),[9,10)}|{[0,2),[3,4)}|{}|0",
			[]string{"2/0"},
		},
		{
			"it came, then it is told as lost",
			[]batch{{entry(e, 2, 1)}, {loss(e, 9, e, 0, 4)}},
			[]string{"committed", "committed"},
			"{[2,3),[9,10)}|{[0,2),[3,4)}|{}|0",
			[]string{"2/0"},
		},
		{
			"both in one batch",
			[]batch{{loss(e, 9, e, 0, 4), entry(e, 2, 1), loss(e, 10, e, 2, 6)}},
			[]string{"committed committed committed"},
			"{[2,3),[9,11)}|{[0,2),[3,6)}|{}|0",
			[]string{"2/0"},
		},
		{
			"poison, and again",
			[]batch{{poison(e, 0), entry(e, 1, 1)}, {poison(e, 0)}},
			[]string{"quarantined committed", "duplicate"},
			"{[1,2)}|{}|{[0,1)}|1",
			[]string{"1/0"},
		},
		{
			"poison beats lost",
			[]batch{{loss(e, 9, e, 0, 2)}, {poison(e, 0)}, {loss(e, 10, e, 0, 2)}},
			[]string{"committed", "quarantined", "committed"},
			"{[9,11)}|{[1,2)}|{[0,1)}|0", nil,
		},
		{
			"committed stays",
			[]batch{{entry(e, 0, 1)}, {poison(e, 0)}},
			[]string{"committed", "duplicate"},
			"{[0,1)}|{}|{}|1",
			[]string{"0/0"},
		},
		{
			"a loss that names nothing",
			[]batch{{loss(e, 0, e, 4, 4)}},
			[]string{"quarantined"},
			"{}|{}|{[0,1)}|0", nil,
		},
		{
			"end of a run alone", []batch{{with(entry(e, 0, 0), func(_ *store.Entry, r *telemetry.Record) {
				r.End = &telemetry.End{Time: at(9, 0), Reason: "finished"}
			})}}, []string{"committed"}, "{[0,1)}|{}|{}|0", nil,
		},
	}
	f := setUp(t)
	for n, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			mine := epoch(byte(100 + n)) // every case has an epoch of its own
			for i, b := range tt.batches {
				for j := range b {
					b[j].Epoch = mine
					if b[j].Loss != nil {
						b[j].Loss.Epoch = mine
					}
				}
				if got := f.commit(b...); got != tt.outcomes[i] {
					t.Errorf("batch %d: %s, want %s", i, got, tt.outcomes[i])
				}
			}
			if got := f.ledger(mine); got != tt.ledger {
				t.Errorf("ledger %s, want %s", got, tt.ledger)
			}
			got := lines(t, f.dsn, `SELECT position || '/' || row_no FROM readings_mixed WHERE epoch_id = $1
 ORDER BY position, row_no`, mine.String())
			if !slices.Equal(got, tt.rows) {
				t.Errorf("rows %v, want %v", got, tt.rows)
			}
		})
	}
}

func TestManyNodesInOneTransaction(t *testing.T) {
	f := setUp(t)
	e := epoch(1)
	// The same epoch, as of a copied card: another node's positions are its own.
	theirs := with(entry(e, 0, 1), func(e *store.Entry, r *telemetry.Record) { e.Node, r.Unit = other, "press-2" })
	r, err := f.s.Commit(t.Context(), f.lease, []store.Entry{entry(e, 0, 2), theirs, entry(e, 0, 2)})
	if err != nil || outcomes(r) != "committed committed duplicate" || r.Rows != 3 {
		t.Fatalf("%s, %d rows, %v", outcomes(r), r.Rows, err)
	}
	want := []string{"cell-07|1|0|0|press-1|0", "cell-07|1|0|1|press-1|0.01", "cell-08|1|0|0|press-2|0"}
	if got := f.stored(); !slices.Equal(got, want) {
		t.Errorf("stored %q, want %q", got, want)
	}
	if n := r.Nodes[node]; n.Rows != 2 || n.Duplicates != 1 || n.Records != 1 {
		t.Errorf("counts of the node: %+v", n)
	}
	if n := one(t, f.dsn, `SELECT count(DISTINCT xmin::text) FROM reading_mixed`); n != "1" {
		t.Errorf("%s transactions, want 1", n)
	}
}

func TestInvalidEntriesAreLeft(t *testing.T) {
	f := setUp(t)
	e := epoch(1)
	change := func(fn func(e *store.Entry)) store.Entry {
		out := entry(e, 0, 1)
		fn(&out)
		return out
	}
	got := f.commit(
		change(func(e *store.Entry) { e.Position = math.MaxUint64 }),
		change(func(e *store.Entry) { e.Position = 1<<63 - 1 }),
		change(func(e *store.Entry) { e.Node.ID = "a/b" }),
		change(func(e *store.Entry) { e.Epoch = telemetry.Epoch{} }),
		entry(e, 1<<63-2, 1),
	)
	if got != "invalid invalid invalid invalid committed" {
		t.Error(got)
	}
	if got := f.ledger(e); got != "{[9223372036854775806,9223372036854775807)}|{}|{}|0" {
		t.Error(got)
	}
	if got := f.commit(change(func(e *store.Entry) { e.Node = telemetry.Node{} })); got != "invalid" {
		t.Error(got)
	}
	if got := f.commit(); got != "" {
		t.Error(got)
	}
}

func TestRuns(t *testing.T) {
	f := setUp(t)
	e := epoch(1)
	if err := f.s.UnitBorn(t.Context(), f.lease, node, "press-1", "mixed", now.UnixNano()); err != nil {
		t.Fatal(err)
	}
	runs := func() []string {
		return lines(t, f.dsn, `SELECT unit_id, died IS NULL, reason, readings, expected, late,
 extract(epoch FROM last_ts - born)::float8 FROM unit_run JOIN unit USING (unit_key) ORDER BY run_key`)
	}
	steps := []struct {
		name string
		do   func()
		want string
	}{
		{"born", func() {}, "press-1|t|null|0|0|0|null"},
		{"readings", func() { f.commit(entry(e, 1, 10)) }, "press-1|t|null|10|20|0|1.009"},
		{"the same again", func() { f.commit(entry(e, 1, 10)) }, "press-1|t|null|10|20|0|1.009"},
		{"older ones are late", func() { f.commit(entry(e, 0, 10)) }, "press-1|t|null|20|20|10|1.009"},
		{"newer and older in a batch", func() { f.commit(entry(e, 3, 2), entry(e, 2, 3)) }, "press-1|t|null|25|32|13|3.001"},
		{"the end, with readings", func() {
			f.commit(with(entry(e, 4, 1), func(_ *store.Entry, r *telemetry.Record) {
				r.End = &telemetry.End{Time: at(5, 0), Reason: "fini\xffshed"}
			}))
		}, "press-1|f|fini�shed|26|41|13|4"},
		{"late ones after the end", func() { f.commit(entry(e, 5, 1)) }, "press-1|f|fini�shed|27|51|13|5"},
		{"a birth told again", func() {
			if err := f.s.UnitBorn(t.Context(), f.lease, node, "press-1", "mixed", now.UnixNano()); err != nil {
				t.Fatal(err)
			}
		}, "press-1|f|fini�shed|27|51|13|5"},
	}
	for _, step := range steps {
		step.do()
		if got := runs(); len(got) != 1 || got[0] != step.want {
			t.Fatalf("%s: %q, want %q", step.name, got, step.want)
		}
	}
	f.commit(with(entry(e, 6, 1), func(_ *store.Entry, r *telemetry.Record) { r.Born++ }), // the same µs
		with(entry(e, 7, 1), func(_ *store.Entry, r *telemetry.Record) { r.Born = at(7, 0) }))
	if got := runs(); len(got) != 2 || !strings.HasPrefix(got[0], "press-1|f|fini�shed|28|") || !strings.HasPrefix(got[1], "press-1|t|null|1|") {
		t.Errorf("runs %q", got)
	}
}

func TestLossRows(t *testing.T) {
	f := setUp(t)
	f.commit(loss(epoch(2), 3, epoch(1), 10, 20))
	want := `{[10,20)}|overflow|{press-1,"od\"d\\"}|7|2026-03-04 12:00:10+00|2026-03-04 12:00:20+00|3`
	if got := one(t, f.dsn, `SELECT positions, reason, units, readings, first_ts, last_ts, told_position FROM loss`); got != want {
		t.Errorf("loss %s, want %s", got, want)
	}
	if got := f.ledger(epoch(1)); got != "{}|{[10,20)}|{}|0" {
		t.Error(got)
	}
	if got := f.ledger(epoch(2)); got != "{[3,4)}|{}|{}|0" {
		t.Error(got)
	}
}

func TestTooManyHolesDefer(t *testing.T) {
	f := setUp(t, func(c *store.Config) { c.MaxHoles = 3 })
	e := epoch(1)
	got := f.commit(entry(e, 0, 1), entry(e, 2, 1), entry(e, 4, 1), entry(e, 6, 1), entry(e, 5, 1), poison(e, 9))
	if want := "committed committed committed deferred committed deferred"; got != want {
		t.Fatalf("%s, want %s", got, want)
	}
	// Closing a hole makes room.
	if got := f.commit(entry(e, 8, 1), entry(e, 1, 1), entry(e, 8, 1), entry(e, 6, 1)); got != "deferred committed committed committed" {
		t.Error(got)
	}
	if got := f.ledger(e); got != "{[0,3),[4,7),[8,9)}|{}|{}|0" {
		t.Error(got)
	}
}
