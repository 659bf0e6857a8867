package lab_test

import (
	"testing"

	"github.com/jackc/pgx/v5"

	"andon.internal/lab/checker"
	"andon.internal/lab/cmapss"
	"andon.internal/shared/telemetry"
)

// TestCheckerTellsTold is the negative control of losses: readings that were declared safe are
// taken away, and told as lost or not; the checker must believe exactly what is told,
// for a reason that is allowed, and no more.
func TestCheckerTellsTold(t *testing.T) {
	if testing.Short() {
		t.Skip("starts a factory")
	}
	t.Parallel()
	dsn, declared := replayed(t)
	conn := connect(t, dsn)
	safe := places(t, conn)
	check := func(t *testing.T, may checker.Excuses) (*checker.Safe, *checker.Report) {
		t.Helper()
		s, err := checker.CheckSafe(t.Context(), conn, "turbofan", declared.Signals, safe, may)
		if err != nil {
			t.Fatal(err)
		}
		r, err := checker.Check(t.Context(), dsn, declared)
		if err != nil {
			t.Fatal(err)
		}
		return s, r
	}
	overflow := checker.Excuses{Lost: func(reason string, _ checker.Place) bool { return reason == "overflow" }}
	if s, r := check(t, overflow); !s.OK() || s.Stored != 120 || !r.OK() {
		t.Fatalf("before any change: %+v %+v", s, r)
	}
	save(t, conn)
	// A position of the first epoch with all its rows, and how many these are.
	const at = `(select min(position) from reading_turbofan)`
	var rows int
	if err := conn.QueryRow(t.Context(), `select count(*) from reading_turbofan where position = `+at).Scan(&rows); err != nil {
		t.Fatal(err)
	}
	const (
		gone    = `create temp table at as select ` + at + ` as p; delete from reading_turbofan where position = (select p from at); `
		lost    = `update ledger set committed = committed - int8multirange(int8range(p, p + 1)), lost = int8multirange(int8range(p, p + 1)) from at; `
		told    = `insert into loss (epoch_key, positions, reason) select epoch_key, int8multirange(int8range(p, p + 1)), 'overflow' from ledger, at; `
		another = `insert into loss (epoch_key, positions, reason) select epoch_key, int8multirange(int8range(p + 1, p + 2)), 'overflow' from ledger, at; `
		crash   = `insert into loss (epoch_key, positions, reason) select epoch_key, int8multirange(int8range(p, p + 1)), 'crash' from ledger, at; `
	)
	for _, c := range []struct {
		name, sql string
		missing   int
		told      int
		ledger    func(*checker.Ledger) bool
	}{
		{"gone and told", gone + lost + told, 0, rows, func(l *checker.Ledger) bool { return l.Lost == 1 && l.Untold == 0 }},
		{"gone and untold", gone, rows, 0, func(l *checker.Ledger) bool { return l.Lost == 0 }},
		{"lost in the ledger, and untold", gone + lost, rows, 0, func(l *checker.Ledger) bool { return l.Untold == 1 }},
		{"its neighbour is told", gone + lost + another, rows, 0, func(l *checker.Ledger) bool { return l.Untold == 1 }},
		{"told for a reason that no fault explains", gone + lost + crash, rows, 0, func(l *checker.Ledger) bool { return l.Untold == 0 }},
		{"told, and committed after all", gone + told, rows, 0, func(l *checker.Ledger) bool { return l.Lost == 0 }},
		{"told, and in the table", `create temp table at as select ` + at + ` as p; ` + lost + told, 0, 0, func(l *checker.Ledger) bool { return l.Unledgered == 1 }},
		{"neither committed nor lost, of a closed epoch", gone + `update ledger set committed = committed - int8multirange(int8range(p, p + 1)) from at;
			update epoch set closed_at = now()`, rows, 0, func(l *checker.Ledger) bool { return l.Silent == 1 }},
	} {
		t.Run(c.name, func(t *testing.T) {
			defer func() { restore(t, conn); mustExec(t, conn, `drop table at; update epoch set closed_at = null`) }()
			mustExec(t, conn, c.sql)
			s, r := check(t, overflow)
			if s.Missing != c.missing || s.Told != c.told || !c.ledger(&r.Ledger) {
				t.Errorf("missing %d, told %d, want %d and %d; ledger %+v", s.Missing, s.Told, c.missing, c.told, r.Ledger)
			}
		})
	}
}

// places declares safe what is stored, by its names.
func places(t *testing.T, conn *pgx.Conn) map[checker.Place]checker.Reading {
	t.Helper()
	rows, err := conn.Query(t.Context(), `select e.epoch_id, r.position, r.row_no, (extract(epoch from r.ts) * 1000000)::bigint, `+columns()+`
		from reading_turbofan r join epoch e using (epoch_key)`)
	if err != nil {
		t.Fatal(err)
	}
	out := map[checker.Place]checker.Reading{}
	var id string
	var at checker.Place
	var reading checker.Reading
	values := make([]float64, len(cmapss.Columns))
	into := []any{&id, &at.Position, &at.Row, &reading.Time}
	for i := range values {
		into = append(into, &values[i])
	}
	if _, err := pgx.ForEachRow(rows, into, func() (err error) {
		at.Epoch, err = telemetry.ParseEpoch(id)
		reading.Values = nil
		for _, v := range values {
			reading.Values = append(reading.Values, telemetry.DoubleValue(v))
		}
		out[at] = reading
		return err
	}); err != nil {
		t.Fatal(err)
	}
	return out
}
