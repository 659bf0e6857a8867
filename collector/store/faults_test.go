package store_test

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"andon.internal/collector/store"
	"andon.internal/shared/telemetry"
)

func TestRefusedReadingsAreFound(t *testing.T) {
	f := setUp(t)
	e := epoch(1)
	exec(t, f.dsn, plausible)
	bad := func(p uint64) store.Entry {
		return with(entry(e, p, 3), func(_ *store.Entry, r *telemetry.Record) {
			r.Values = slices.Clone(r.Values)
			r.Values[4] = telemetry.DoubleValue(5000)
		})
	}
	r, err := f.s.Commit(t.Context(), f.lease, []store.Entry{
		entry(e, 0, 2), bad(1), entry(e, 2, 2), entry(e, 3, 2), bad(4), bad(5), entry(e, 1, 1), entry(epoch(2), 0, 1),
	})
	if err != nil {
		t.Fatal(err)
	}
	if got, want := outcomes(r), "committed duplicate committed committed quarantined quarantined committed committed"; got != want {
		t.Errorf("%s, want %s", got, want)
	}
	if r.Rows != 8 || r.Nodes[node].Quarantined != 6 || r.Nodes[node].Recovered != 0 || len(r.Rejects) != 2 || !strings.Contains(r.Rejects[0].Reason, "plausible") {
		t.Errorf("result %+v", r)
	}
	if got := f.ledger(e); got != "{[0,4)}|{}|{[4,6)}|1" {
		t.Error(got)
	}
	if got := one(t, f.dsn, `SELECT readings FROM unit_run`); got != "8" {
		t.Errorf("run has %s readings, want 8", got)
	}
	got := lines(t, f.dsn, `SELECT position, row_no, unit_id, format, convert_from(payload, 'UTF8')::jsonb->'rows'->1->'values'->>'a'
 FROM quarantine ORDER BY 1`)
	if want := []string{"4|-1|press-1|record|5000", "5|-1|press-1|record|5000"}; !slices.Equal(got, want) {
		t.Errorf("quarantine %q, want %q", got, want)
	}
	// Tried again and refused again, they stay where they are; mended, they are stored.
	for range 2 {
		if got := f.commit(bad(1), bad(4), entry(e, 6, 1)); !strings.HasPrefix(got, "duplicate quarantined ") {
			t.Errorf("the same again: %s", got)
		}
	}
	if got := f.commit(bad(4), poison(e, 5), entry(e, 4, 1)); got != "duplicate duplicate committed" {
		t.Errorf("mended: %s", got)
	}
	if got := f.ledger(e); got != "{[0,5),[6,7)}|{}|{[5,6)}|9" {
		t.Error(got)
	}
	if got := one(t, f.dsn, `SELECT readings, (SELECT string_agg(position || ' ' || row_no, ', ') FROM quarantine) FROM unit_run`); got != "10|5 -1" {
		t.Errorf("readings of the run, and quarantine: %s", got)
	}
}

// The readings of the last record are refused; the run has ended all the same.
func TestEndOfRefusedRecord(t *testing.T) {
	f := setUp(t)
	exec(t, f.dsn, plausible)
	last := with(entry(epoch(1), 1, 3), func(_ *store.Entry, r *telemetry.Record) {
		r.Values = slices.Clone(r.Values)
		r.Values[4] = telemetry.DoubleValue(5000)
		r.End = &telemetry.End{Time: now.Add(time.Minute).UnixNano(), Reason: "finished"}
	})
	if got := f.commit(entry(epoch(1), 0, 2), last); got != "committed quarantined" {
		t.Errorf("outcomes %s", got)
	}
	if got := one(t, f.dsn, `SELECT readings, expected, reason, died - born FROM unit_run`); got != "2|13|finished|00:01:00" {
		t.Errorf("run %s", got)
	}
}

func TestMissingPartitionIsMade(t *testing.T) {
	f := setUp(t)
	f.commit(entry(epoch(1), 0, 1))
	exec(t, f.dsn, `DROP TABLE reading_mixed_p20260304`)
	if got := f.commit(entry(epoch(1), 1, 1)); got != "committed" {
		t.Error(got)
	}
	if got := f.stored(); len(got) != 1 {
		t.Errorf("stored %q", got)
	}
}

func TestTimesThatCannotBeStored(t *testing.T) {
	day := 24 * time.Hour
	f := setUp(t, func(c *store.Config) { c.Retention, c.MaxDays = 20*day, 12 })
	e := epoch(1)
	record := func(p uint64, ages ...time.Duration) store.Entry {
		return with(entry(e, p, len(ages)), func(_ *store.Entry, r *telemetry.Record) {
			r.Times = nil
			for _, age := range ages {
				r.Times = append(r.Times, now.Add(-age).UnixNano())
			}
		})
	}
	// Nine partitions are there already: yesterday to a week ahead.
	r, err := f.s.Commit(t.Context(), f.lease, []store.Entry{
		record(0, 21*day), record(1, 21*day, 19*day, 0), record(2, -25*time.Hour), record(3, -23*time.Hour),
		record(4, 10*day, 9*day), record(5, 8*day), record(6, 20*day+time.Second),
	})
	if err != nil {
		t.Fatal(err)
	}
	if got, want := outcomes(r), "quarantined committed quarantined committed committed quarantined quarantined"; got != want {
		t.Errorf("%s, want %s", got, want)
	}
	got := lines(t, f.dsn, `SELECT position, row_no, left(reason, 15) FROM quarantine ORDER BY 1`)
	want := []string{"0|-1|it is older tha", "1|0|it is older tha", "2|-1|its time is mor", "5|-1|profile mixed h", "6|-1|it is older tha"}
	if !slices.Equal(got, want) {
		t.Errorf("quarantine %q, want %q", got, want)
	}
	if got := lines(t, f.dsn, `SELECT position, row_no FROM reading_mixed ORDER BY 1, 2`); !slices.Equal(got, []string{"1|1", "1|2", "3|0", "4|0", "4|1"}) {
		t.Errorf("stored %q", got)
	}
	if got := one(t, f.dsn, `SELECT readings || ' ' || expected FROM unit_run`); got != "5 42" {
		t.Errorf("run has %s", got)
	}
}

