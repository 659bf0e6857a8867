package store_test

import (
	"errors"
	"testing"
	"time"

	"andon.internal/collector/store"
)

func TestLease(t *testing.T) {
	f := setUp(t)
	ctx := t.Context()
	e := epoch(1)
	a := f.lease
	expire := func() {
		exec(t, f.dsn, `UPDATE lease SET expires_at = now() - interval '1 second'`)
	}
	acquire := func(holder string, want bool) store.Lease {
		t.Helper()
		l, ok, err := f.s.AcquireLease(ctx, "intake", holder, time.Minute)
		if err != nil || ok != want {
			t.Fatalf("%s acquires: %v, %v, want %v", holder, ok, err, want)
		}
		return l
	}
	acquire("b", false)
	if _, ok, err := f.s.AcquireLease(ctx, "another", "b", time.Minute); !ok || err != nil {
		t.Errorf("another lease: %v, %v", ok, err)
	}
	if again := acquire("test", true); again.Token <= a.Token {
		t.Errorf("token %d does not rise above %d", again.Token, a.Token)
	} else {
		a = again
	}
	// Expired, and nobody took it: still ours.
	expire()
	f.lease = a
	f.commit(entry(e, 0, 1))
	if err := f.s.RenewLease(ctx, a, time.Minute); err != nil {
		t.Errorf("renew: %v", err)
	}
	acquire("b", false)
	expire()
	b := acquire("b", true)
	if b.Token <= a.Token {
		t.Errorf("token %d does not rise above %d", b.Token, a.Token)
	}
	for name, call := range map[string]func() error{
		"commit": func() error {
			_, err := f.s.Commit(ctx, a, []store.Entry{entry(e, 1, 1), entry(epoch(2), 0, 1)})
			return err
		},
		"commit of what is known": func() error {
			_, err := f.s.Commit(ctx, a, []store.Entry{entry(e, 1, 1)})
			return err
		},
		"sync": func() error {
			_, err := f.s.Sync(ctx, a, store.Birth{Node: other, Chain: []store.ChainEpoch{{Epoch: epoch(9)}}})
			return err
		},
		"birth": func() error { return f.s.UnitBorn(ctx, a, node, "press-9", "mixed", 1) },
		"renew": func() error { return f.s.RenewLease(ctx, a, time.Minute) },
	} {
		if err := call(); !errors.Is(err, store.ErrLeaseLost) || store.IsRetry(err) {
			t.Errorf("%s with a lost lease: %v, want ErrLeaseLost", name, err)
		}
	}
	if err := f.s.ReleaseLease(ctx, a); err != nil {
		t.Errorf("release of a lost lease: %v", err)
	}
	acquire("c", false)
	if got := one(t, f.dsn, `SELECT (SELECT count(*) FROM reading_mixed), (SELECT count(*) FROM epoch),
 (SELECT count(*) FROM unit), (SELECT committed FROM ledger)`); got != "1|1|1|{[0,1)}" {
		t.Errorf("after the lease was lost: %s", got)
	}
	if err := f.s.ReleaseLease(ctx, b); err != nil {
		t.Error(err)
	}
	acquire("c", true)
}

// A new holder waits for the old one's transaction; a renewal does not.
func TestTakeOverWaitsForTransaction(t *testing.T) {
	f := setUp(t)
	e := epoch(1)
	f.commit(entry(e, 0, 1))
	exec(t, f.dsn, `UPDATE lease SET expires_at = now() - interval '1 second'`)
	type taken struct {
		ok  bool
		err error
	}
	took := make(chan taken, 1)
	var renewed error
	err := blocked(t.Context(), f, `SELECT FROM ledger FOR UPDATE`, func(string) {
		renewed = f.s.RenewLease(t.Context(), f.lease, time.Nanosecond)
		go func() {
			_, ok, err := f.s.AcquireLease(t.Context(), "intake", "b", time.Minute)
			took <- taken{ok, err}
		}()
		const waiting = `SELECT FROM pg_stat_activity WHERE datname = current_database() AND application_name = 'andon'
 AND wait_event_type = 'Lock'`
		for len(lines(t, f.dsn, waiting)) < 2 {
			if len(took) > 0 {
				t.Error("the take-over did not wait")
				break
			}
		}
		// The lock on the ledger is given up when blocked returns its connection:
		// end it now, so that the Commit goes on.
		one(t, f.dsn, `SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity
 WHERE datname = current_database() AND state = 'idle in transaction' AND application_name <> 'andon'`)
	}, entry(e, 1, 1))
	if err != nil || renewed != nil {
		t.Fatalf("commit %v, renewal %v", err, renewed)
	}
	if got := <-took; !got.ok || got.err != nil {
		t.Errorf("take-over: %+v", got)
	}
	if got := f.ledger(e); got != "{[0,2)}|{}|{}|0" {
		t.Error(got)
	}
}

