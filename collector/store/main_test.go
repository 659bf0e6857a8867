package store_test

import (
	"context"
	"fmt"
	"os"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"go.uber.org/goleak"

	"andon.internal/collector/store"
	"andon.internal/shared/pgserver"
	"andon.internal/shared/ranges"
	"andon.internal/shared/telemetry"
)

var server *pgserver.Server

func TestMain(m *testing.M) { os.Exit(run(m)) }

// run starts one server for all tests; each has a database of its own.
func run(m *testing.M) int {
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Minute)
	defer cancel()
	var err error
	if server, err = pgserver.Start(ctx, pgserver.Options{}); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	code := m.Run()
	if err := server.Remove(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		code = 1
	}
	if err := goleak.Find(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		code = 1
	}
	return code
}

var databases atomic.Int64

// newDatabase makes an empty database and returns its DSN.
func newDatabase(tb testing.TB) string {
	tb.Helper()
	name := fmt.Sprintf("t%d", databases.Add(1))
	exec(tb, server.DSN(), "CREATE DATABASE "+name)
	tb.Cleanup(func() { exec(tb, server.DSN(), "DROP DATABASE "+name+" WITH (FORCE)") })
	return server.DatabaseDSN(name)
}

// exec runs statements on a connection of their own.
func exec(tb testing.TB, dsn string, statements ...string) {
	tb.Helper()
	conn, err := pgx.Connect(context.Background(), dsn)
	if err != nil {
		tb.Fatal(err)
	}
	defer conn.Close(context.Background())
	for _, sql := range statements {
		if _, err := conn.Exec(context.Background(), sql); err != nil {
			tb.Fatalf("%s: %v", sql, err)
		}
	}
}

// lines returns a query's rows, one line each, columns joined by "|".
func lines(tb testing.TB, dsn, sql string, args ...any) []string {
	tb.Helper()
	conn, err := pgx.Connect(context.Background(), dsn)
	if err != nil {
		tb.Fatal(err)
	}
	defer conn.Close(context.Background())
	rows, err := conn.Query(context.Background(), sql, append([]any{pgx.QueryExecModeSimpleProtocol}, args...)...)
	if err != nil {
		tb.Fatalf("%s: %v", sql, err)
	}
	var out []string
	for rows.Next() {
		var parts []string
		for _, v := range rows.RawValues() {
			if v == nil {
				parts = append(parts, "null")
			} else {
				parts = append(parts, string(v))
			}
		}
		out = append(out, strings.Join(parts, "|"))
	}
	if err := rows.Err(); err != nil {
		tb.Fatalf("%s: %v", sql, err)
	}
	return out
}

// one returns the only value of a query.
func one(tb testing.TB, dsn, sql string, args ...any) string {
	tb.Helper()
	got := lines(tb, dsn, sql, args...)
	if len(got) != 1 {
		tb.Fatalf("%s: %d rows, want 1", sql, len(got))
	}
	return got[0]
}

var (
	node  = telemetry.Node{Group: "austin-line1", ID: "cell-07"}
	other = telemetry.Node{Group: "austin-line1", ID: "cell-08"}
	// now is the time of the stores under test.
	now = time.Date(2026, 3, 4, 12, 0, 0, 0, time.UTC)
)

// epoch returns a made-up epoch.
func epoch(n byte) telemetry.Epoch { return telemetry.Epoch{1, 2, 15: n} }

// mixed has a signal of every type.
func mixed() *telemetry.Profile {
	return &telemetry.Profile{Name: "mixed", Version: 1, Signals: []telemetry.Signal{
		{Name: "a", Type: telemetry.Double, Unit: "degC"},
		{Name: "order", Type: telemetry.Real}, // a word of SQL
		{Name: "n", Type: telemetry.Integer},
		{Name: "on_off", Type: telemetry.Boolean},
	}}
}

// fixture is a migrated database, a store on it, and the lease.
type fixture struct {
	tb    testing.TB
	dsn   string
	s     *store.Store
	lease store.Lease
}

func setUp(tb testing.TB, change ...func(*store.Config)) *fixture {
	tb.Helper()
	return migrated(tb, newDatabase(tb), change...)
}

