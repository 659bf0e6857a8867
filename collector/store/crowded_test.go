package store_test

import (
	"fmt"
	"strings"
	"testing"

	"andon.internal/collector/store"
	"andon.internal/shared/telemetry"
)

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
	for p := uint64(positions); p < positions+20; p++ {
		f.commit(at(p))
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
	f.commit(loss(epoch(2), 0, e, 0, all)) // which is no news
	tell(6)
	// What comes in a form that can be stored is stored; what is so already is not.
	if got := f.commit(entry(e, 0, 1), entry(e, 1, 1), at(3), entry(e, 1, 1)); got != "duplicate committed duplicate duplicate" {
		t.Errorf("in a form that can be stored: %s", got)
	}
	if a := f.audit(e); a.Committed != all/2+1 || a.Quarantined != all/2-1 || a.Repeats != 10 {
		t.Errorf("audit %+v", a)
	}
	if got := one(t, f.dsn, `SELECT count(*), (SELECT count(*) FROM quarantine) FROM reading_mixed`); got != fmt.Sprintf("%d|%d", all/2+1, all/2-1) {
		t.Errorf("stored and in quarantine: %s", got)
	}
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

// TestRecoveryInAFullLedger: what is quarantined has its place in the ledger, and needs
// no further one when it is stored after all.
func TestRecoveryInAFullLedger(t *testing.T) {
	f := setUp(t, func(c *store.Config) { c.MaxHoles = 2 })
	e := epoch(1)
	f.commit(poison(e, 0))
	for n := range uint64(7) {
		f.commit(loss(epoch(2), n, e, 2+2*n, 3+2*n))
	}
	if got := f.commit(entry(e, 20, 1), poison(e, 0), entry(e, 0, 1)); got != "deferred duplicate committed" {
		t.Error(got)
	}
	if got := f.ledger(e); got != "{[0,1)}|{[2,3),[4,5),[6,7),[8,9),[10,11),[12,13),[14,15)}|{}|2" {
		t.Error(got)
	}
}
