package store_test

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"andon.internal/collector/store"
	"andon.internal/shared/telemetry"
)

// TestUpdatesAreHeapOnly: the ledger and the runs are updated by every
// transaction, and must not grow or touch an index.
func TestUpdatesAreHeapOnly(t *testing.T) {
	f := setUp(t)
	const epochs, rounds = 100, 30
	const commits = epochs * rounds
	// An analysis holds a snapshot meanwhile, and old rows stay.
	exec(t, f.dsn, `ALTER TABLE ledger SET (autovacuum_enabled = off)`)
	exec(t, f.dsn, `ALTER TABLE unit_run SET (autovacuum_enabled = off)`)
	for p := range uint64(rounds) {
		var b []store.Entry
		for n := range epochs {
			b = append(b, with(entry(epoch(byte(n)), p, 1), func(_ *store.Entry, r *telemetry.Record) {
				r.Unit = fmt.Sprintf("press-%d", n)
			}))
		}
		f.commit(b...)
	}
	f.heapOnly("ledger", commits)
	f.heapOnly("unit_run", commits)
	if size := one(t, f.dsn, `SELECT pg_relation_size('ledger') / 8192`); size > "9" || len(size) > 1 {
		t.Errorf("the ledger of %d epochs has %s pages", epochs, size)
	}
}

// heapOnly closes the store and checks that at least so many updates of a table were
// heap-only.
func (f *fixture) heapOnly(table string, least int) {
	f.tb.Helper()
	f.s.Close() // a backend tells its statistics at the latest when it ends
	var updates, hot int
	for end := time.Now().Add(30 * time.Second); updates < least && time.Now().Before(end); time.Sleep(20 * time.Millisecond) {
		a, b, _ := strings.Cut(one(f.tb, f.dsn, `SELECT n_tup_upd, n_tup_hot_upd FROM pg_stat_user_tables WHERE relname = $1`, table), "|")
		updates, _ = strconv.Atoi(a)
		hot, _ = strconv.Atoi(b)
	}
	if updates < least || hot < updates*99/100 {
		f.tb.Errorf("%s: %d of %d updates were heap-only", table, hot, updates)
	}
}

// TestTwoWriters: two stores write different nodes, in batches that overlap in
// epochs of both, in opposite order; nothing waits for ever and nothing is lost.
func TestTwoWriters(t *testing.T) {
	f := setUp(t)
	const batches, nodes = 40, 6
	var wg sync.WaitGroup
	for w := range 2 {
		s := f.open()
		wg.Go(func() {
			for p := range uint64(batches) {
				var b []store.Entry
				for n := range nodes {
					b = append(b, with(entry(epoch(1), p, 2), func(e *store.Entry, r *telemetry.Record) {
						e.Node.ID = fmt.Sprintf("cell-%d", n)
						r.Unit = e.Node.ID
					}))
				}
				if w == 1 {
					slices.Reverse(b)
				}
				for {
					_, err := s.Commit(t.Context(), f.lease, b)
					if err == nil {
						break
					}
					if !store.IsRetry(err) {
						t.Error(err)
						return
					}
					t.Logf("writer %d repeats: %v", w, err)
				}
			}
		})
	}
	wg.Wait()
	if got := one(t, f.dsn, `SELECT count(*), count(DISTINCT (epoch_key, position, row_no)) FROM reading_mixed`); got != fmt.Sprintf("%d|%d", batches*nodes*2, batches*nodes*2) {
		t.Errorf("stored %s", got)
	}
	got := lines(t, f.dsn, `SELECT DISTINCT committed, repeats FROM ledger`)
	if want := fmt.Sprintf("{[0,%d)}|%d", batches, batches); len(got) != 1 || got[0] != want {
		t.Errorf("ledgers %v, want %s", got, want)
	}
}
