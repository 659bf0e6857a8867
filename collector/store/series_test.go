package store_test

import (
	"fmt"
	"math"
	"strings"
	"testing"
	"time"

	"andon.internal/collector/store"
	"andon.internal/shared/telemetry"
)

func (f *fixture) reader() *store.Reader {
	f.tb.Helper()
	r, err := store.OpenReader(f.tb.Context(), store.Config{DSN: f.dsn})
	if err != nil {
		f.tb.Fatal(err)
	}
	f.tb.Cleanup(r.Close)
	return r
}

func show(s store.Series) string {
	var b strings.Builder
	fmt.Fprintln(&b, "step", s.Step)
	for i, t := range s.Times {
		fmt.Fprint(&b, t.Sub(now), " n=", s.Counts[i], " ", s.Qualities[i])
		for _, g := range s.Signals {
			name := s.Profile.Signals[g.Signal].Name
			if math.IsNaN(g.Avg[i]) {
				fmt.Fprintf(&b, " %s=-", name)
			} else {
				fmt.Fprintf(&b, " %s=%.4g/%.4g/%.4g", name, g.Low[i], g.Avg[i], g.High[i])
			}
		}
		fmt.Fprintln(&b)
	}
	return b.String()
}

func TestSeries(t *testing.T) {
	f := setUp(t)
	missing := with(entry(epoch(1), 7, 1), func(_ *store.Entry, r *telemetry.Record) {
		r.Qualities[0], r.Values[0] = telemetry.QualityMissing|telemetry.QualitySimulated, telemetry.Value{}
	})
	f.commit(entry(epoch(1), 0, 2), entry(epoch(1), 3, 1), missing,
		with(entry(epoch(1), 9, 1), func(_ *store.Entry, r *telemetry.Record) { r.Unit = "press-2" }))
	r := f.reader()
	for _, tt := range []struct {
		name   string
		from   time.Time
		to     time.Time
		points int
		want   string
	}{
		{"raw", now, now.Add(time.Minute), 100, `step 0s
0s n=1 good a=0/0/0 on_off=1/1/1 n=0/0/0
1ms n=1 good a=0.01/0.01/0.01 on_off=0/0/0 n=1/1/1
3s n=1 good a=3/3/3 on_off=1/1/1 n=0/0/0
7s n=1 missing,simulated a=- on_off=1/1/1 n=0/0/0
`},
		{"to is not included", now, now.Add(3 * time.Second), 100, `step 0s
0s n=1 good a=0/0/0 on_off=1/1/1 n=0/0/0
1ms n=1 good a=0.01/0.01/0.01 on_off=0/0/0 n=1/1/1
`},
		{"steps", now, now.Add(10 * time.Second), 2, `step 5s
0s n=3 good a=0/1.003/3 on_off=0/0.6667/1 n=0/0.3333/1
5s n=1 missing,simulated a=- on_off=1/1/1 n=0/0/0
`},
		{"nothing there", now.Add(time.Hour), now.Add(2 * time.Hour), 2, "step 0s\n"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s, ok, err := r.Series(t.Context(), store.SeriesQuery{
				Group: node.Group, Unit: "press-1", Signals: []string{"a", "on_off", "n", "unknown"},
				From: tt.from, To: tt.to, Points: tt.points,
			})
			if err != nil || !ok {
				t.Fatal(ok, err)
			}
			if got := show(s); got != tt.want {
				t.Errorf("got\n%swant\n%s", got, tt.want)
			}
		})
	}
	for name, q := range map[string]store.SeriesQuery{
		"no points":       {Group: node.Group, Unit: "press-1", From: now, To: now.Add(1)},
		"too many points": {Group: node.Group, Unit: "press-1", From: now, To: now.Add(1), Points: store.MaxPoints + 1},
		"backwards":       {Group: node.Group, Unit: "press-1", From: now, To: now, Points: 1},
	} {
		if _, _, err := r.Series(t.Context(), q); err == nil || store.IsRetry(err) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, ok, err := r.Series(t.Context(), store.SeriesQuery{Group: node.Group, Unit: "nobody", From: now, To: now.Add(1), Points: 1}); ok || err != nil {
		t.Errorf("unknown unit: %v, %v", ok, err)
	}
}