// An idle plant learns of a restored database by the renewals of its lease, once.
func TestLeaseFindsRestoredDatabase(t *testing.T) {
	f := setUp(t)
	restore := func() { exec(t, f.dsn, `UPDATE epoch_of_database SET id = gen_random_uuid()`) }
	restore()
	if err := f.s.RenewLease(t.Context(), f.lease, time.Minute); !errors.Is(err, store.ErrDatabaseChanged) || !store.IsRetry(err) {
		t.Errorf("renewal: %v, want ErrDatabaseChanged", err)
	}
	if err := f.s.RenewLease(t.Context(), f.lease, time.Minute); err != nil {
		t.Errorf("the next renewal: %v", err)
	}
	other, ok, err := f.s.AcquireLease(t.Context(), "another", "test", time.Minute)
	if !ok || err != nil {
		t.Fatal(ok, err)
	}
	restore()
	for name, l := range map[string]store.Lease{"one": f.lease, "another": other} { // each is told
		if err := f.s.RenewLease(t.Context(), l, time.Minute); !errors.Is(err, store.ErrDatabaseChanged) {
			t.Errorf("renewal of %s lease: %v, want ErrDatabaseChanged", name, err)
		}
	}
	restore()
	if _, _, err := f.s.AcquireLease(t.Context(), "intake", "test", time.Minute); !errors.Is(err, store.ErrDatabaseChanged) {
		t.Errorf("acquisition: %v, want ErrDatabaseChanged", err)
	}
	if _, ok, err := f.s.AcquireLease(t.Context(), "intake", "test", time.Minute); !ok || err != nil {
		t.Errorf("the next acquisition: %v, %v", ok, err)
	}
}

// TestATokenThatWasGivenTwice: the database was put back to before a holder took its lease, and
// the next one gets the same token. One of them holds it.
func TestATokenThatWasGivenTwice(t *testing.T) {
	f := setUp(t)
	ctx := t.Context()
	a := f.lease
	exec(t, f.dsn, `UPDATE lease SET token = token - 1, holder = 'of the backup', expires_at = '-infinity'`)
	b, ok, err := f.s.AcquireLease(ctx, "intake", "b", time.Minute)
	if err != nil || !ok || b.Token != a.Token {
		t.Fatalf("b acquires: %v, %v, token %d; want that of a, %d", ok, err, b.Token, a.Token)
	}
	_, commits := f.s.Commit(ctx, a, []store.Entry{entry(epoch(1), 0, 1)})
	for name, err := range map[string]error{"commit": commits, "renewal": f.s.RenewLease(ctx, a, time.Minute)} {
		if !errors.Is(err, store.ErrLeaseLost) {
			t.Errorf("%s of a: %v, want ErrLeaseLost", name, err)
		}
	}
	if err := f.s.ReleaseLease(ctx, a); err != nil {
		t.Error(err)
	}
	if err := f.s.RenewLease(ctx, b, time.Minute); err != nil {
		t.Errorf("renewal of b: %v", err)
	}
	if _, ok, err := f.s.AcquireLease(ctx, "intake", "c", time.Minute); ok || err != nil {
		t.Errorf("c acquires: %v, %v", ok, err)
	}
}
