package lab_test

import (
	"context"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"andon.internal/lab/checker"
	"andon.internal/lab/cmapss"
	"andon.internal/lab/factory"
	"andon.internal/lab/verify"
)

// TestCheckerCatches is the negative control of every proof: what is stored is
// changed by hand, and the checker must say what was done.
func TestCheckerCatches(t *testing.T) {
	if testing.Short() {
		t.Skip("starts a factory")
	}
	t.Parallel()
	dsn, declared := replayed(t)
	check := func(t *testing.T) *checker.Report {
		t.Helper()
		r, err := checker.Check(t.Context(), dsn, declared)
		if err != nil {
			t.Fatal(err)
		}
		return r
	}
	if r := check(t); !r.OK() || r.Stored != 120 {
		t.Fatalf("before any change: %+v", r)
	}
	conn := connect(t, dsn)
	save(t, conn)
	for _, c := range controls {
		t.Run(c.name, func(t *testing.T) {
			defer restore(t, conn)
			if _, err := conn.Exec(t.Context(), c.sql); err != nil {
				t.Fatal(err)
			}
			r := check(t)
			if r.OK() || !c.caught(r) {
				t.Errorf("not caught: %+v", r)
			}
		})
	}
	if r := check(t); !r.OK() {
		t.Errorf("after all changes were undone: %+v", r)
	}
}

func connect(t *testing.T, dsn string) *pgx.Conn {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), dsn)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close(context.Background()) })
	return conn
}

// replayed sends three engines through a factory in which then nothing writes any
// more. It returns the database, which lives until the end of the test, and what
// should be in it.
func replayed(t *testing.T) (dsn string, d checker.Declared) {
	t.Helper()
	dir := place(t)
	path := engines(t, dir, cmapss.Spec{Seed: 5, Engines: 3, Cycles: 40, Exact: true}, nil)
	data := filepath.Join(dir, "lab")
	if err := os.Mkdir(data, 0o755); err != nil {
		t.Fatal(err)
	}
	begun := time.Now().UTC().Truncate(24 * time.Hour).Add(12 * time.Hour) // all in one partition
	f, err := factory.Start(t.Context(), factory.Options{Dir: data, Bin: bin, Cells: []factory.Cell{{
		Name: "cell-01", Replay: factory.Replay{File: path, UnitPrefix: "engine-", Speed: "max", Start: begun},
	}}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := f.Close(false); err != nil {
			t.Error(err)
		}
	})
	// The end of a run may be committed before what was taken first: that goes another way, where
	// the session began behind it.
	conn, dead, rows := connect(t, f.DSN()), 0, 0
	eventually(t, "all runs end, and all readings are stored", func() bool {
		const ask = `select (select count(*) from unit_run where died is not null), (select count(*) from reading_turbofan)`
		if err := conn.QueryRow(t.Context(), ask).Scan(&dead, &rows); err != nil {
			t.Fatal(err)
		}
		return dead == 3 && rows == 120
	}, func() any { return []int{dead, rows} })
	for _, name := range []string{"cell-01", factory.Collector} {
		if err := f.Kill(name); err != nil {
			t.Fatal(err)
		}
	}
	in, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer in.Close()
	file, err := cmapss.Read(in)
	if err != nil {
		t.Fatal(err)
	}
	return f.DSN(), verify.Declared(file, begun)
}

// one is a row in the midst of a unit.
const one = `(select ctid from reading_turbofan where unit_key = (select unit_key from unit where unit_id = 'engine-2') order by ts offset 20 limit 1)`

