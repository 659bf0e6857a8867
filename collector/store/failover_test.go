package store_test

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"

	"andon.internal/collector/store"
)

func TestServerRestart(t *testing.T) {
	f := setUp(t)
	e := epoch(1)
	f.commit(entry(e, 0, 1))
	if err := server.Kill(); err != nil {
		t.Fatal(err)
	}
	_, err := f.s.Commit(t.Context(), f.lease, []store.Entry{entry(e, 1, 1)})
	if !store.IsRetry(err) {
		t.Fatalf("error %v while the server is down, want one to be retried", err)
	}
	if err := server.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	if got := f.commit(entry(e, 0, 1), entry(e, 1, 1)); got != "duplicate committed" {
		t.Error(got)
	}
}

// After a failover the old primary may live on as a standby: its connections must
// not be used again.
func TestReadOnlyServerIsLeft(t *testing.T) {
	f := setUp(t)
	e := epoch(1)
	f.commit(entry(e, 0, 1))
	exec(t, f.dsn, `ALTER DATABASE `+one(t, f.dsn, `SELECT current_database()`)+` SET default_transaction_read_only = on`)
	f.s = f.open()
	_, err := f.s.Commit(t.Context(), f.lease, []store.Entry{entry(e, 1, 1)})
	var retry *store.RetryError
	if !errors.As(err, &retry) || retry.Class != "25" {
		t.Fatalf("error %v, want one of class 25 to be retried", err)
	}
	exec(t, f.dsn, `SET default_transaction_read_only = off`, `ALTER DATABASE `+one(t, f.dsn, `SELECT current_database()`)+` RESET default_transaction_read_only`)
	if got := f.commit(entry(e, 1, 1)); got != "committed" {
		t.Error(got)
	}
}

func TestCancelledCall(t *testing.T) {
	f := setUp(t)
	e := epoch(1)
	f.commit(entry(e, 0, 1))
	ctx, cancel := context.WithCancelCause(t.Context())
	err := blocked(ctx, f, `SELECT FROM ledger FOR UPDATE`, func(string) { cancel(errors.New("shutting down")) }, entry(e, 1, 1))
	if !store.IsRetry(err) || !strings.Contains(err.Error(), "shutting down") {
		t.Errorf("error %v, want one to be retried that names the cause", err)
	}
	if got := f.commit(entry(e, 1, 1)); got != "committed" {
		t.Error(got)
	}
}

// TestRestoredDatabase changes what is behind the connection, as a restore or a
// failover does, and wants the next Commit to say so, and the one after to work.
func TestRestoredDatabase(t *testing.T) {
	e := epoch(1)
	const empty = `TRUNCATE unit_run, unit, ledger, epoch, node, reading_mixed, loss, quarantine RESTART IDENTITY`
	tests := []struct {
		name    string
		restore []string
		want    string // outcomes for positions 0 and 1
	}{
		{"the same rows, another identity", []string{`UPDATE epoch_of_database SET id = gen_random_uuid()`}, "duplicate committed"},
		{"empty, the same identity", []string{empty}, "committed committed"},
		{"another epoch has the key", []string{`UPDATE epoch SET epoch_id = '` + epoch(9).String() + `'`, `TRUNCATE reading_mixed`}, "committed committed"},
		{"another unit has the run's key", []string{
			`INSERT INTO unit (group_id, unit_id, profile_key) VALUES ('g', 'u', 1)`,
			`UPDATE unit_run SET unit_key = (SELECT unit_key FROM unit WHERE unit_id = 'u')`,
		}, "duplicate committed"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			f := setUp(t)
			f.commit(entry(e, 0, 1))
			exec(t, f.dsn, tt.restore...)
			b := []store.Entry{entry(e, 0, 1), entry(e, 1, 1)}
			if _, err := f.s.Commit(t.Context(), f.lease, b); !errors.Is(err, store.ErrDatabaseChanged) || !store.IsRetry(err) {
				t.Fatalf("error %v, want ErrDatabaseChanged", err)
			}
			if got := f.commit(b...); got != tt.want {
				t.Errorf("then %s, want %s", got, tt.want)
			}
			if got := lines(t, f.dsn, `SELECT position, unit_id FROM readings_mixed ORDER BY 1`); !slices.Equal(got, []string{"0|press-1", "1|press-1"}) {
				t.Errorf("stored %q", got)
			}
		})
	}
}

func TestNotMigrated(t *testing.T) {
	f := &fixture{tb: t, dsn: newDatabase(t)}
	_, err := f.open().Commit(t.Context(), f.lease, []store.Entry{entry(epoch(1), 0, 1)})
	if !store.IsRetry(err) || !strings.Contains(err.Error(), "andon-collector migrate") {
		t.Errorf("error %v, want the cure", err)
	}
}
