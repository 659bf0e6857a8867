package collector_test

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"os"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"go.uber.org/goleak"

	"andon.internal/collector"
	"andon.internal/collector/internal/edgetest"
	"andon.internal/shared/pgserver"
)

const (
	group    = "line1"
	unit     = "unit-1"
	patience = 30 * time.Second
)

// born is when the run of the tests' unit began: lately, so that no reading is
// refused for its time.
var born = time.Now().Add(-time.Hour).Truncate(time.Second).UnixNano()

var server *pgserver.Server

func TestMain(m *testing.M) { os.Exit(run(m)) }

// run starts one PostgreSQL for all tests; each has a database of its own.
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
	http.DefaultClient.CloseIdleConnections()
	if err := goleak.Find(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		code = 1
	}
	return code
}

var databases atomic.Int64

// newDatabase makes an empty database and returns its DSN.
func newDatabase(t testing.TB) string {
	t.Helper()
	name := fmt.Sprintf("c%d", databases.Add(1))
	exec(t, server.DSN(), "CREATE DATABASE "+name)
	t.Cleanup(func() { exec(t, server.DSN(), "DROP DATABASE "+name+" WITH (FORCE)") })
	return server.DatabaseDSN(name)
}

func exec(t testing.TB, dsn, sql string) {
	t.Helper()
	conn, err := pgx.Connect(context.Background(), dsn)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(context.Background())
	if _, err := conn.Exec(context.Background(), sql); err != nil {
		t.Fatalf("%s: %v", sql, err)
	}
}

// query returns all rows as text, values separated by spaces.
func query(t testing.TB, dsn, sql string, args ...any) []string {
	t.Helper()
	conn, err := pgx.Connect(context.Background(), dsn)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(context.Background())
	rows, err := conn.Query(context.Background(), sql, args...)
	if err != nil {
		t.Fatalf("%s: %v", sql, err)
	}
	defer rows.Close()
	var list []string
	for rows.Next() {
		values, err := rows.Values()
		if err != nil {
			t.Fatal(err)
		}
		list = append(list, strings.TrimSpace(fmt.Sprintln(values...)))
	}
	if err := rows.Err(); err != nil {
		t.Fatalf("%s: %v", sql, err)
	}
	return list
}

// running is a collector at work.
type running struct {
	t      testing.TB
	col    *collector.Collector
	cancel context.CancelFunc
	ended  chan error
}

// start starts a collector on the broker and the database. edit may change its
// configuration. The test's end stops it.
func start(t testing.TB, broker *edgetest.Broker, dsn string, edit ...func(*collector.Config)) *running {
	t.Helper()
	c := collector.DefaultConfig()
	c.MQTT.URL, c.Database.DSN, c.Web.Listen = broker.URL(), dsn, "127.0.0.1:0"
	for _, e := range edit {
		e(&c)
	}
	var w io.Writer = io.Discard
	if testing.Verbose() {
		w = t.Output()
	}
	log := slog.New(slog.NewTextHandler(w, &slog.HandlerOptions{Level: slog.LevelDebug}))
	ctx, cancel := context.WithCancel(context.Background())
	col, err := collector.Open(ctx, c, log)
	if err != nil {
		t.Fatal(err)
	}
	r := &running{t: t, col: col, cancel: cancel, ended: make(chan error, 1)}
	go func() { r.ended <- col.Run(ctx) }()
	t.Cleanup(r.stop)
	return r
}

// stop stops the collector and waits for it. It may be called twice.
func (r *running) stop() {
	r.t.Helper()
	r.cancel()
	select {
	case err, open := <-r.ended:
		if err != nil {
			r.t.Errorf("collector ended with: %v", err)
		}
		if open {
			close(r.ended)
		}
	case <-time.After(patience):
		r.t.Fatal("collector does not stop")
	}
}

// get returns the status and the body of one of the collector's pages.
func (r *running) get(path string) (int, string) {
	r.t.Helper()
	response, err := http.Get("http://" + r.col.HTTPAddr() + path)
	if err != nil {
		r.t.Fatal(err)
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err != nil {
		r.t.Fatal(err)
	}
	return response.StatusCode, string(body)
}

// waitReady waits until the collector does all of its work.
func (r *running) waitReady() {
	r.t.Helper()
	eventually(r.t, "readiness", func() bool { code, _ := r.get("/readyz"); return code == http.StatusOK })
}

// metric returns the value of a metric, named with its labels.
func (r *running) metric(name string) string {
	r.t.Helper()
	_, body := r.get("/metrics")
	for line := range strings.SplitSeq(body, "\n") {
		if value, ok := strings.CutPrefix(line, name+" "); ok {
			return value
		}
	}
	return "absent"
}

// eventually polls what has no event to wait for.
func eventually(t testing.TB, what string, ok func() bool) {
	t.Helper()
	limit := time.After(patience)
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for !ok() {
		select {
		case <-tick.C:
		case <-limit:
			t.Fatalf("waited in vain for %s", what)
		}
	}
}

// lock locks a table, until release is called.
func lock(t testing.TB, dsn, table string) (release func()) {
	t.Helper()
	ctx := context.Background()
	conn, err := pgx.Connect(ctx, dsn)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := conn.Exec(ctx, `BEGIN; LOCK TABLE `+table+` IN ACCESS EXCLUSIVE MODE`); err != nil {
		t.Fatal(err)
	}
	return func() { _ = conn.Close(ctx) }
}

var discard = slog.New(slog.DiscardHandler)

func contains(text, part string) bool { return strings.Contains(text, part) }

func fmtUint(n uint64) string { return fmt.Sprint(n) }

// databaseOf returns the name of a DSN's database.
func databaseOf(dsn string) string {
	c, err := pgx.ParseConfig(dsn)
	if err != nil {
		panic(err)
	}
	return c.Database
}
