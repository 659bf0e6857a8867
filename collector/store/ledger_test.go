package store_test

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"andon.internal/collector/store"
	"andon.internal/shared/ranges"
	"andon.internal/shared/telemetry"
)

// TestUpdatesAreHeapOnly: the ledger and the runs are updated by every
// transaction, and must not grow or touch an index.
func TestUpdatesAreHeapOnly(t *testing.T) {
	f := setUp(t)
	const epochs, rounds = 100, 30
	const commits = epochs * rounds
	for p := range uint64(rounds) {
		var b []store.Entry
		for n := range epochs {
			b = append(b, with(entry(epoch(byte(n)), p, 1), func(_ *store.Entry, r *telemetry.Record) {
				r.Unit = fmt.Sprintf("press-%d", n)
			}))
		}
		f.commit(b...)
	}
	f.s.Close() // a backend tells its statistics at the latest when it ends
	const sql = `SELECT n_tup_upd, n_tup_hot_upd FROM pg_stat_user_tables WHERE relname = $1`
	for _, table := range []string{"ledger", "unit_run"} {
		var updates, hot int
		for end := time.Now().Add(10 * time.Second); time.Now().Before(end); time.Sleep(20 * time.Millisecond) {
			a, b, _ := strings.Cut(one(t, f.dsn, sql, table), "|")
			updates, _ = strconv.Atoi(a)
			hot, _ = strconv.Atoi(b)
			if updates >= commits {
				break
			}
		}
		if updates < commits || hot < updates*99/100 {
			t.Errorf("%s: %d of %d updates were heap-only", table, hot, updates)
		}
	}
	if size := one(t, f.dsn, `SELECT pg_relation_size('ledger') / 8192`); size > "9" || len(size) > 1 {
		t.Errorf("the ledger of %d epochs has %s pages", epochs, size)
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

// model is the ledger and table of one epoch as they must be: what a map can say.
type model struct {
	state map[uint64]string // committed, quarantined, lost
	rows  map[uint64]int
}

func (m *model) apply(e store.Entry) {
	s := m.state[e.Position]
	if s == "committed" || s == "quarantined" {
		return
	}
	switch {
	case e.Poison != nil:
		m.state[e.Position] = "quarantined"
	case e.Loss != nil:
		m.state[e.Position] = "committed"
		for p := e.Loss.From; p < e.Loss.To; p++ {
			if m.state[p] == "" {
				m.state[p] = "lost"
			}
		}
	default:
		m.state[e.Position] = "committed"
		m.rows[e.Position] = e.Record.Len()
	}
}

func (m *model) set(state string) string {
	var s ranges.Set
	for p, v := range m.state {
		if v == state {
			s.Add(p, p+1)
		}
	}
	return "{" + strings.ReplaceAll(s.String(), ")[", "),[") + "}"
}

// commitAgain repeats a batch until it is stored, as intake does.
func (f *fixture) commitAgain(b []store.Entry) {
	f.tb.Helper()
	for range 20 {
		_, err := f.s.Commit(f.tb.Context(), f.lease, b)
		if err == nil {
			return
		}
		if !store.IsRetry(err) {
			f.tb.Fatal(err)
		}
	}
	f.tb.Fatal("the batch was not stored in 20 tries")
}

// TestAgainstModel gives random batches, with repeats, losses, poison, lost leases,
// ended backends and stores that forget everything, and compares with the model.
func TestAgainstModel(t *testing.T) {
	f := setUp(t)
	for seed := range uint64(4) {
		r := rand.New(rand.NewPCG(seed, 1))
		e := epoch(byte(10 + seed))
		m := &model{state: map[uint64]string{}, rows: map[uint64]int{}}
		random := func() store.Entry {
			p := r.Uint64N(60)
			switch r.IntN(10) {
			case 0:
				return poison(e, p)
			case 1:
				from := r.Uint64N(60)
				return loss(e, p, e, from, from+1+r.Uint64N(10))
			}
			return entry(e, p, 1+r.IntN(4))
		}
		for step := range 60 {
			var b []store.Entry
			for range 1 + r.IntN(12) {
				b = append(b, random())
			}
			switch r.IntN(12) {
			case 0:
				f.s = f.open()
			case 1:
				if _, err := f.s.Commit(t.Context(), store.Lease{Name: "intake", Token: 99}, b); !errors.Is(err, store.ErrLeaseLost) {
					t.Fatal(err)
				}
				continue
			case 2:
				var wg sync.WaitGroup
				wg.Go(func() {
					lines(t, f.dsn, `SELECT pg_terminate_backend(pid) FROM pg_stat_activity
 WHERE datname = current_database() AND application_name = 'andon'`)
				})
				for range 1 + r.IntN(3) {
					if _, err := f.s.Commit(t.Context(), f.lease, b); err != nil && !store.IsRetry(err) {
						t.Fatal(err)
					}
				}
				wg.Wait()
			}
			f.commitAgain(b)
			for _, x := range b {
				m.apply(x)
			}
			l := f.ledger(e)
			want := m.set("committed") + "|" + m.set("lost") + "|" + m.set("quarantined")
			if got := l[:strings.LastIndexByte(l, '|')]; got != want {
				t.Fatalf("seed %d, step %d: ledger %s, want %s", seed, step, got, want)
			}
		}
		var want []string
		for p, n := range m.rows {
			for row := range n {
				want = append(want, fmt.Sprintf("%d|%d", p, row))
			}
		}
		got := lines(t, f.dsn, `SELECT position, row_no FROM reading_mixed JOIN epoch USING (epoch_key) WHERE epoch_id = $1`, e.String())
		slices.Sort(want)
		slices.Sort(got)
		if !slices.Equal(got, want) {
			t.Fatalf("seed %d: stored %v, want %v", seed, got, want)
		}
	}
	if got := one(t, f.dsn, `SELECT readings = (SELECT count(*) FROM reading_mixed) FROM unit_run`); got != "t" {
		t.Error("the run's count is not that of its readings")
	}
}
