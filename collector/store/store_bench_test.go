package store_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgconn"

	"andon.internal/collector/store"
	"andon.internal/shared/telemetry"
)

// wide has 24 signals of type double, as turbofan.
func wide() *telemetry.Profile {
	p := &telemetry.Profile{Name: "wide", Version: 1}
	for i := range 24 {
		p.Signals = append(p.Signals, telemetry.Signal{Name: fmt.Sprintf("s%d", i+1), Type: telemetry.Double})
	}
	return p
}

// wideRecord is a record of rows readings that ends at position p.
func wideRecord(p *telemetry.Profile, unit string, at uint64, rows int) *telemetry.Record {
	r := rand.New(rand.NewPCG(at, 1))
	rec := &telemetry.Record{Unit: unit, Profile: p, Born: now.UnixNano(), Count: at * uint64(rows)}
	for i := range rows {
		values := make([]telemetry.Value, len(p.Signals))
		for j := range values {
			values[j] = telemetry.DoubleValue(r.Float64() * 1000)
		}
		rec.Append(now.UnixNano()+(int64(at)*int64(rows)+int64(i))*1e6, 0, values)
	}
	return rec
}

func setUpWide(b *testing.B) (*fixture, *telemetry.Profile) {
	p := wide()
	f := setUp(b, func(c *store.Config) { c.Profiles = []*telemetry.Profile{p} })
	return f, p
}

// batches makes n batches of some records of 250 readings, of positions that go on.
func batches(p *telemetry.Profile, n, records int) [][]store.Entry {
	out := make([][]store.Entry, n)
	for i := range out {
		for j := range records {
			at := uint64(i*records + j)
			out[i] = append(out[i], store.Entry{
				Node: node, Epoch: epoch(1), Position: at, ReceivedAt: now,
				Record: wideRecord(p, fmt.Sprintf("engine-%d", j), at, 250),
			})
		}
	}
	return out
}

// BenchmarkCommit stores readings of 24 doubles, 5,000 in a transaction, and in turn
// with it sends as many through COPY alone, with the same encoder: the ceiling.
func BenchmarkCommit(b *testing.B) {
	f, p := setUpWide(b)
	exec(b, f.dsn, `CREATE TABLE raw (LIKE reading_wide) PARTITION BY RANGE (ts)`, `CREATE INDEX ON raw (unit_key, ts DESC)`,
		`CREATE TABLE raw_p PARTITION OF raw FOR VALUES FROM ('2026-03-01') TO ('2026-04-01')`)
	copySQL := strings.Replace(store.CopySQL(p), `"reading_wide"`, "raw", 1)
	all := batches(p, 40, 20)
	pg, err := pgconn.Connect(b.Context(), f.dsn)
	if err != nil {
		b.Fatal(err)
	}
	defer pg.Close(context.Background())
	var rows [2]int
	var spent [2]time.Duration
	for at := 0; b.Loop(); at++ {
		batch := all[at%len(all)]
		items := make([]store.CopyItem, len(batch))
		for i := range batch { // beyond the prepared ones: the same readings, new positions
			batch[i].Position = uint64(at*len(batch) + i)
			items[i] = store.CopyItem{Record: batch[i].Record, Unit: int32(i), Epoch: 1, Position: batch[i].Position, Received: now.UnixMicro()}
		}
		begin := time.Now()
		r, err := f.s.Commit(b.Context(), f.lease, batch)
		if err != nil {
			b.Fatal(err)
		}
		between := time.Now()
		tag, err := pg.CopyFrom(b.Context(), store.NewCopyReader(p, items), copySQL)
		if err != nil {
			b.Fatal(err)
		}
		spent[0] += between.Sub(begin)
		spent[1] += time.Since(between)
		rows[0] += r.Rows
		rows[1] += int(tag.RowsAffected())
	}
	commit, raw := float64(rows[0])/spent[0].Seconds(), float64(rows[1])/spent[1].Seconds()
	b.ReportMetric(commit, "rows/s")
	b.ReportMetric(raw, "copy-rows/s")
	b.ReportMetric(100*commit/raw, "%-of-copy")
}

// BenchmarkCommitOne is the latency of the smallest batch: one reading. Compare
// with BenchmarkEmptyTransaction, which is what the disk alone takes.
func BenchmarkCommitOne(b *testing.B) {
	f, p := setUpWide(b)
	rec := wideRecord(p, "engine-1", 0, 1)
	var at uint64
	for b.Loop() {
		e := store.Entry{Node: node, Epoch: epoch(1), Position: at, ReceivedAt: now, Record: rec}
		at++
		if _, err := f.s.Commit(b.Context(), f.lease, []store.Entry{e}); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkCommitTick is what 200 units at 10 Hz bring in 20 ms: 40 records of one
// reading, of 40 nodes.
func BenchmarkCommitTick(b *testing.B) {
	f, p := setUpWide(b)
	var batch []store.Entry
	for i := range 40 {
		n := telemetry.Node{Group: "g", ID: fmt.Sprintf("cell-%d", i)}
		batch = append(batch, store.Entry{
			Node: n, Epoch: epoch(byte(i)), ReceivedAt: now,
			Record: wideRecord(p, fmt.Sprintf("engine-%d", i), 0, 1),
		})
	}
	for b.Loop() {
		if _, err := f.s.Commit(b.Context(), f.lease, batch); err != nil {
			b.Fatal(err)
		}
		for i := range batch {
			batch[i].Position++
		}
	}
}

// BenchmarkEmptyTransaction writes one small row with plain SQL.
func BenchmarkEmptyTransaction(b *testing.B) {
	f, _ := setUpWide(b)
	pg, err := pgconn.Connect(b.Context(), f.dsn)
	if err != nil {
		b.Fatal(err)
	}
	defer pg.Close(context.Background())
	if err := pg.Exec(b.Context(), `CREATE TABLE x (n int)`).Close(); err != nil {
		b.Fatal(err)
	}
	for b.Loop() {
		if err := pg.Exec(b.Context(), `INSERT INTO x VALUES (1)`).Close(); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkLatest reads the newest reading of a unit among ever more.
func BenchmarkLatest(b *testing.B) {
	for _, rows := range []int{10_000, 1_000_000} {
		b.Run(fmt.Sprint(rows), func(b *testing.B) {
			f := setUp(b)
			f.commit(entry(epoch(1), 0, 1))
			exec(b, f.dsn, fmt.Sprintf(`INSERT INTO reading_mixed SELECT '2026-03-04Z'::timestamptz + n * interval '20 ms',
 1 + n %% 100, 1, n, 0, 0, now() FROM generate_series(1, %d) n`, rows), `VACUUM ANALYZE reading_mixed`)
			var slow time.Duration
			for b.Loop() {
				begin := time.Now()
				if _, ok, err := f.s.Latest(b.Context(), node.Group, "press-1"); !ok || err != nil {
					b.Fatal(ok, err)
				}
				slow = max(slow, time.Since(begin))
			}
			b.ReportMetric(float64(slow.Microseconds()), "max-µs")
		})
	}
}
