package bench

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/jackc/pgx/v5"
	"golang.org/x/sys/unix"

	"andon.internal/lab/cable"
	"andon.internal/lab/factory"
)

// The units of the past and those that are read meanwhile.
const oldPrefix, freshPrefix = "old", "fresh"

// behindCable starts a factory of one cell that is down. It will read cycles readings of
// each unit of the load as fast as it can, and beside them fresh ones at the load's rate
// for some seconds. end stops it and removes everything.
func behindCable(ctx context.Context, o Options, load Load, cycles, seconds int, m *Machine) (f *factory.Factory, end func() error, err error) {
	dir, err := os.MkdirTemp("", "andon-bench-")
	if err != nil {
		return nil, nil, err
	}
	defer func() {
		if err != nil {
			os.RemoveAll(dir)
		}
	}()
	period := time.Second / time.Duration(load.Hz)
	old, fresh, data := filepath.Join(dir, "old.txt"), filepath.Join(dir, "fresh.txt"), filepath.Join(dir, "lab")
	err = errors.Join(generate(old, load.Units, cycles), generate(fresh, load.Units, seconds*load.Hz), os.Mkdir(data, 0o755))
	if err != nil {
		return nil, nil, err
	}
	past := time.Now().Add(-time.Duration(cycles)*period - time.Hour)
	f, err = launch(ctx, o, factory.Options{
		Dir: data, PgSettings: map[string]string{"track_commit_timestamp": "on"}, Idle: true,
		Cells: []factory.Cell{{
			Name: cell, Buffer: factory.Buffer{MaxDisk: "8GiB"},
			Replay: factory.Replay{File: old, UnitPrefix: oldPrefix, Period: period, Speed: "max", Start: past},
			Live:   factory.Replay{File: fresh, UnitPrefix: freshPrefix, Period: period, Speed: "1"},
		}},
	}, m)
	if err != nil {
		return nil, nil, err
	}
	return f, func() error { return errors.Join(f.Close(false), os.RemoveAll(dir)) }, nil
}

// fillBuffer cuts the cable, starts the cell and waits until it has buffered that many readings.
func fillBuffer(ctx context.Context, f *factory.Factory, rows int, within time.Duration) error {
	if err := errors.Join(f.Cut(cell, cable.Cut), f.Restart(ctx, cell)); err != nil {
		return err
	}
	if err := poll(ctx, within, func() (bool, error) {
		m, err := f.Metrics(ctx, cell)
		return err == nil && m["andon_buffer_rows"] >= float64(rows), nil // it may not listen yet
	}); err != nil {
		return fmt.Errorf("fill the buffer: %w", err)
	}
	return nil
}

// awaitBacklog waits until that many readings of the past are committed.
func awaitBacklog(ctx context.Context, conn *pgx.Conn, rows int, within time.Duration) error {
	if err := poll(ctx, within, func() (bool, error) {
		var n int
		err := conn.QueryRow(ctx, `select coalesce(sum(readings), 0) from unit_run join unit using (unit_key)
			where unit_id like $1`, oldPrefix+"%").Scan(&n)
		return n >= rows, err
	}); err != nil {
		return fmt.Errorf("wait for the backlog: %w", err)
	}
	return nil
}

// awaitEmpty waits until the cell holds no more than what is taken in half a second.
func awaitEmpty(ctx context.Context, f *factory.Factory, l Load, within time.Duration) error {
	if err := poll(ctx, within, func() (bool, error) {
		m, err := f.Metrics(ctx, cell)
		return err == nil && m["andon_buffer_rows"] < float64(l.Units*l.Hz)/2, err
	}); err != nil {
		return fmt.Errorf("wait until the buffer is empty: %w", err)
	}
	return nil
}

// writeLogAhead lets PostgreSQL write as much of its log as a checkpoint lets it keep, and
// take the files into use again: a database that has run for a while does not make new ones,
// which holds every commit up for 80 ms, while 16 MiB of zeros are synced.
func writeLogAhead(ctx context.Context, conn *pgx.Conn) error {
	for range 60 {
		if _, err := conn.Exec(ctx, `select pg_logical_emit_message(false, 'bench', repeat('x', 16 << 20))`); err != nil {
			return fmt.Errorf("write the log ahead: %w", err)
		}
	}
	if _, err := conn.Exec(ctx, `checkpoint`); err != nil {
		return fmt.Errorf("write the log ahead: %w", err)
	}
	return nil
}

// syncDisk has the kernel write what it holds back of the disk that the lab lies on. What the
// preparation wrote would else go in one go half a minute later, which holds every commit up
// for a tenth of a second and more in the midst of what is measured.
func syncDisk() error {
	d, err := os.Open(os.TempDir())
	if err != nil {
		return err
	}
	if err = unix.Syncfs(int(d.Fd())); err != nil {
		err = fmt.Errorf("sync the disk of %s: %w", d.Name(), err)
	}
	return errors.Join(err, d.Close())
}

// poll asks until done says so.
func poll(ctx context.Context, within time.Duration, done func() (bool, error)) error {
	ctx, cancel := context.WithTimeout(ctx, within)
	defer cancel()
	for {
		if ok, err := done(); ok || err != nil {
			return err
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(20 * time.Millisecond):
		}
	}
}
