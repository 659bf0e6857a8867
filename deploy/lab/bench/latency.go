package bench

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/jackc/pgx/v5"

	"andon.internal/lab/cmapss"
	"andon.internal/lab/factory"
)

// Load is how much a cell takes.
type Load struct {
	Units int `json:"units"`
	Hz    int `json:"hz"`

	seconds int
}

func loads(short bool) []Load {
	if short {
		return []Load{{12, 1, 10}, {200, 10, 8}}
	}
	return []Load{{12, 1, 60}, {200, 10, 30}}
}

// LatencyTarget is the p99 to stay below, in milliseconds.
const LatencyTarget = 60

// Latency is the time from when a reading was taken. All units of a load are due at
// the same moment, which is harder than a real cell.
type Latency struct {
	Load
	// Received is until the collector had the message: it has the cell's write of the
	// reading and its place in the file in it, because a file can be read again.
	Received Spread `json:"received"`
	// Committed is until PostgreSQL's commit timestamp, which it takes just before it
	// writes the commit to disk.
	Committed Spread `json:"committed"`
	// Visible is until another connection saw the position in the ledger, so it has
	// the write to disk in it, and up to about 2 ms of the watching itself.
	Visible Spread `json:"visible"`
}

// warmUp is left out at the start: births, first connections, cold caches.
const warmUp = 2 * time.Second

func measureLatency(ctx context.Context, o Options, load Load, m *Machine) (_ *Latency, err error) {
	dir, err := os.MkdirTemp("", "andon-bench-")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(dir)
	period := time.Second / time.Duration(load.Hz)
	cycles := load.seconds*load.Hz + int(warmUp/period)
	file := filepath.Join(dir, "engines.txt")
	if err := generate(file, load.Units, cycles); err != nil {
		return nil, err
	}
	data := filepath.Join(dir, "lab")
	if err := os.Mkdir(data, 0o755); err != nil {
		return nil, err
	}
	f, err := start(ctx, o, factory.Options{
		Dir: data, PgSettings: map[string]string{"track_commit_timestamp": "on"}, Idle: true,
		Cells: []factory.Cell{{Name: cell, Replay: factory.Replay{File: file, UnitPrefix: "u", Period: period, Speed: "1"}}},
	}, m)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, f.Close(false)) }()

	w, err := watch(ctx, f.DSN())
	if err != nil {
		return nil, err
	}
	if err := f.Restart(ctx, cell); err != nil {
		_, stopErr := w.stop()
		return nil, errors.Join(err, stopErr)
	}
	err = awaitRows(ctx, f.DSN(), load.Units*cycles, time.Duration(load.seconds)*time.Second+time.Minute)
	if err == nil {
		err = w.await(ctx, f.DSN())
	}
	seen, err1 := w.stop()
	if err = errors.Join(err, err1); err != nil {
		return nil, err
	}
	return gather(ctx, f.DSN(), load, seen)
}

const cell = "cell-01"

func generate(path string, units, cycles int) error {
	out, err := os.Create(path)
	if err != nil {
		return err
	}
	err = cmapss.Generate(out, cmapss.Spec{Seed: 1, Engines: units, Cycles: cycles, Exact: true})
	return errors.Join(err, out.Close())
}

// awaitRows waits until the runs count so many readings.
func awaitRows(ctx context.Context, dsn string, rows int, within time.Duration) error {
	ctx, cancel := context.WithTimeout(ctx, within)
	defer cancel()
	conn, err := pgx.Connect(ctx, dsn)
	if err != nil {
		return err
	}
	defer conn.Close(context.WithoutCancel(ctx))
	for {
		var n int
		if err := conn.QueryRow(ctx, `select coalesce(sum(readings), 0) from unit_run`).Scan(&n); err != nil {
			return fmt.Errorf("%d of %d rows are committed: %w", n, rows, err)
		}
		if n >= rows {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("%d of %d rows are committed: %w", n, rows, ctx.Err())
		case <-time.After(20 * time.Millisecond):
		}
	}
}

