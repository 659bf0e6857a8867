package store_test

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"andon.internal/collector/store"
	"andon.internal/shared/telemetry"
)

func profile(version int, signals ...string) *telemetry.Profile {
	p := &telemetry.Profile{Name: "select", Version: version} // a word of SQL
	for _, s := range signals {
		name, typ, _ := strings.Cut(s, ":")
		t, err := telemetry.ParseType(typ)
		if err != nil {
			panic(err)
		}
		p.Signals = append(p.Signals, telemetry.Signal{Name: name, Type: t})
	}
	return p
}

func TestProfilesDriveTables(t *testing.T) {
	f := setUp(t)
	steps := []struct {
		name    string
		p       *telemetry.Profile
		refused string
		columns string
		version string
	}{
		{"new", profile(2, "a:double", "b:integer"), "", "a:double precision b:bigint", "2"},
		{"the same", profile(2, "a:double", "b:integer"), "", "a:double precision b:bigint", "2"},
		{"reordered", profile(3, "b:integer", "a:double"), "", "a:double precision b:bigint", "3"},
		{"a new signal", profile(4, "c:boolean", "a:double", "b:integer", "d:real"), "", "a:double precision b:bigint c:boolean d:real", "4"},
		{"an older one", profile(3, "a:double", "b:integer"), "", "a:double precision b:bigint c:boolean d:real", "4"},
		{"a signal less", profile(5, "a:double", "c:boolean", "d:real"), "signal b was removed", "a:double precision b:bigint c:boolean d:real", "4"},
		{"another type", profile(5, "a:real", "b:integer", "c:boolean", "d:real"), "signal a was double and is now real", "a:double precision b:bigint c:boolean d:real", "4"},
		{"an older one of another type", profile(1, "a:real"), "signal a was double and is now real", "a:double precision b:bigint c:boolean d:real", "4"},
	}
	for _, step := range steps {
		s := f.open(func(c *store.Config) { c.Profiles = []*telemetry.Profile{step.p} })
		err := s.Migrate(t.Context())
		switch {
		case step.refused == "" && err != nil:
			t.Fatalf("%s: %v", step.name, err)
		case step.refused != "" && (err == nil || !strings.Contains(err.Error(), step.refused) || store.IsRetry(err)):
			t.Errorf("%s: error %v, want one with %q, for good", step.name, err, step.refused)
		}
		columns := one(t, f.dsn, `SELECT string_agg(attname || ':' || format_type(atttypid, -1), ' ' ORDER BY attnum)
 FROM pg_attribute WHERE attrelid = 'reading_select'::regclass AND attnum > 7`)
		if columns != step.columns {
			t.Errorf("%s: columns %s, want %s", step.name, columns, step.columns)
		}
		if v := one(t, f.dsn, `SELECT version FROM profile WHERE name = 'select'`); v != step.version {
			t.Errorf("%s: version %s, want %s", step.name, v, step.version)
		}
	}
	if got := one(t, f.dsn, `SELECT count(*) FROM information_schema.columns WHERE table_name = 'readings_select'`); got != "13" {
		t.Errorf("the view has %s columns, want 13", got)
	}
	if _, err := store.Open(t.Context(), store.Config{DSN: f.dsn, Profiles: []*telemetry.Profile{{Name: "Bad"}}}); err == nil {
		t.Error("a malformed profile was taken")
	}
}

