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
	for end := time.Now().Add(10 * time.Second); updates < least && time.Now().Before(end); time.Sleep(20 * time.Millisecond) {
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

// size is how many ranges an epoch's ledger has: committed, lost, quarantined.
func (f *fixture) size(e telemetry.Epoch) (committed, lost, quarantined int) {
	f.tb.Helper()
	got := one(f.tb, f.dsn, `SELECT (SELECT count(*) FROM unnest(committed)), (SELECT count(*) FROM unnest(lost)),
 (SELECT count(*) FROM unnest(quarantined)) FROM ledger JOIN epoch USING (epoch_key) WHERE epoch_id = $1`, e.String())
	if _, err := fmt.Sscanf(got, "%d|%d|%d", &committed, &lost, &quarantined); err != nil {
		f.tb.Fatal(err)
	}
	return committed, lost, quarantined
}

// audit is the account of an epoch.
func (f *fixture) audit(e telemetry.Epoch) store.EpochAudit {
	f.tb.Helper()
	a, err := f.s.Audit(f.tb.Context(), store.AuditFilter{})
	if err != nil {
		f.tb.Fatal(err)
	}
	for _, got := range a.Epochs {
		if got.Epoch == e {
			return got
		}
	}
	f.tb.Fatalf("no audit of %s", e)
	return store.EpochAudit{}
}

// TestQuarantineBetweenReadings: a unit whose profile nobody installed takes turns with
// one that is stored. The ledger stays small and its updates heap-only, and yet all that
// came is settled, recognised when it comes again, and told for what it is.
func TestQuarantineBetweenReadings(t *testing.T) {
	const positions, batch, holes = 20_000, 500, 256
	f := setUp(t, func(c *store.Config) { c.MaxHoles = holes })
	e := epoch(1)
	at := func(p uint64) store.Entry {
		if p%2 == 0 {
			return entry(e, p, 1)
		}
		return with(entry(e, p, 1), func(_ *store.Entry, r *telemetry.Record) {
			r.Unit, r.Profile = "press-2", &telemetry.Profile{Name: "unheard", Version: 1, Signals: mixed().Signals}
		})
	}
	f.sync(store.ChainEpoch{Epoch: e})
	for from := uint64(0); from < positions; from += batch {
		var b []store.Entry
		for p := from; p < from+batch; p++ {
			b = append(b, at(p))
		}
		f.commit(b...)
		if c, _, q := f.size(e); c+q > holes+1 {
			t.Fatalf("after %d positions the ledger has %d ranges committed and %d quarantined", from+batch, c, q)
		}
	}
	var took []time.Duration
	for p := uint64(positions); p < positions+20; p++ {
		begin := time.Now()
		f.commit(at(p))
		took = append(took, time.Since(begin))
	}
	slices.Sort(took)
	t.Logf("a commit of one position after %d took %v, at most %v", positions, took[10], took[19])
	if took[10] > 100*time.Millisecond {
		t.Errorf("a commit of one position takes %v", took[10])
	}
	const all = positions + 20
	tell := func(repeats uint64) {
		t.Helper()
		a := f.audit(e)
		if a.Expected != all || a.Committed != all/2 || a.Quarantined != all/2 || a.Lost != 0 || a.Repeats != repeats || !a.Holes.Empty() {
			t.Errorf("audit %+v", a)
		}
		if got := one(t, f.dsn, `SELECT count(*), (SELECT count(*) FROM quarantine WHERE position % 2 = 1 AND row_no = -1),
 (SELECT count(*) FROM quarantine) FROM reading_mixed`); got != fmt.Sprintf("%d|%d|%d", all/2, all/2, all/2) {
			t.Errorf("stored and in quarantine: %s", got)
		}
	}
	tell(0)
	if got := f.commit(at(0), at(1), at(all/2), at(all/2+1), at(all-2), at(all-1)); strings.Trim(got, "duplicate ") != "" {
		t.Errorf("when they came again: %s", got)
	}
	tell(6)
	s, err := f.s.Sync(t.Context(), f.lease, store.Birth{Node: node, Chain: []store.ChainEpoch{
		{Epoch: e, End: store.EndClosed, Next: all}, {Epoch: epoch(2), Prev: e},
	}})
	if got := s.Stored[e]; err != nil || s.Lost != 0 || got.String() != fmt.Sprintf("[0,%d)", all) {
		t.Errorf("a birth is told %s and %d lost, %v", got, s.Lost, err)
	}
	tell(6)
	// What was quarantined stays so: a loss of it is no news, and neither are readings.
	f.commit(loss(epoch(2), 0, e, 0, all), entry(e, 1, 1))
	tell(7)
	f.heapOnly("ledger", positions/batch+20)
}

// TestLossBetweenReadings: losses take turns with what is stored. They are never folded;
// what would open yet another range is deferred.
func TestLossBetweenReadings(t *testing.T) {
	const holes, most = 64, 4 * 64
	f := setUp(t, func(c *store.Config) { c.MaxHoles = holes })
	e, lost, deferred := epoch(1), 0, 0
	for p := uint64(0); p < 2000 && deferred == 0; p += 2 { // loss p says that p+1 will not come
		if got := f.commit(loss(e, p, e, p+1, p+2), poison(epoch(2), p/2)); got == "committed quarantined" {
			lost++
		} else {
			deferred++
		}
	}
	c, l, q := f.size(e)
	if c+l+q > most || c+l+q < most-2 || l != lost || deferred != 1 {
		t.Fatalf("%d losses: %d ranges committed, %d lost, %d quarantined; %d deferred", lost, c, l, q, deferred)
	}
	next := uint64(2 * lost)
	if a := f.audit(e); a.Lost != uint64(lost) || a.Committed != uint64(lost) || a.Quarantined != 0 {
		t.Errorf("audit %+v", a)
	}
	// A loss elsewhere that adds a range is deferred too; one that adds none is not, nor
	// what comes after all, nor what is stored beside something stored.
	for _, tt := range []struct {
		e    store.Entry
		want string
	}{
		{loss(epoch(2), 5000, e, next+7, next+8), "deferred"},
		{loss(epoch(2), 5000, e, next+1, next+3), "deferred"},
		{loss(epoch(2), 5000, e, next-1, next+1), "committed"},
		{entry(e, 1, 1), "committed"},
		{poison(e, 3), "quarantined"},
		{entry(e, next+1, 1), "committed"}, // the two above made room
		{entry(e, next+2, 1), "committed"},
		{entry(e, 1, 1), "duplicate"},
		{poison(e, 3), "duplicate"},
	} {
		if got := f.commit(tt.e); got != tt.want {
			t.Errorf("position %d: %s, want %s", tt.e.Position, got, tt.want)
		}
	}
	if a := f.audit(e); a.Quarantined != 1 || a.Lost != uint64(lost)-1 || !a.Holes.Empty() {
		t.Errorf("audit %+v", a)
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
			for i, o := range strings.Fields(f.commit(b...)) {
				switch before := m.state[b[i].Position]; {
				case (before == "committed" || before == "quarantined") != (o == "duplicate"):
					t.Fatalf("seed %d, step %d: position %d was %q and is %s", seed, step, b[i].Position, before, o)
				case o != "deferred":
					m.apply(b[i])
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
