package store_test

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"andon.internal/collector/store"
	"andon.internal/shared/telemetry"
)

// plausible makes PostgreSQL refuse the records that implausible makes.
const plausible = `ALTER TABLE reading_mixed ADD CONSTRAINT plausible CHECK (a < 100)`

func implausible(e telemetry.Epoch, position uint64, rows int) store.Entry {
	return with(entry(e, position, rows), func(_ *store.Entry, r *telemetry.Record) {
		r.Values = slices.Clone(r.Values)
		r.Values[0] = telemetry.DoubleValue(5000)
	})
}

// orders returns every order of some of the items, of at least one of them.
func orders(items []string) (out [][]string) {
	for i, first := range items {
		out = append(out, []string{first})
		for _, rest := range orders(slices.Delete(slices.Clone(items), i, i+1)) {
			out = append(out, append([]string{first}, rest...))
		}
	}
	return out
}

// arrivals brings what is named to position 5, in batches that end at each bit of cuts.
func arrivals(e telemetry.Epoch, order []string, cuts int) (batches [][]store.Entry) {
	teller := e
	teller[0]++
	var batch []store.Entry
	for i, what := range order {
		batch = append(batch, map[string]store.Entry{
			"good": entry(e, 5, 2), "poison": poison(e, 5), "refused": implausible(e, 5, 1), "lost": loss(teller, 0, e, 5, 6),
		}[what])
		if cuts>>i&1 == 1 || i == len(order)-1 {
			batches = append(batches, batch)
			batch = nil
		}
	}
	return batches
}

// repeats is how many of these come to a position that is settled already.
func repeats(order []string) int {
	n := len(order) - 1
	if slices.Contains(order, "lost") { // which is told under another position
		n--
	}
	return max(n, 0)
}

// found is what there is of position 5 of every epoch, and in sum of the epoch.
func (f *fixture) found() map[string]string {
	f.tb.Helper()
	tables := map[string]string{}
	for _, line := range lines(f.tb, f.dsn, `SELECT epoch_id,
 (SELECT count(*) FROM reading_mixed WHERE (epoch_key, position) = (e.epoch_key, 5)) || ' rows, ' ||
 (SELECT count(*) FROM quarantine WHERE (epoch_key, position) = (e.epoch_key, 5)) || ' aside' FROM epoch e`) {
		id, text, _ := strings.Cut(line, "|")
		tables[id] = text
	}
	all, err := f.s.Audit(f.tb.Context(), store.AuditFilter{})
	if err != nil {
		f.tb.Fatal(err)
	}
	out := map[string]string{}
	for _, a := range all.Epochs {
		id := a.Epoch.String()
		out[id] = fmt.Sprintf("%s; %d committed, %d quarantined, %d repeats, lost %s, holes %s",
			tables[id], a.Committed, a.Quarantined, a.Repeats, a.Losses, a.Holes)
	}
	return out
}