// sighting is a moment at which positions below end were seen in the ledger.
type sighting struct {
	at  time.Time
	end int64
}

// watcher looks at the ledger every 2 ms.
type watcher struct {
	cancel context.CancelFunc
	done   sync.WaitGroup
	last   atomic.Int64 // end of the last sighting
	seen   []sighting   // with err, for others once done
	err    error
}

// ledgerEnd is the end of what the ledger has.
const ledgerEnd = `select coalesce(max(upper(committed)), 0) from ledger`

func watch(ctx context.Context, dsn string) (*watcher, error) {
	conn, err := pgx.Connect(ctx, dsn)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithCancel(ctx)
	w := &watcher{cancel: cancel}
	w.done.Go(func() {
		defer conn.Close(context.WithoutCancel(ctx))
		tick := time.NewTicker(2 * time.Millisecond)
		defer tick.Stop()
		for {
			select {
			case <-ctx.Done():
				return
			case <-tick.C:
			}
			var end int64
			if err := conn.QueryRow(ctx, ledgerEnd).Scan(&end); err != nil {
				if ctx.Err() == nil {
					w.err = fmt.Errorf("watch the ledger: %w", err)
				}
				return
			}
			if end > w.last.Load() {
				w.seen = append(w.seen, sighting{time.Now(), end})
				w.last.Store(end)
			}
		}
	})
	return w, nil
}

// await waits until the watcher has seen all that is committed by now.
func (w *watcher) await(ctx context.Context, dsn string) error {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	conn, err := pgx.Connect(ctx, dsn)
	if err != nil {
		return err
	}
	defer conn.Close(context.WithoutCancel(ctx))
	var end int64
	if err := conn.QueryRow(ctx, ledgerEnd).Scan(&end); err != nil {
		return err
	}
	for w.last.Load() < end {
		select {
		case <-ctx.Done():
			return fmt.Errorf("watch the ledger: position %d was not seen: %w", end-1, ctx.Err())
		case <-time.After(time.Millisecond):
		}
	}
	return nil
}

func (w *watcher) stop() ([]sighting, error) {
	w.cancel()
	w.done.Wait()
	return w.seen, w.err
}

// gather reads when each row was taken and committed. It checks what the benchmark
// stands on: that a replay in real time stamps a reading with the moment it is due.
func gather(ctx context.Context, dsn string, load Load, seen []sighting) (*Latency, error) {
	conn, err := pgx.Connect(ctx, dsn)
	if err != nil {
		return nil, err
	}
	defer conn.Close(context.WithoutCancel(ctx))
	rows, err := conn.Query(ctx, `select ts, received_at, pg_xact_commit_timestamp(xmin), position
		from reading_turbofan where ts >= (select min(ts) from reading_turbofan) + $1 * interval '1 second'
		order by position`, strconv.Itoa(int(warmUp.Seconds())))
	if err != nil {
		return nil, err
	}
	var received, committed, visible []time.Duration
	var taken, arrived, commit time.Time
	var position int64
	next := 0
	_, err = pgx.ForEachRow(rows, []any{&taken, &arrived, &commit, &position}, func() error {
		d := commit.Sub(taken)
		if d < 0 {
			return fmt.Errorf("a reading of %v was committed at %v, before it was due: the replay does not keep real time", taken, commit)
		}
		received, committed = append(received, arrived.Sub(taken)), append(committed, d)
		for next < len(seen) && seen[next].end <= position {
			next++
		}
		if next == len(seen) {
			return fmt.Errorf("position %d was never seen in the ledger", position)
		}
		visible = append(visible, seen[next].at.Sub(taken))
		return nil
	})
	if err != nil {
		return nil, err
	}
	return &Latency{Load: load, Received: spread(received), Committed: spread(committed), Visible: spread(visible)}, nil
}
