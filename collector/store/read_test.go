package store_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"andon.internal/collector/store"
	"andon.internal/shared/telemetry"
)

func TestLatest(t *testing.T) {
	f := setUp(t)
	latest := func(unit string) string {
		t.Helper()
		r, ok, err := f.s.Latest(t.Context(), node.Group, unit)
		if err != nil {
			t.Fatal(err)
		}
		if !ok {
			return "none"
		}
		return fmt.Sprint(r.Time.Sub(now), " ", r.Position, "/", r.Row, " ", r.Epoch.Short(), " ", r.Values, " ", r.Quality, " ", r.ReceivedAt.Sub(now))
	}
	if got := latest("press-1"); got != "none" {
		t.Errorf("unknown unit: %s", got)
	}
	if err := f.s.UnitBorn(t.Context(), f.lease, node, "press-1", "mixed", now.UnixNano()); err != nil {
		t.Fatal(err)
	}
	if got := latest("press-1"); got != "none" {
		t.Errorf("unit without a reading: %s", got)
	}
	f.commit(entry(epoch(1), 3, 2))
	want := "3.001s 3/1 000001 [3.01 1.5 1 false] good 0s"
	if got := latest("press-1"); got != want {
		t.Errorf("latest %s, want %s", got, want)
	}
	// Late readings, days and runs later, do not change it; a newer run does.
	f.commit(entry(epoch(1), 2, 5), with(entry(epoch(1), 4, 2), func(_ *store.Entry, r *telemetry.Record) {
		r.Times = []int64{now.AddDate(0, 0, -3).UnixNano(), now.AddDate(0, 0, -2).UnixNano()}
		r.Born = now.AddDate(0, 0, 1).UnixNano()
	}))
	if got := latest("press-1"); got != want {
		t.Errorf("latest after late readings %s, want %s", got, want)
	}
	f.commit(with(entry(epoch(1), 5, 1), func(_ *store.Entry, r *telemetry.Record) {
		r.Born, r.Qualities = now.AddDate(0, 0, 2).UnixNano(), []telemetry.Quality{telemetry.QualityMissing}
		r.Values = make([]telemetry.Value, 4)
	}))
	if got := latest("press-1"); got != "5s 5/0 000001 [missing missing missing missing] missing 0s" {
		t.Errorf("latest of a new run: %s", got)
	}
}

// TestLatestPlan shows that the latest reading is one descent of one partition's
// index.
func TestLatestPlan(t *testing.T) {
	f := setUp(t)
	exec(t, f.dsn, `INSERT INTO reading_mixed SELECT '2026-03-05 01:00Z'::timestamptz + n * interval '1 s', n % 100, 1, n, 0, 0, now()
 FROM generate_series(1, 50000) n`, `ANALYZE reading_mixed`)
	sql := store.LatestSQL(mixed())
	for from, to := range map[string]string{"$1": "7", "$2": "'2026-03-05 10:00Z'", "$3": "'2026-03-05 00:00Z'"} {
		sql = strings.Replace(sql, from, to, 1)
	}
	plan := strings.Join(lines(t, f.dsn, "EXPLAIN (ANALYZE, COSTS OFF, TIMING OFF, BUFFERS) "+sql), "\n")
	for _, want := range []string{"Index Scan using reading_mixed_p20260305_unit_key_ts_idx on reading_mixed_p20260305 r (actual rows=1 loops=1)"} {
		if !strings.Contains(plan, want) {
			t.Errorf("the plan lacks %q:\n%s", want, plan)
		}
	}
	for _, bad := range []string{"Seq Scan on reading", "Append", "Sort", "p20260304"} {
		if strings.Contains(plan, bad) {
			t.Errorf("the plan has %q:\n%s", bad, plan)
		}
	}
}

func TestAudit(t *testing.T) {
	f := setUp(t)
	e1, e2 := epoch(1), epoch(2)
	f.sync(store.ChainEpoch{Epoch: e1})
	f.commit(entry(e1, 1, 10), entry(e1, 0, 10), entry(e1, 0, 10), poison(e1, 3), entry(e1, 5, 10),
		with(entry(e2, 0, 5), func(e *store.Entry, r *telemetry.Record) {
			e.Node, r.Unit, r.End = other, "press-2", &telemetry.End{Time: at(9, 0), Reason: "removed"}
		}))
	f.sync(store.ChainEpoch{Epoch: e1, End: store.EndClosed, Next: 10, Held: set(6, 9)}, store.ChainEpoch{Epoch: e2, Prev: e1})
	show := func(filter store.AuditFilter) string {
		t.Helper()
		a, err := f.s.Audit(t.Context(), filter)
		if err != nil {
			t.Fatal(err)
		}
		var b strings.Builder
		for _, r := range a.Runs {
			died := "active"
			if !r.Died.IsZero() {
				died = r.Died.Sub(now).String()
			}
			fmt.Fprintln(&b, "run", r.Group, r.Unit, r.Node, r.Profile, r.Born.Sub(now), died, r.Reason, r.Newest.Sub(now).Round(time.Millisecond),
				r.Expected, r.Stored, r.Missing(), r.Late)
		}
		for _, e := range a.Epochs {
			fmt.Fprintln(&b, "epoch", e.Group, e.Node, e.Epoch.Short(), e.Ended, e.Closed, e.Expected, e.Committed, e.Lost, e.Quarantined,
				e.Repeats, e.Losses, e.Holes)
		}
		return b.String()
	}
	mine := `run austin-line1 press-1 cell-07 mixed 0s active  5.009s 60 30 30 10
`
	epochs := `epoch austin-line1 cell-07 000001 closed false 10 3 3 1 1 [2,3)[4,5)[9,10) [6,9)
epoch austin-line1 cell-07 000002 open false 0 0 0 0 0  
`
	theirs := `run austin-line1 press-2 cell-08 mixed 0s 9s removed 4ms 5 5 0 0
`
	theirEpoch := `epoch austin-line1 cell-08 000002 open false 1 1 0 0 0  
`
	for _, tt := range []struct {
		filter store.AuditFilter
		want   string
	}{
		{store.AuditFilter{}, mine + theirs + epochs + theirEpoch},
		{store.AuditFilter{Node: "cell-07"}, mine + epochs},
		{store.AuditFilter{Unit: "press-2"}, theirs + epochs + theirEpoch},
		{store.AuditFilter{Group: "elsewhere"}, ""},
	} {
		if got := show(tt.filter); got != tt.want {
			t.Errorf("audit %+v:\n%swant\n%s", tt.filter, got, tt.want)
		}
	}
}
