package sampler_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"andon.internal/agent/sampler"
	"andon.internal/agent/source"
	"andon.internal/shared/telemetry"
)

// brief is a record in short: unit/born+count[times of its rows in ms]end.
func brief(r *telemetry.Record) string {
	var times []string
	for _, t := range r.Times {
		times = append(times, fmt.Sprint((t-base)/1e6))
	}
	end := ""
	if r.End != nil {
		end = fmt.Sprintf("%s@%d", r.End.Reason, (r.End.Time-base)/1e6)
	}
	return fmt.Sprintf("%s/%d+%d[%s]%s", r.Unit, (r.Born-base)/1e6, r.Count, strings.Join(times, " "), end)
}

func ms(n int) int64 { return base + int64(n)*1e6 }

func TestGrouping(t *testing.T) {
	wide := &telemetry.Profile{Name: "wide", Version: 1}
	for i := range 100 {
		wide.Signals = append(wide.Signals, telemetry.Signal{Name: fmt.Sprintf("s%d", i), Type: telemetry.Integer})
	}
	newer := *pair
	newer.Version = 2
	tests := map[string]struct {
		steps   []func(b *source.Batch) error
		want    string // records
		active  string // on the roster, at the end
		refused int
	}{
		"units of one batch": {
			steps: steps(func(b *source.Batch) {
				b.AddBirth("a", pair, ms(0))
				b.AddReading("a", ms(1), 0, row(1))
				b.AddBirth("b", pair, ms(1))
				b.AddReading("b", ms(1), 0, row(1))
				b.AddReading("a", ms(2), 0, row(1))
				b.AddReading("b", ms(3), 0, row(1))
			}),
			want: "a/0+0[1 2] b/1+0[1 3]", active: "a2 b2",
		},
		"batch after batch": {
			steps: steps(
				func(b *source.Batch) { b.AddBirth("a", pair, ms(0)); b.AddReading("a", ms(1), 0, row(1)) },
				func(b *source.Batch) { b.AddReading("a", ms(2), 0, row(1)); b.AddReading("a", ms(3), 0, row(1)) },
				func(b *source.Batch) { b.AddReading("a", ms(4), 0, row(1)) },
			),
			want: "a/0+0[1] a/0+1[2 3] a/0+3[4]", active: "a4",
		},
		"times that do not advance by a ms": {
			steps: steps(func(b *source.Batch) {
				b.AddBirth("a", pair, ms(0))
				b.AddReading("a", ms(1), 0, row(1))
				b.AddReading("a", ms(1)+999_999, 0, row(1))
				b.AddReading("a", ms(2), 0, row(1))
				b.AddReading("a", ms(1), 0, row(1))
			}),
			want: "a/0+0[1] a/0+1[1 2] a/0+3[1]", active: "a4",
		},
		"a death ends the last record": {
			steps: steps(func(b *source.Batch) {
				b.AddBirth("a", pair, ms(0))
				b.AddReading("a", ms(1), 0, row(1))
				b.AddDeath("a", ms(5), "finished")
			}),
			want: "a/0+0[1]finished@5",
		},
		"a death without readings": {
			steps: steps(
				func(b *source.Batch) { b.AddBirth("a", pair, ms(0)); b.AddReading("a", ms(1), 0, row(1)) },
				func(b *source.Batch) { b.AddDeath("a", ms(5), strings.Repeat("r", 300)) },
			),
			want: "a/0+0[1] a/0+1[]" + strings.Repeat("r", 256) + "@5",
		},
		"dead and born again in a batch": {
			steps: steps(
				func(b *source.Batch) { b.AddBirth("a", pair, ms(0)); b.AddReading("a", ms(1), 0, row(1)) },
				func(b *source.Batch) {
					b.AddReading("a", ms(2), 0, row(1))
					b.AddDeath("a", ms(2), "finished")
					b.AddBirth("a", pair, ms(3))
					b.AddReading("a", ms(3), 0, row(1))
				},
			),
			want: "a/0+0[1] a/0+1[2]finished@2 a/3+0[3]", active: "a1",
		},
		"dead, born and dead in a batch": {
			steps: steps(
				func(b *source.Batch) { b.AddBirth("a", pair, ms(0)); b.AddReading("a", ms(1), 0, row(1)) },
				func(b *source.Batch) {
					b.AddDeath("a", ms(2), "x")
					b.AddBirth("a", pair, ms(3))
					b.AddDeath("a", ms(4), "y")
				},
			),
			want: "a/0+0[1] a/0+1[]x@2 a/3+0[]y@4",
		},
		"a birth replaces a run": {
			steps: steps(
				func(b *source.Batch) { b.AddBirth("a", pair, ms(0)); b.AddReading("a", ms(1), 0, row(1)) },
				func(b *source.Batch) { b.AddBirth("a", pair, ms(9)); b.AddReading("a", ms(9), 0, row(1)) },
			),
			want: "a/0+0[1] a/0+1[]replaced@9 a/9+0[9]", active: "a1",
		},
		"the same birth again": {
			steps: steps(
				func(b *source.Batch) { b.AddBirth("a", pair, ms(0)); b.AddReading("a", ms(1), 0, row(1)) },
				func(b *source.Batch) { b.AddBirth("a", pair, ms(0)); b.AddReading("a", ms(2), 0, row(1)) },
			),
			want: "a/0+0[1] a/0+1[2]", active: "a2",
		},
		"a profile that changes": {
			steps: steps(func(b *source.Batch) {
				b.AddBirth("a", pair, ms(0))
				b.AddReading("a", ms(1), 0, row(1))
				b.AddBirth("a", wide, ms(0))
				b.AddReading("a", ms(2), 0, make([]telemetry.Value, 100))
				b.AddBirth("a", &newer, ms(0))
				b.AddReading("a", ms(3), 0, row(1))
			}, func(b *source.Batch) { b.AddDeath("a", ms(4), "x") }),
			want: "a/0+0[1] a/0+1[2] a/0+2[3] a/0+3[]x@4",
		},
		"a profile that changes, and a death": {
			steps: steps(
				func(b *source.Batch) { b.AddBirth("a", pair, ms(0)); b.AddReading("a", ms(1), 0, row(1)) },
				func(b *source.Batch) { b.AddBirth("a", &newer, ms(0)); b.AddDeath("a", ms(4), "x") },
			),
			want: "a/0+0[1] a/0+1[]x@4",
		},
		"times of different quality": {
			steps: steps(func(b *source.Batch) {
				b.AddBirth("a", pair, ms(0))
				b.AddReading("a", ms(1), 0, row(1))
				b.AddReading("a", ms(2), telemetry.Quality(0).WithTime(telemetry.TimeSource), row(1))
				b.AddReading("a", ms(3), telemetry.Quality(0).WithTime(telemetry.TimeSource), row(1))
			}),
			want: "a/0+0[1] a/0+1[2 3]", active: "a3",
		},
		"events that break the rules": {
			steps: steps(func(b *source.Batch) {
				b.AddReading("a", ms(1), 0, row(1))
				b.AddDeath("a", ms(1), "x")
				b.AddBirth("a", nil, ms(0))
				b.AddBirth("a/b", pair, ms(0))
				b.AddBirth("a", &telemetry.Profile{Name: "BAD"}, ms(0))
				b.AddBirth("a", pair, ms(0))
				b.AddReading("a", ms(1), 0, row(1)[:1])
				b.AddReading("a", ms(1), 0, []telemetry.Value{telemetry.IntegerValue(1), {}})
				b.Events = append(b.Events, source.Event{Unit: "a"})
				b.AddReading("a", ms(2), 0, row(1))
			}),
			want: "a/0+0[2]", active: "a1", refused: 8,
		},
		"only events that break the rules": {
			steps:   steps(func(b *source.Batch) { b.AddReading("a", ms(1), 0, row(1)) }),
			refused: 1,
		},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			buf, ros, reg := newMemory(), newRoster(t), prometheus.NewRegistry()
			c := config()
			c.Metrics = sampler.NewMetrics(reg)
			runSampler(t, c, &script{steps: tc.steps}, buf, ros)
			var got, active []string
			for _, r := range buf.records(t, ros.Profile) {
				got = append(got, brief(r))
			}
			if s := strings.Join(got, " "); s != tc.want {
				t.Errorf("records\n got %s\nwant %s", s, tc.want)
			}
			for _, u := range ros.Active() {
				active = append(active, fmt.Sprintf("%s%d", u.ID, u.Count))
			}
			if s := strings.Join(active, " "); s != tc.active {
				t.Errorf("on test %q, want %q", s, tc.active)
			}
			if n, err := testutil.GatherAndCount(reg); err != nil || n == 0 {
				t.Errorf("%d metrics, %v", n, err)
			}
			expect := fmt.Sprintf("# HELP andon_sampler_refused_events_total Events that broke the rules of a source and were passed over.\n"+
				"# TYPE andon_sampler_refused_events_total counter\nandon_sampler_refused_events_total{source=\"line1\"} %d\n", tc.refused)
			if err := testutil.GatherAndCompare(reg, strings.NewReader(expect), "andon_sampler_refused_events_total"); err != nil {
				t.Error(err)
			}
		})
	}
}

// TestRecordSize checks that a record ends where the wire wants it to.
func TestRecordSize(t *testing.T) {
	for maxBytes, want := range map[int]int{1: 1, 42: 1, 84: 2, 42 * 300: 300, 0: 3900} {
		buf, ros := newMemory(), newRoster(t)
		c := config()
		c.MaxBytes = maxBytes
		runSampler(t, c, &script{steps: steps(func(b *source.Batch) {
			b.AddBirth("a", pair, ms(0))
			for i := range 5000 {
				b.AddReading("a", ms(i), 0, row(1))
			}
		})}, buf, ros)
		records := buf.records(t, ros.Profile)
		if got := records[0].Len(); got != want {
			t.Errorf("limit of %d bytes: records of %d rows, want %d", maxBytes, got, want)
		}
		rows := 0
		for _, r := range records {
			if r.Count != uint64(rows) {
				t.Errorf("record at row %d has the count %d", rows, r.Count)
			}
			rows += r.Len()
		}
		if rows != 5000 {
			t.Errorf("%d rows", rows)
		}
	}
	c := config()
	c.MaxBytes = 1 << 20
	if _, err := sampler.New(c, nil, nil, nil); err == nil {
		t.Error("records of 1 MiB were taken")
	}
}
