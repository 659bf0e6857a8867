package store_test

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"andon.internal/collector/store"
)

func TestHealth(t *testing.T) {
	f := setUp(t)
	look := func() store.Health {
		t.Helper()
		h, err := f.s.Health(t.Context(), time.Hour)
		if err != nil {
			t.Fatal(err)
		}
		return h
	}
	h := look()
	if len(h.Leases) != 1 || h.Leases[0].Name != f.lease.Name || h.Leases[0].Holder != f.lease.Holder ||
		h.Leases[0].Left <= 0 || h.Leases[0].Left > time.Hour {
		t.Errorf("leases %+v", h.Leases)
	}
	if len(h.Nodes)+len(h.Lost)+len(h.Quarantined) > 0 {
		t.Errorf("an empty plant has %+v", h)
	}

	// Positions 0, 1 and 5 are stored, 3 is quarantined, and the birth of the next
	// epoch holds 6 to 8: 2, 4 and 9 are lost, but 4 comes after all.
	e1, e2 := epoch(1), epoch(2)
	f.sync(store.ChainEpoch{Epoch: e1})
	f.commit(entry(e1, 0, 10), entry(e1, 1, 10), poison(e1, 3), entry(e1, 5, 10))
	if n := look().Nodes[0]; n.Outstanding != 2 || n.Unaccounted != 0 {
		t.Errorf("before the loss: %+v", n)
	}
	f.sync(store.ChainEpoch{Epoch: e1, End: store.EndClosed, Next: 10, Held: set(6, 9)}, store.ChainEpoch{Epoch: e2, Prev: e1})
	f.commit(entry(e1, 4, 10))
	h = look()
	if n := h.Nodes[0]; n.Group != node.Group || n.Node != node.ID || n.Born.IsZero() || !n.Doubted.IsZero() ||
		n.Newest.IsZero() || n.Outstanding != 3 || n.Unaccounted != 0 {
		t.Errorf("nodes %+v", h.Nodes)
	}
	lost := fmt.Sprint(h.Lost)
	if want := fmt.Sprintf("[{%s %s crash 2}]", node.Group, node.ID); lost != want {
		t.Errorf("lost %s, want %s", lost, want)
	}
	if len(h.Quarantined) != 1 || h.Quarantined[0].Count != 1 || h.Quarantined[0].Reason == "" {
		t.Errorf("quarantined %+v", h.Quarantined)
	}

	// What is older than the window is left out; holes of a closed epoch are not.
	exec(t, f.dsn, `UPDATE loss SET noted_at = now() - interval '2 hours'`, `UPDATE quarantine SET noted_at = now() - interval '2 hours'`,
		`UPDATE epoch SET closed_at = now() WHERE epoch_id = '`+e1.String()+`'`,
		`UPDATE node SET doubted_at = now()`, `UPDATE lease SET expires_at = now() - interval '1 minute'`)
	h = look()
	if len(h.Lost)+len(h.Quarantined) > 0 {
		t.Errorf("outside the window: %+v, %+v", h.Lost, h.Quarantined)
	}
	if n := h.Nodes[0]; n.Outstanding != 0 || n.Unaccounted != 3 || n.Doubted.IsZero() {
		t.Errorf("after the end: %+v", n)
	}
	if left := h.Leases[0].Left; left > -time.Minute || left < -2*time.Minute {
		t.Errorf("an expired lease has %v left", left)
	}

	// Nor is what is stored after all.
	exec(t, f.dsn, `UPDATE quarantine SET noted_at = now()`)
	for _, want := range []int{1, 0} {
		if h := look(); len(h.Quarantined) != want {
			t.Errorf("quarantined %+v, want %d", h.Quarantined, want)
		}
		f.commit(entry(e1, 3, 10))
	}
}

func TestHealthCountsDaysAhead(t *testing.T) {
	f := setUp(t, func(c *store.Config) { c.Now = time.Now }) // the database's clock is the real one
	ahead := func() int {
		t.Helper()
		h, err := f.s.Health(t.Context(), time.Hour)
		if err != nil || len(h.Ahead) != 1 || h.Ahead[0].Profile != "mixed" {
			t.Fatalf("%+v, %v", h, err)
		}
		return h.Ahead[0].Days
	}
	if got := ahead(); got < 6 || got > 7 { // at midnight
		t.Errorf("%d days after a migration, want 7", got)
	}
	tables := lines(t, f.dsn, `SELECT relname FROM pg_class WHERE relname LIKE 'reading_mixed_p%' AND relkind = 'r' ORDER BY 1`)
	// The tables are of yesterday, today and the days ahead; the fourth ahead goes.
	if len(tables) < 6 || !slices.IsSorted(tables) {
		t.Fatalf("partitions %v", tables)
	}
	exec(t, f.dsn, `DROP TABLE `+tables[5])
	if got := ahead(); got < 2 || got > 3 {
		t.Errorf("%d days before a gap, want 3", got)
	}
}

func TestHealthOfAnEmptyDatabase(t *testing.T) {
	f := &fixture{tb: t, dsn: newDatabase(t)}
	_, err := f.open().Health(t.Context(), time.Hour)
	var retry *store.RetryError
	if !errors.As(err, &retry) || !strings.Contains(err.Error(), "andon-collector migrate") {
		t.Errorf("error %v, want a hint at the migration", err)
	}
}