// blocked runs a Commit that must wait for a lock which hold takes, calls meddle
// while it waits, and returns the Commit's error.
func blocked(ctx context.Context, f *fixture, hold string, meddle func(pid string), entries ...store.Entry) error {
	f.tb.Helper()
	conn, err := pgx.Connect(context.Background(), f.dsn)
	if err != nil {
		f.tb.Fatal(err)
	}
	defer conn.Close(context.Background())
	if _, err := conn.Exec(context.Background(), "BEGIN; "+hold); err != nil {
		f.tb.Fatal(err)
	}
	done := make(chan error, 1)
	go func() {
		_, err := f.s.Commit(ctx, f.lease, entries)
		done <- err
	}()
	const waiting = `SELECT pid FROM pg_stat_activity WHERE datname = current_database() AND application_name = 'andon'
 AND wait_event_type = 'Lock'`
	for {
		if pids := lines(f.tb, f.dsn, waiting); len(pids) == 1 {
			meddle(pids[0])
			break
		}
		select {
		case err := <-done:
			return err
		case <-time.After(5 * time.Millisecond):
		}
	}
	return <-done
}

func TestDatabaseFaultsAreRetried(t *testing.T) {
	e := epoch(1)
	terminate := func(f *fixture) func(pid string) {
		return func(pid string) { one(f.tb, f.dsn, `SELECT pg_terminate_backend(`+pid+`)`) }
	}
	const onRow = ` ON reading_mixed FOR EACH ROW EXECUTE FUNCTION slow()`
	const slow = `CREATE FUNCTION slow() RETURNS trigger LANGUAGE plpgsql AS
 'BEGIN PERFORM pg_advisory_xact_lock_shared(7); RETURN NEW; END'`
	tests := []struct {
		name    string
		prepare []string
		hold    string
		meddle  func(f *fixture) func(pid string)
		class   string
	}{
		{
			"lock timeout", nil, `SELECT FROM ledger FOR UPDATE`,
			func(*fixture) func(string) { return func(string) {} }, "55",
		},
		{"backend ended while it waits for the ledger", nil, `SELECT FROM ledger FOR UPDATE`, terminate, "57"},
		{
			"backend ended during COPY",
			[]string{slow, `CREATE TRIGGER slow BEFORE INSERT` + onRow},
			`SELECT pg_advisory_xact_lock(7)`, terminate, "57",
		},
		{
			"backend ended during COMMIT",
			[]string{slow, `CREATE CONSTRAINT TRIGGER slow AFTER INSERT ON reading_mixed
 DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION slow()`},
			`SELECT pg_advisory_xact_lock(7)`, terminate, "57",
		},
		{
			"statement cancelled",
			[]string{slow, `CREATE TRIGGER slow BEFORE INSERT` + onRow},
			`SELECT pg_advisory_xact_lock(7)`,
			func(f *fixture) func(string) {
				return func(pid string) { one(f.tb, f.dsn, `SELECT pg_cancel_backend(`+pid+`)`) }
			}, "57",
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			f := setUp(t, func(c *store.Config) { c.LockTimeout = 500 * time.Millisecond })
			if tt.name != "lock timeout" {
				f.s = f.open(func(c *store.Config) { c.LockTimeout = time.Minute })
			}
			f.commit(entry(e, 0, 1))
			exec(t, f.dsn, tt.prepare...)
			err := blocked(t.Context(), f, tt.hold, tt.meddle(f), entry(e, 0, 1), entry(e, 1, 2))
			var retry *store.RetryError
			if !errors.As(err, &retry) || retry.Class != tt.class {
				t.Fatalf("error %v (%+v), want one of class %s to be retried", err, retry, tt.class)
			}
			if got := f.ledger(e); got != "{[0,1)}|{}|{}|0" {
				t.Errorf("ledger after the fault: %s", got)
			}
			if got := f.commit(entry(e, 0, 1), entry(e, 1, 2)); got != "duplicate committed" {
				t.Errorf("repeat: %s", got)
			}
			if got := len(f.stored()); got != 3 {
				t.Errorf("%d rows, want 3", got)
			}
			if got := one(t, f.dsn, `SELECT readings FROM unit_run`); got != "3" {
				t.Errorf("the run has %s readings, want 3", got)
			}
		})
	}
}