// controls are changes to the database with what must be said of each.
var controls = []struct {
	name, sql string
	caught    func(*checker.Report) bool
}{
	{
		"a row is gone", `delete from reading_turbofan where ctid = ` + one,
		func(r *checker.Report) bool { return r.Missing == 1 && r.Ledger.Miscounted == 1 },
	},
	{
		"a unit is gone", `delete from reading_turbofan where unit_key = (select unit_key from unit where unit_id = 'engine-2')`,
		func(r *checker.Report) bool { return r.Missing == 40 },
	},
	{
		"a row is there twice", `insert into reading_turbofan select * from reading_turbofan where ctid = ` + one,
		func(r *checker.Report) bool { return r.Doubled == 1 && r.Ledger.Broken == 1 },
	},
	{
		"a row is there again at another position", `update ledger set committed = committed + '{[1000,1001)}';
		 insert into reading_turbofan select ts, unit_key, epoch_key, 1000, 0, quality, received_at, ` + columns() + ` from reading_turbofan where ctid = ` + one,
		func(r *checker.Report) bool { return r.Doubled == 1 },
	},
	{
		"the last bit of a value", `update reading_turbofan set w32 = w32 * (1 + 2.220446049250313e-16::float8) where ctid = ` + one,
		func(r *checker.Report) bool { return r.Different == 1 },
	},
	{
		"a value is null", `update reading_turbofan set setting1 = null where ctid = ` + one,
		func(r *checker.Report) bool { return r.Different == 1 },
	},
	{
		"two columns are swapped", `update reading_turbofan set t24 = t30, t30 = t24`,
		func(r *checker.Report) bool { return r.Different == 120 },
	},
	{
		"a time is off by a microsecond", `update reading_turbofan set ts = ts + interval '1 microsecond' where ctid = ` + one,
		func(r *checker.Report) bool { return r.Missing == 1 && r.Unexpected == 1 },
	},
	{
		"a unit nobody declared", `update unit set unit_id = 'other' where unit_key = (select unit_key from unit where unit_id = 'engine-2')`,
		func(r *checker.Report) bool { return r.Missing == 40 && r.Unexpected == 40 },
	},
	{
		"two times of a unit are swapped", `update reading_turbofan r set ts = r.ts + interval '1 second' * s.d
		 from (select ctid as c, case when row_number() over (order by ts) = 1 then 1 else -1 end as d
		       from (select ctid, ts from reading_turbofan where unit_key = (select unit_key from unit where unit_id = 'engine-2') order by ts limit 2) x) s where r.ctid = s.c`,
		func(r *checker.Report) bool { return r.Different == 2 && r.Disordered == 1 },
	},
	{
		"the ledger lacks a position", `update ledger set committed = committed - '{[0,1)}'`,
		func(r *checker.Report) bool { return r.Ledger.Unledgered == 1 },
	},
	{
		"the ledger has positions that never came", `update ledger set committed = committed + '{[1000,1010)}'`,
		func(r *checker.Report) bool { return r.Ledger.Unexplained >= 7 },
	},
	{
		"a loss nobody told", `update ledger set lost = lost + '{[1000,1003)}'`,
		func(r *checker.Report) bool { return r.Ledger.Untold == 3 },
	},
	{
		"quarantined without a reason", `update ledger set quarantined = quarantined + '{[1000,1003)}'`,
		func(r *checker.Report) bool { return r.Ledger.Untold == 3 },
	},
	{
		"committed and lost at once", `update ledger set lost = lost + '{[0,1)}'; insert into loss (epoch_key, positions, reason) select epoch_key, '{[0,1)}', 'crash' from ledger`,
		func(r *checker.Report) bool { return r.Ledger.Overlapping == 1 && r.Ledger.Untold == 0 },
	},
	{
		"stored, and in quarantine as a whole", `insert into quarantine (epoch_key, position, row_no, reason, format, size, payload, received_at)
		 select epoch_key, 0, -1, 'not a payload', 'message', 0, '', now() from ledger`,
		func(r *checker.Report) bool { return r.Ledger.Unledgered == 1 && r.Ledger.Quarantined == 1 },
	},
	{
		"a run that counts too much", `update unit_run set readings = readings + 1 where unit_key = (select unit_key from unit where unit_id = 'engine-2')`,
		func(r *checker.Report) bool { return r.Ledger.Miscounted == 1 },
	},
}

func columns() string {
	text := ""
	for i, c := range cmapss.Columns {
		if i > 0 {
			text += ", "
		}
		text += c
	}
	return text
}

// tables are what the controls change.
var tables = []string{"reading_turbofan", "ledger", "loss", "quarantine", "unit_run", "unit"}

func save(t *testing.T, conn *pgx.Conn) {
	t.Helper()
	for _, table := range tables {
		mustExec(t, conn, `create table saved_`+table+` as table `+table)
	}
}

func restore(t *testing.T, conn *pgx.Conn) {
	t.Helper()
	mustExec(t, conn, `set session_replication_role = replica`) // no foreign keys meanwhile
	for _, table := range tables {
		mustExec(t, conn, `delete from `+table)
		mustExec(t, conn, `insert into `+table+` overriding system value table saved_`+table)
	}
	mustExec(t, conn, `set session_replication_role = origin`)
}

func mustExec(t *testing.T, conn *pgx.Conn, sql string) {
	t.Helper()
	if _, err := conn.Exec(context.Background(), sql); err != nil {
		t.Fatalf("%s: %v", sql, err)
	}
}