// TestSeriesPlan shows that a series reads its days' partitions by their index only.
func TestSeriesPlan(t *testing.T) {
	f := setUp(t)
	exec(t, f.dsn, `INSERT INTO reading_mixed SELECT '2026-03-03 12:00Z'::timestamptz + n * interval '1 s', n % 100, 1, n, 0, 0, now()
 FROM generate_series(1, 50000) n`, `ANALYZE reading_mixed`)
	for _, steps := range []bool{false, true} {
		sql := store.SeriesSQL(mixed(), []int{0, 3}, steps)
		for from, to := range map[string]string{"$1": "7", "$2": "'2026-03-03 22:00Z'", "$3": "'2026-03-03 23:00Z'", "$4": "1000"} {
			sql = strings.ReplaceAll(sql, from, to)
		}
		plan := strings.Join(lines(t, f.dsn, "EXPLAIN (ANALYZE, COSTS OFF, TIMING OFF) "+sql), "\n")
		if !strings.Contains(plan, "reading_mixed_p20260303_unit_key_ts_idx") {
			t.Errorf("steps %v: the plan does not use the index:\n%s", steps, plan)
		}
		for _, bad := range []string{"Seq Scan on reading", "p20260304"} {
			if strings.Contains(plan, bad) {
				t.Errorf("steps %v: the plan has %q:\n%s", steps, bad, plan)
			}
		}
	}
}

func TestReaderRuns(t *testing.T) {
	f := setUp(t)
	f.commit(entry(epoch(1), 1, 10), with(entry(epoch(1), 2, 1), func(_ *store.Entry, r *telemetry.Record) {
		r.Born, r.End = now.Add(time.Hour).UnixNano(), &telemetry.End{Time: now.Add(2 * time.Hour).UnixNano(), Reason: "finished"}
	}))
	r := f.reader()
	list := func(from, to time.Time, limit int) string {
		t.Helper()
		runs, err := r.Runs(t.Context(), node.Group, "press-1", from, to, limit)
		if err != nil {
			t.Fatal(err)
		}
		var b strings.Builder
		for _, r := range runs {
			died := "active"
			if !r.Died.IsZero() {
				died = r.Died.Sub(now).String()
			}
			fmt.Fprintln(&b, r.Node, r.Profile, r.Born.Sub(now), died, r.Reason, r.Newest.Sub(now), r.Stored, r.Expected, r.Late)
		}
		return b.String()
	}
	first := "cell-07 mixed 0s active  1.009s 10 20 0\n"
	second := "cell-07 mixed 1h0m0s 2h0m0s finished 2s 1 21 0\n"
	for _, tt := range []struct {
		from, to time.Duration
		limit    int
		want     string
	}{
		{0, 3 * time.Hour, 10, second + first},
		{0, 3 * time.Hour, 1, second},
		{0, time.Minute, 10, first},
		{150 * time.Minute, 3 * time.Hour, 10, first},
	} {
		if got := list(now.Add(tt.from), now.Add(tt.to), tt.limit); got != tt.want {
			t.Errorf("runs from %v to %v:\n%swant\n%s", tt.from, tt.to, got, tt.want)
		}
	}
}

func TestReaderWithoutDatabase(t *testing.T) {
	r, err := store.OpenReader(t.Context(), store.Config{DSN: "postgres://andon@127.0.0.1:1/none"})
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	if err := r.Ping(t.Context()); !store.IsRetry(err) {
		t.Errorf("ping: %v", err)
	}
	_, _, err = r.Series(t.Context(), store.SeriesQuery{Group: "g", Unit: "u", From: now, To: now.Add(1), Points: 1})
	if !store.IsRetry(err) {
		t.Errorf("series: %v", err)
	}
	if _, err := r.Runs(t.Context(), "g", "u", now, now.Add(1), 1); !store.IsRetry(err) {
		t.Errorf("runs: %v", err)
	}
}