// TestLattice: whatever comes for a position, in whatever order and in however many
// batches, the best of it is what is there in the end, and nothing else.
func TestLattice(t *testing.T) {
	for _, tt := range []struct {
		name               string
		holes              int
		good, poison, lost string // what there is, by the best of what came
	}{
		{
			"plain", 0,
			"2 rows, 0 aside; 1 committed, 0 quarantined, %d repeats, lost , holes [0,5)",
			"0 rows, 1 aside; 0 committed, 1 quarantined, %d repeats, lost , holes [0,5)",
			"0 rows, 0 aside; 0 committed, 0 quarantined, %d repeats, lost [5,6), holes [0,5)",
		},
		{
			"folded", 4,
			"2 rows, 0 aside; 6 committed, 0 quarantined, %d repeats, lost [3,4)[7,8)[9,10), holes [0,2)",
			"0 rows, 1 aside; 5 committed, 1 quarantined, %d repeats, lost [3,4)[7,8)[9,10), holes [0,2)",
			"0 rows, 0 aside; 5 committed, 0 quarantined, %d repeats, lost [3,4)[5,6)[7,8)[9,10), holes [0,2)",
		},
	} {
		f := setUp(t, func(c *store.Config) { c.MaxHoles = tt.holes })
		exec(t, f.dsn, plausible)
		want, how := map[string]string{}, map[string]string{}
		for group, kinds := range [][]string{{"good", "poison", "lost"}, {"good", "poison", "refused", "lost"}} {
			var rounds [5][]store.Entry // the batches of all orders, each in an epoch of its own
			for n, order := range orders(kinds) {
				best := tt.lost
				switch {
				case slices.Contains(order, "good"):
					best = tt.good
				case slices.Contains(order, "poison"), slices.Contains(order, "refused"):
					best = tt.poison
				}
				for cuts := range 1 << (len(order) - 1) {
					e := telemetry.Epoch{3, 13: byte(group), 14: byte(n), 15: byte(cuts)}
					if tt.holes > 0 { // lost and stored take turns: many ranges, and no hole but 5
						rounds[0] = append(rounds[0], entry(e, 2, 1), loss(e, 4, e, 3, 4), loss(e, 6, e, 7, 8), loss(e, 8, e, 9, 10), entry(e, 10, 1))
					}
					for i, batch := range arrivals(e, order, cuts) {
						rounds[1+i] = append(rounds[1+i], batch...)
					}
					want[e.String()] = fmt.Sprintf(best, repeats(order))
					how[e.String()] = fmt.Sprintf("%s: %v, cut as %b", tt.name, order, cuts)
				}
			}
			for _, batch := range rounds {
				f.commit(batch...)
			}
		}
		got := f.found()
		for e, want := range want {
			if got[e] != want {
				t.Errorf("%s:\n%s, want\n%s", how[e], got[e], want)
			}
		}
		if got := one(t, f.dsn, `SELECT readings - (SELECT count(*) FROM reading_mixed) FROM unit_run`); got != "0" {
			t.Errorf("%s: the run counts %s readings too many", tt.name, got)
		}
		if got := one(t, f.dsn, `SELECT count(*) FROM ledger WHERE folded`); (got == "0") != (tt.holes == 0) {
			t.Errorf("%s: %s ledgers are folded", tt.name, got)
		}
	}
}