// A profile that another process installs is found without a restart.
func TestProfileInstalledMeanwhile(t *testing.T) {
	f := setUp(t)
	if err := f.s.UnitBorn(t.Context(), f.lease, node, "press-1", "select", 1); !errors.Is(err, store.ErrUnknownProfile) {
		t.Fatalf("birth of an unknown profile: %v", err)
	}
	if err := f.open(func(c *store.Config) { c.Profiles = []*telemetry.Profile{profile(1, "a:double")} }).Migrate(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := f.s.UnitBorn(t.Context(), f.lease, node, "press-1", "select", 1); err != nil {
		t.Error(err)
	}
}

func TestMigrateTogether(t *testing.T) {
	f := &fixture{tb: t, dsn: newDatabase(t)}
	var wg sync.WaitGroup
	for range 4 {
		s := f.open()
		wg.Go(func() {
			if err := s.Migrate(t.Context()); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if got := one(t, f.dsn, `SELECT count(*), (SELECT count(*) FROM profile), (SELECT count(*) FROM pg_inherits
 WHERE inhparent = 'reading_mixed'::regclass) FROM epoch_of_database`); got != "1|1|9" {
		t.Errorf("after four migrations at once: %s", got)
	}
	s := f.open()
	if err := s.Ping(t.Context()); err != nil {
		t.Error(err)
	}
}

// Late days get their partitions on demand, from several processes at once, while
// others write and a long reader holds the table.
func TestPartitionsOnDemandTogether(t *testing.T) {
	f := setUp(t)
	reader := newTx(t, f.dsn)
	reader(`SELECT count(*) FROM reading_mixed`)
	var wg sync.WaitGroup
	for w := range 3 {
		s := f.open()
		wg.Go(func() {
			for i := range 5 {
				e := with(entry(epoch(byte(w)), uint64(i), 1), func(e *store.Entry, r *telemetry.Record) {
					e.Node.ID = fmt.Sprintf("cell-%d", w)
					r.Unit = e.Node.ID
					r.Times = []int64{now.Add(-time.Duration(i+2) * 24 * time.Hour).UnixNano()}
				})
				if r, err := s.Commit(t.Context(), f.lease, []store.Entry{e}); err != nil || outcomes(r) != "committed" {
					t.Errorf("writer %d, day %d: %s, %v", w, i, outcomes(r), err)
				}
			}
		})
	}
	wg.Wait()
	got := lines(t, f.dsn, `SELECT c.relname, pg_get_expr(c.relpartbound, c.oid), count(i.indexrelid) FROM pg_inherits h
 JOIN pg_class c ON c.oid = inhrelid LEFT JOIN pg_index i ON i.indrelid = c.oid
 WHERE inhparent = 'reading_mixed'::regclass GROUP BY c.oid, c.relname ORDER BY 1`)
	if len(got) != 14 || got[0] != "reading_mixed_p20260226|FOR VALUES FROM ('2026-02-26 00:00:00+00') TO ('2026-02-27 00:00:00+00')|1" {
		t.Errorf("partitions %q", got)
	}
	if n := one(t, f.dsn, `SELECT count(*) FROM reading_mixed`); n != "15" {
		t.Errorf("%s rows, want 15", n)
	}
}

func TestRetentionDropsPartitions(t *testing.T) {
	f := setUp(t)
	for p, age := range []int{30, 11, 10, 0} {
		f.commit(with(entry(epoch(1), uint64(p), 1), func(_ *store.Entry, r *telemetry.Record) {
			r.Times = []int64{now.AddDate(0, 0, -age).UnixNano()}
		}))
	}
	s := f.open(func(c *store.Config) { c.Retention = 10 * 24 * time.Hour })
	reader := newTx(t, f.dsn)
	reader(`SELECT count(*) FROM reading_mixed_p20260221`)
	if err := s.Maintain(t.Context()); !store.IsRetry(err) {
		t.Errorf("a partition in use: error %v, want one to be retried", err)
	}
	reader(`ROLLBACK`)
	if err := s.Maintain(t.Context()); err != nil {
		t.Error(err)
	}
	if got := lines(t, f.dsn, `SELECT position FROM reading_mixed ORDER BY 1`); !slices.Equal(got, []string{"2", "3"}) {
		t.Errorf("left: %v", got)
	}
	if got := f.ledger(epoch(1)); got != "{[0,4)}|{}|{}|0" {
		t.Errorf("ledger %s", got)
	}
}
