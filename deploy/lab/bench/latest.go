package bench

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"

	"andon.internal/lab/cmapss"
	"andon.internal/lab/factory"
)

// LatestTarget is how many times slower the p99 may be at the large size.
const LatestTarget = 1.3

// Latest is how long the newest reading of a unit takes to read, by size of the table.
type Latest struct {
	Units   int          `json:"units"`
	Queries int          `json:"queries"` // at each size
	Sizes   []LatestSize `json:"sizes"`
	Ratio   float64      `json:"ratio_p99"` // of the largest to the smallest
}

// LatestSize is one size of the table.
type LatestSize struct {
	Rows int      `json:"rows"`
	Took Spread   `json:"took"`
	Plan []string `json:"plan"` // EXPLAIN (ANALYZE, BUFFERS) of one query
}

// latestUnits share the rows evenly; days is over how many daily partitions these lie.
const (
	latestUnits = 100
	latestDays  = 7
)

func measureLatest(ctx context.Context, o Options, m *Machine) (_ *Latest, err error) {
	sizes, queries := []int{10_000, 10_000_000}, 5000
	if o.Short {
		sizes, queries = []int{10_000, 500_000}, 1000
	}
	dir, err := os.MkdirTemp("", "andon-bench-")
	if err != nil {
		return nil, err
	}
	f, err := start(ctx, o, factory.Options{
		Dir: dir, DatabaseOnly: true,
		PgSettings: map[string]string{"max_wal_size": "4GB"}, // fewer checkpoints while the tables are filled
	}, m)
	if err != nil {
		return nil, errors.Join(err, os.RemoveAll(dir))
	}
	defer func() { err = errors.Join(err, f.Close(false)) }()

	l := &Latest{Units: latestUnits, Queries: queries}
	var conns []*pgx.Conn
	for _, rows := range sizes {
		o.Logger.Info("filling a table", "rows", rows)
		conn, err := fill(ctx, f, rows)
		if err != nil {
			return nil, fmt.Errorf("fill a table with %d rows: %w", rows, err)
		}
		defer conn.Close(context.WithoutCancel(ctx))
		conns = append(conns, conn)
	}
	took := make([][]time.Duration, len(sizes))
	rng := rand.New(rand.NewPCG(1, 1))
	for i := range queries + 200 {
		unit := fmt.Sprintf("unit-%d", 1+rng.IntN(latestUnits))
		for j, conn := range conns { // in turn, so that what else the machine does hits both
			d, err := latest(ctx, conn, unit)
			if err != nil {
				return nil, err
			}
			if i >= 200 { // warm
				took[j] = append(took[j], d)
			}
		}
	}
	for j, rows := range sizes {
		plan, err := explain(ctx, conns[j])
		if err != nil {
			return nil, err
		}
		l.Sizes = append(l.Sizes, LatestSize{Rows: rows, Took: spread(took[j]), Plan: plan})
	}
	l.Ratio = l.Sizes[len(sizes)-1].Took.P99 / l.Sizes[0].Took.P99
	return l, nil
}

// newestSQL and latestSQL are the two statements by which the collector reads the
// latest reading: its time from the runs of the unit, then the row itself.
const newestSQL = `select r.unit_key, r.last_ts, p.name from (
  select x.unit_key, x.last_ts, x.profile_key from unit join unit_run x using (unit_key)
  where (unit.group_id, unit.unit_id) = ($1::text, $2::text) and x.last_ts is not null order by x.born desc limit 8) r
  join profile p using (profile_key) order by r.last_ts desc limit 1`

var latestSQL = `select r.ts, r.received_at, r.quality, r.position, r.row_no,
  (select e.epoch_id from epoch e where e.epoch_key = r.epoch_key), r.` + strings.Join(cmapss.Columns[:], ", r.") + `
  from reading_turbofan r
  where r.unit_key = $1::int and r.ts <= $2::timestamptz and r.ts >= $3::timestamptz order by r.ts desc limit 1`