// TestRecovery: what was quarantined comes again in a form that can be stored.
func TestRecovery(t *testing.T) {
	e, e2 := epoch(1), epoch(2)
	unheard := with(entry(e, 0, 2), func(_ *store.Entry, r *telemetry.Record) {
		p := *r.Profile
		p.Name = "unheard"
		r.Profile = &p
	})
	end := func(x store.Entry) store.Entry {
		return with(x, func(_ *store.Entry, r *telemetry.Record) { r.End = &telemetry.End{Time: at(9, 0), Reason: "finished"} })
	}
	future := with(entry(e, 0, 2), func(_ *store.Entry, r *telemetry.Record) {
		r.Times = []int64{r.Times[0], now.AddDate(0, 0, 3).UnixNano()}
	})
	const kept = `SELECT coalesce(string_agg(position || '/' || row_no, ' '), 'none') FROM quarantine`
	for _, tt := range []struct {
		name        string
		first, then store.Entry
		outcome     string
		counts      store.NodeCounts
		kept        string // in quarantine
		also        string // a query
		want        string
	}{
		{
			"a damaged message, then the record", poison(e, 0), end(entry(e, 0, 2)),
			"committed",
			store.NodeCounts{Rows: 2, Records: 1, Recovered: 1},
			"none",
			`SELECT readings, expected, reason FROM unit_run`, "2|2|finished",
		},
		{
			"a profile that was installed meanwhile", unheard, unheard,
			"committed",
			store.NodeCounts{Rows: 2, Records: 1, Recovered: 1},
			"none",
			`SELECT count(*) FROM reading_unheard`, "2",
		},
		{
			"the end of a run", poison(e, 0), end(entry(e, 0, 0)),
			"committed",
			store.NodeCounts{Records: 1, Recovered: 1},
			"none",
			`SELECT readings, reason FROM unit_run`, "0|finished",
		},
		{
			"a loss", loss(e, 0, e2, 4, 4), loss(e, 0, e2, 3, 5),
			"committed",
			store.NodeCounts{Records: 1, Recovered: 1},
			"none",
			`SELECT positions, told_position, (SELECT lost FROM ledger JOIN epoch USING (epoch_key) WHERE epoch_id LIKE '%2') FROM loss`,
			"{[3,5)}|0|{[3,5)}",
		},
		{
			"a record of which a row cannot be stored", poison(e, 0), future,
			"committed",
			store.NodeCounts{Rows: 1, Records: 1, Recovered: 1, Quarantined: 1},
			"0/1",
			`SELECT readings, expected FROM unit_run`, "1|2",
		},
		{
			"only a row of it was quarantined", future, entry(e, 0, 2),
			"duplicate",
			store.NodeCounts{Duplicates: 1},
			"0/1",
			`SELECT readings, expected FROM unit_run`, "1|2",
		},
		{
			"it still cannot be stored", poison(e, 0), loss(e, 0, e2, 4, 4),
			"duplicate",
			store.NodeCounts{Duplicates: 1},
			"0/-1", `SELECT count(*) FROM loss`, "0",
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			f := setUp(t)
			f.commit(tt.first)
			p := *mixed()
			p.Name = "unheard"
			f.s = f.open(func(c *store.Config) { c.Profiles = append(c.Profiles, &p) })
			if err := f.s.Migrate(t.Context()); err != nil {
				t.Fatal(err)
			}
			r, err := f.s.Commit(t.Context(), f.lease, []store.Entry{tt.then})
			if err != nil || outcomes(r) != tt.outcome || r.Nodes[node] != tt.counts {
				t.Errorf("%s, %+v, %v", outcomes(r), r.Nodes[node], err)
			}
			if got := one(t, f.dsn, kept); got != tt.kept {
				t.Errorf("in quarantine: %s, want %s", got, tt.kept)
			}
			if got := one(t, f.dsn, tt.also); got != tt.want {
				t.Errorf("%s: %s, want %s", tt.also, got, tt.want)
			}
			if got := f.commit(tt.then, tt.first); strings.Trim(got, "duplicate ") != "" {
				t.Errorf("when both come again: %s", got)
			}
		})
	}
}

// TestFoldedBeforeTheMigration: the positions that an older program folded are known too.
func TestFoldedBeforeTheMigration(t *testing.T) {
	f := setUp(t, func(c *store.Config) { c.MaxHoles = 4 })
	e, e2 := epoch(1), epoch(2)
	f.commit(entry(e, 0, 1), poison(e, 1), entry(e, 2, 1), poison(e, 3), entry(e, 4, 1), poison(e2, 0))
	f.commit(entry(e, 5, 1))
	if got := f.ledger(e); got != "{[0,6)}|{}|{}|0" {
		t.Fatalf("the ledger is not folded: %s", got)
	}
	exec(t, f.dsn, `ALTER TABLE ledger DROP COLUMN folded`, migration(t, "00003_folded.sql"))
	if got := lines(t, f.dsn, `SELECT right(epoch_id, 1), folded FROM ledger JOIN epoch USING (epoch_key) ORDER BY 1`); !slices.Equal(got, []string{"1|t", "2|f"}) {
		t.Errorf("folded: %v", got)
	}
	if got := f.commit(entry(e, 1, 1), entry(e, 2, 1), poison(e, 3)); got != "committed duplicate duplicate" {
		t.Error(got)
	}
}

// migration is the text of one that was applied, for a table as it was before.
func migration(t *testing.T, name string) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("migrations", name))
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}
