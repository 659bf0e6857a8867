package bench

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"andon.internal/lab/factory"
)

// What throughput should reach.
const (
	RowsTarget = 30_000 // a second, agent to commit
	CPUTarget  = 40.0   // CPU seconds of all processes per million rows
)

// Throughput is how fast readings of 24 signals go from the agent, whose source is
// as fast as can be, into PostgreSQL.
type Throughput struct {
	Rows    int     `json:"rows"`
	Seconds float64 `json:"seconds"` // from the start of the agent to the last commit
	PerS    float64 `json:"rows_per_s"`

	// CPU seconds per million rows, by process; PostgreSQL's with all its backends,
	// the agent's with its own start.
	CPU      map[string]float64 `json:"cpu_s_per_million"`
	CPUTotal float64            `json:"cpu_s_per_million_total"`

	// The ceiling: the same rows by one binary COPY on one connection into a table
	// of the same form, in the same PostgreSQL, right after.
	CopySeconds float64 `json:"copy_seconds"`
	CopyPerS    float64 `json:"copy_rows_per_s"`
	CopyCPU     float64 `json:"copy_cpu_s_per_million"` // of PostgreSQL alone
	Ratio       float64 `json:"ratio"`                  // PerS / CopyPerS
}

func measureThroughput(ctx context.Context, o Options, m *Machine) (_ *Throughput, err error) {
	units, cycles := 200, 5000
	if o.Short {
		cycles = 500
	}
	dir, err := os.MkdirTemp("", "andon-bench-")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(dir)
	file := filepath.Join(dir, "engines.txt")
	if err := generate(file, units, cycles); err != nil {
		return nil, err
	}
	data := filepath.Join(dir, "lab")
	if err := os.Mkdir(data, 0o755); err != nil {
		return nil, err
	}
	f, err := start(ctx, o, factory.Options{
		Dir: data, Idle: true,
		Cells: []factory.Cell{{Name: cell, Replay: factory.Replay{File: file, UnitPrefix: "u", Speed: "max"}}},
	}, m)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, f.Close(false)) }()

	t := &Throughput{Rows: units * cycles, CPU: map[string]float64{}}
	if err := t.path(ctx, f); err != nil {
		return nil, err
	}
	if err := t.copy(ctx, f); err != nil {
		return nil, err
	}
	t.Ratio = t.PerS / t.CopyPerS
	return t, nil
}

// path sends the file through and measures.
func (t *Throughput) path(ctx context.Context, f *factory.Factory) error {
	names := []string{factory.Broker, factory.Collector, factory.Postgres}
	before := map[string]float64{}
	for _, name := range names {
		used, err := cpuSeconds(f.PID(name))
		if err != nil {
			return err
		}
		before[name] = used
	}
	begun := time.Now()
	if err := f.Restart(ctx, cell); err != nil {
		return err
	}
	if err := awaitRows(ctx, f.DSN(), t.Rows, 10*time.Minute); err != nil {
		return err
	}
	t.Seconds = time.Since(begun).Seconds()
	t.PerS = float64(t.Rows) / t.Seconds
	for _, name := range append(names, cell) {
		used, err := cpuSeconds(f.PID(name))
		if err != nil {
			return err
		}
		if name == cell {
			name = "agent"
		}
		per := (used - before[name]) / float64(t.Rows) * 1e6
		t.CPU[name] = per
		t.CPUTotal += per
	}
	return nil
}

// copy puts the same rows into a table of the same form by one COPY.
func (t *Throughput) copy(ctx context.Context, f *factory.Factory) error {
	conn, err := pgx.Connect(ctx, f.DSN())
	if err != nil {
		return err
	}
	defer conn.Close(context.WithoutCancel(ctx))
	var rows int
	if err := conn.QueryRow(ctx, `select count(*) from reading_turbofan`).Scan(&rows); err != nil {
		return err
	}
	if rows != t.Rows {
		return fmt.Errorf("%d rows are stored instead of %d", rows, t.Rows)
	}
	if _, err := conn.Exec(ctx, ceiling); err != nil {
		return fmt.Errorf("make the table of the ceiling: %w", err)
	}
	var encoded bytes.Buffer
	if _, err := conn.PgConn().CopyTo(ctx, &encoded, `copy (select * from reading_turbofan) to stdout (format binary)`); err != nil {
		return err
	}
	if _, err := conn.Exec(ctx, `checkpoint`); err != nil {
		return err
	}
	before, err := cpuSeconds(f.PID(factory.Postgres))
	if err != nil {
		return err
	}
	begun := time.Now()
	tag, err := copyIn(ctx, conn.PgConn(), &encoded)
	if err != nil {
		return err
	}
	t.CopySeconds = time.Since(begun).Seconds()
	after, err := cpuSeconds(f.PID(factory.Postgres))
	if err != nil {
		return err
	}
	if tag.RowsAffected() != int64(t.Rows) {
		return fmt.Errorf("copied %d rows instead of %d", tag.RowsAffected(), t.Rows)
	}
	t.CopyPerS = float64(t.Rows) / t.CopySeconds
	t.CopyCPU = (after - before) / float64(t.Rows) * 1e6
	return nil
}

func copyIn(ctx context.Context, conn *pgconn.PgConn, in *bytes.Buffer) (pgconn.CommandTag, error) {
	return conn.CopyFrom(ctx, in, `copy reading_ceiling from stdin (format binary)`)
}

// ceiling makes a table like the readings', with the same index and partitions.
const ceiling = `
create table reading_ceiling (like reading_turbofan including all) partition by range (ts);
do $$
declare p record;
begin
  for p in select c.relname, pg_get_expr(c.relpartbound, c.oid) as bound
           from pg_inherits i join pg_class c on c.oid = i.inhrelid
           where i.inhparent = 'reading_turbofan'::regclass
  loop
    execute format('create table %I partition of reading_ceiling %s', 'ceiling_' || p.relname, p.bound);
  end loop;
end $$`