// latest reads the newest reading of a unit, all signals of it.
func latest(ctx context.Context, conn *pgx.Conn, unit string) (time.Duration, error) {
	begun := time.Now()
	args, err := newest(ctx, conn, unit)
	if err != nil {
		return 0, err
	}
	rows, err := conn.Query(ctx, latestSQL, args...)
	if err != nil {
		return 0, err
	}
	n := 0
	for rows.Next() {
		n++
		if _, err := rows.Values(); err != nil {
			return 0, err
		}
	}
	took := time.Since(begun)
	if err := rows.Err(); err != nil {
		return 0, err
	}
	if n != 1 {
		return 0, fmt.Errorf("the newest reading of %s: %d rows", unit, n)
	}
	return took, nil
}

// newest returns what latestSQL wants to know.
func newest(ctx context.Context, conn *pgx.Conn, unit string) ([]any, error) {
	var key int32
	var last time.Time
	var profile string
	if err := conn.QueryRow(ctx, newestSQL, factory.Group, unit).Scan(&key, &last, &profile); err != nil {
		return nil, fmt.Errorf("the newest reading of %s: %w", unit, err)
	}
	return []any{key, last, last.UTC().Truncate(24 * time.Hour)}, nil
}

func explain(ctx context.Context, conn *pgx.Conn) ([]string, error) {
	args, err := newest(ctx, conn, "unit-1")
	if err != nil {
		return nil, err
	}
	rows, err := conn.Query(ctx, "explain (analyze, buffers, costs off) "+latestSQL, args...)
	if err != nil {
		return nil, err
	}
	return pgx.CollectRows(rows, pgx.RowTo[string])
}

// fill makes a database with so many rows in the tables that the collector uses, as
// the collector lays them out.
func fill(ctx context.Context, f *factory.Factory, rows int) (*pgx.Conn, error) {
	dsn, err := f.MakeDatabase(ctx, fmt.Sprintf("rows_%d", rows))
	if err != nil {
		return nil, err
	}
	conn, err := pgx.Connect(ctx, dsn)
	if err != nil {
		return nil, err
	}
	values := make([]string, len(cmapss.Columns))
	for i := range values {
		values[i] = fmt.Sprintf("%d + i * 0.0001", 100*(i+1))
	}
	for _, sql := range []string{
		partitions,
		fmt.Sprintf(`insert into unit (group_id, unit_id, profile_key)
			select '%s', 'unit-' || i, profile_key from generate_series(1, %d) i, profile where name = 'turbofan'`, factory.Group, latestUnits),
		fmt.Sprintf(`insert into node (group_id, node_id) values ('%s', 'cell-01')`, factory.Group),
		`insert into epoch (node_key, epoch_id) select node_key, '01J00000000000000000000000' from node`,
		`drop index reading_turbofan_unit_key_ts_idx`, // made again below: filling is faster without
		fmt.Sprintf(`insert into reading_turbofan
			select now() - %d * interval '1 day' * (%d - i) / %[2]d, u.unit_key, e.epoch_key, i / 100, i %% 100, 0, now(), %s
			from generate_series(1, %[2]d) i join unit u on u.unit_id = 'unit-' || (1 + i %% %[4]d) cross join epoch e`,
			latestDays-1, rows, strings.Join(values, ", "), latestUnits),
		`create index on reading_turbofan (unit_key, ts desc)`,
		`insert into unit_run (unit_key, node_key, profile_key, born, readings, last_ts)
			select u.unit_key, n.node_key, u.profile_key, r.first, r.count, r.last
			from (select unit_key, min(ts) as first, max(ts) as last, count(*) from reading_turbofan group by 1) r
			join unit u using (unit_key) cross join node n`,
		`vacuum (freeze, analyze)`,
		`checkpoint`,
	} {
		if _, err := conn.Exec(ctx, sql); err != nil {
			conn.Close(context.WithoutCancel(ctx))
			return nil, err
		}
	}
	return conn, nil
}

// partitions makes those of the past days that the collector has not made, in its way.
const partitions = `
do $$
declare
  d date;
  name text;
begin
  for i in -7 .. 0 loop
    d := (now() at time zone 'UTC')::date + i;
    name := 'reading_turbofan_p' || to_char(d, 'YYYYMMDD');
    if to_regclass(name) is null then
      execute format('create table %I (like reading_turbofan including defaults including constraints)', name);
      execute format('alter table reading_turbofan attach partition %I for values from (%L) to (%L)',
        name, d || ' 00:00:00Z', (d + 1) || ' 00:00:00Z');
    end if;
  end loop;
end $$`
