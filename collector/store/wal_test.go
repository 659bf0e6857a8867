package store_test

import (
	"errors"
	osexec "os/exec"
	"path/filepath"
	"testing"

	"andon.internal/collector/store"
	"andon.internal/shared/pgserver"
)

// TestOlderCopyOfTheDatabase starts a copy of the cluster from before, which has the id and
// the timeline of the one it replaces: only its log ends earlier.
func TestOlderCopyOfTheDatabase(t *testing.T) {
	dir := t.TempDir()
	pg, err := pgserver.Start(t.Context(), pgserver.Options{Dir: filepath.Join(dir, "pg")})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := pg.Remove(); err != nil {
			t.Error(err)
		}
	})
	f := migrated(t, pg.DSN())
	e := epoch(1)
	f.commit(entry(e, 0, 1))
	sh := func(script string) {
		t.Helper()
		cmd := osexec.Command("sh", "-ec", script)
		cmd.Dir = dir
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("%v: %s", err, out)
		}
	}
	stopped := func(script string) {
		t.Helper()
		if err := pg.Stop(); err != nil {
			t.Fatal(err)
		}
		sh(script)
		if err := pg.Start(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	commit := func(p uint64) error {
		_, err := f.s.Commit(t.Context(), f.lease, []store.Entry{entry(e, p, 1)})
		return err
	}
	// until commits, past connections that are no more, and returns whether it was said that
	// the database is another.
	until := func(p uint64) (changed bool) {
		t.Helper()
		err := commit(p)
		for n := 0; n < 20 && store.IsRetry(err); n++ {
			changed = changed || errors.Is(err, store.ErrDatabaseChanged)
			err = commit(p)
		}
		if err != nil {
			t.Fatal(err)
		}
		return changed
	}
	stopped("cp -a pg/data copy")
	if until(1) {
		t.Error("a mere restart is taken for another database")
	}
	if err := pg.Kill(); err != nil {
		t.Fatal(err)
	}
	if err := pg.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	if until(2) {
		t.Error("a crash is taken for another database")
	}
	stopped("rm -rf pg/data && mv copy pg/data")
	if !until(3) {
		t.Error("an older copy is not noticed")
	}
	if got := f.ledger(e); got != "{[0,1),[3,4)}|{}|{}|0" {
		t.Errorf("ledger %s", got)
	}
}

// TestPromotedOnceForAllWriters: two transactions that began before a failover are answered by the
// new primary, whose log ends earlier on a timeline of its own. That is one change, not two.
func TestPromotedOnceForAllWriters(t *testing.T) {
	var w store.WAL
	w.Begin()("db/1", 1000)
	first, second := w.Begin(), w.Begin()
	if a, b := first("db/2", 600), second("db/2", 600); a != b {
		t.Errorf("one database is %q and %q", a, b)
	}
	if again := w.Begin()("db/2", 500); again == "db/2" {
		t.Error("a log that ends earlier is not noticed")
	}
}