func migrated(tb testing.TB, dsn string, change ...func(*store.Config)) *fixture {
	tb.Helper()
	f := &fixture{tb: tb, dsn: dsn}
	f.s = f.open(change...)
	if err := f.s.Migrate(tb.Context()); err != nil {
		tb.Fatal(err)
	}
	l, ok, err := f.s.AcquireLease(tb.Context(), "intake", "test", time.Minute)
	if err != nil || !ok {
		tb.Fatalf("acquire lease: %v, %v", ok, err)
	}
	f.lease = l
	return f
}

// open makes a store on the fixture's database.
func (f *fixture) open(change ...func(*store.Config)) *store.Store {
	f.tb.Helper()
	c := store.Config{DSN: f.dsn, Profiles: []*telemetry.Profile{mixed()}, Now: func() time.Time { return now }}
	for _, fn := range change {
		fn(&c)
	}
	s, err := store.Open(f.tb.Context(), c)
	if err != nil {
		f.tb.Fatal(err)
	}
	f.tb.Cleanup(s.Close)
	return s
}

// commit stores a batch that must succeed, and returns the outcomes as text.
func (f *fixture) commit(entries ...store.Entry) string {
	f.tb.Helper()
	r, err := f.s.Commit(f.tb.Context(), f.lease, entries)
	if err != nil {
		f.tb.Fatalf("commit: %v", err)
	}
	return outcomes(r)
}

func outcomes(r store.Result) string {
	var names []string
	for _, o := range r.Outcomes {
		names = append(names, o.String())
	}
	return strings.Join(names, " ")
}

// ledger is committed, lost, quarantined, repeats of an epoch.
func (f *fixture) ledger(e telemetry.Epoch) string {
	f.tb.Helper()
	return one(f.tb, f.dsn, `SELECT committed, lost, quarantined, repeats FROM ledger JOIN epoch USING (epoch_key)
 WHERE epoch_id = $1`, e.String())
}

// stored lists the readings' identities and times.
func (f *fixture) stored() []string {
	f.tb.Helper()
	return lines(f.tb, f.dsn, `SELECT node_id, right(epoch_id, 1), position, row_no, unit_id, a FROM readings_mixed
 ORDER BY node_id, epoch_id, position, row_no`)
}

// entry is a record of rows readings at the given position; the time of a row is
// now + position seconds + row ms, its value position + row/100.
func entry(e telemetry.Epoch, position uint64, rows int) store.Entry {
	r := &telemetry.Record{Unit: "press-1", Profile: mixed(), Born: now.UnixNano(), Count: position * 10}
	for i := range rows {
		r.Append(at(position, i), 0, []telemetry.Value{
			telemetry.DoubleValue(float64(position) + float64(i)/100),
			telemetry.RealValue(1.5), telemetry.IntegerValue(int64(i)), telemetry.BooleanValue(i%2 == 0),
		})
	}
	return store.Entry{Node: node, Epoch: e, Position: position, ReceivedAt: now, Record: r}
}

func at(position uint64, row int) int64 {
	return now.Add(time.Duration(position)*time.Second + time.Duration(row)*time.Millisecond).UnixNano()
}

// with returns a changed copy of an entry.
func with(e store.Entry, change func(e *store.Entry, r *telemetry.Record)) store.Entry {
	r := *e.Record
	e.Record = &r
	change(&e, &r)
	return e
}

func loss(e telemetry.Epoch, position uint64, of telemetry.Epoch, from, to uint64) store.Entry {
	return store.Entry{Node: node, Epoch: e, Position: position, ReceivedAt: now, Loss: &telemetry.Loss{
		Epoch: of, From: from, To: to, Reason: telemetry.LossOverflow, Units: []string{"press-1", `od"d\`}, Readings: 7,
		First: at(from, 0), Last: at(to, 0),
	}}
}

func poison(e telemetry.Epoch, position uint64) store.Entry {
	return store.Entry{Node: node, Epoch: e, Position: position, ReceivedAt: now, Poison: &store.Poison{
		Reason: "not a payload\x00\xff", Payload: []byte{0, 1, 255},
	}}
}

func set(from, to uint64) ranges.Set { return ranges.Of(ranges.Range{From: from, To: to}) }

// newTx opens a transaction and returns what runs a statement in it.
func newTx(tb testing.TB, dsn string) func(sql string) {
	tb.Helper()
	conn, err := pgx.Connect(context.Background(), dsn)
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { conn.Close(context.Background()) })
	run := func(sql string) {
		tb.Helper()
		if _, err := conn.Exec(context.Background(), sql); err != nil {
			tb.Fatalf("%s: %v", sql, err)
		}
	}
	run("BEGIN")
	return run
}
