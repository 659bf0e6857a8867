package store_test

import (
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"

	"andon.internal/collector/store"
	"andon.internal/shared/ranges"
)

// model is the ledger and table of one epoch as they must be: what a map can say.
type model struct {
	state map[uint64]string // committed, quarantined, lost
	rows  map[uint64]int
}

func (m *model) apply(e store.Entry) {
	switch s := m.state[e.Position]; {
	case s == "committed", e.Poison != nil && s == "quarantined":
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

// TestFoldedLedgerAgainstModel gives random batches to a ledger that folds all the time.
func TestFoldedLedgerAgainstModel(t *testing.T) {
	f := setUp(t, func(c *store.Config) { c.MaxHoles = 6 })
	folds := 0
	for seed := range uint64(3) {
		r := rand.New(rand.NewPCG(seed, 2))
		e := epoch(byte(10 + seed))
		m := &model{state: map[uint64]string{}, rows: map[uint64]int{}}
		for step := range 30 {
			var b []store.Entry
			for range 1 + r.IntN(12) {
				p := r.Uint64N(uint64(4 + 3*step))
				switch r.IntN(6) {
				case 0, 1:
					b = append(b, poison(e, p))
				case 2:
					from := r.Uint64N(60)
					b = append(b, loss(e, p, e, from, from+1+r.Uint64N(10)))
				default:
					b = append(b, entry(e, p, 1))
				}
			}
			before := maps.Clone(m.state)
			got := strings.Fields(f.commit(b...))
			for i, o := range got {
				if o != "deferred" {
					m.apply(b[i])
				}
			}
			for i, o := range got { // of the entries of a position, one has it
				p := b[i].Position
				if o != "deferred" && o != "duplicate" && (m.state[p] != o || before[p] == o) {
					t.Fatalf("seed %d, step %d: position %d was %q, is %q, and an entry is %s", seed, step, p, before[p], m.state[p], o)
				}
			}
			parts := strings.Split(f.ledger(e), "|")
			both := one(t, f.dsn, `SELECT $1::int8multirange + $2::int8multirange`, m.set("committed"), m.set("quarantined"))
			if got := one(t, f.dsn, `SELECT $1::int8multirange + $2::int8multirange`, parts[0], parts[2]); got != both || parts[1] != m.set("lost") {
				t.Fatalf("seed %d, step %d: ledger %v, want %s settled, %s lost", seed, step, parts, both, m.set("lost"))
			}
			if parts[2] != m.set("quarantined") {
				folds++
			}
			aside := one(t, f.dsn, `SELECT coalesce(range_agg(int8range(position, position + 1)), '{}') FROM quarantine
 JOIN epoch USING (epoch_key) WHERE epoch_id = $1`, e.String())
			if aside != m.set("quarantined") {
				t.Fatalf("seed %d, step %d: in quarantine %s, want %s", seed, step, aside, m.set("quarantined"))
			}
			count := map[string]uint64{}
			for _, s := range m.state {
				count[s]++
			}
			if a := f.audit(e); a.Committed != count["committed"] || a.Quarantined != count["quarantined"] || a.Lost != count["lost"] {
				t.Fatalf("seed %d, step %d: audit %+v, want %v", seed, step, a, count)
			}
		}
	}
	if folds == 0 {
		t.Error("nothing was folded")
	}
}
