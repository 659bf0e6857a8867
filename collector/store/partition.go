package store

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"
)

const (
	daysAhead       = 7
	daysAtOnce      = 32 // partitions made in one transaction
	dropLockTimeout = "500ms"
)

// Maintain makes the partitions of the days ahead and drops those that retention
// no longer covers. Call it at the start and every hour or so. A partition that is
// in use stays until the next call.
func (s *Store) Maintain(ctx context.Context) error {
	const op = "maintain partitions"
	c, err := s.known(ctx)
	if err != nil {
		return s.fail(ctx, c, op, err, false)
	}
	now := s.cfg.Now()
	today := dayOf(now.UnixMicro())
	for _, t := range c.tables {
		var days []int64
		for d := today - 1; d <= today+daysAhead; d++ {
			days = append(days, d)
		}
		if err := s.makeDays(ctx, t, days); err != nil {
			return s.fail(ctx, c, op, err, false)
		}
		if s.cfg.Retention > 0 {
			oldest := dayOf(now.Add(-s.cfg.Retention).UnixMicro())
			if err := s.dropDays(ctx, t, oldest); err != nil {
				return s.fail(ctx, c, op, err, false)
			}
		}
	}
	return nil
}

// missing returns the given days that have no partition, sorted, each once.
func (t *table) missing(days []int64) []int64 {
	t.mu.Lock()
	defer t.mu.Unlock()
	var out []int64
	for _, d := range days {
		if !t.days[d] {
			out = append(out, d)
		}
	}
	slices.Sort(out)
	return slices.Compact(out)
}

// makeDays makes the partitions of days that have none. Any number of processes
// may do so at once.
func (s *Store) makeDays(ctx context.Context, t *table, days []int64) error {
	for some := range slices.Chunk(t.missing(days), daysAtOnce) {
		made := 0
		err := pgx.BeginFunc(ctx, s.pool, func(tx pgx.Tx) error {
			for _, sql := range []string{s.settings, ddlLock} {
				if _, err := tx.Exec(ctx, sql); err != nil {
					return err
				}
			}
			for _, day := range some {
				ok, err := makeDay(ctx, tx, t.profile.Name, day)
				if err != nil {
					return err
				}
				if ok {
					made++
				}
			}
			return nil
		})
		if err != nil {
			return fmt.Errorf("make partitions of %s: %w", tableName(t.profile.Name), err)
		}
		s.cfg.Metrics.partitions.Add(float64(made))
		t.mu.Lock()
		for _, day := range some {
			t.days[day] = true
		}
		t.mu.Unlock()
	}
	return nil
}

// makeDay makes one partition unless it is there. A table is made by itself and
// then attached: CREATE TABLE ... PARTITION OF would wait for writers of the other
// days, and hold up those behind it.
func makeDay(ctx context.Context, tx pgx.Tx, profile string, day int64) (made bool, err error) {
	name := partitionName(profile, day)
	const attached = `SELECT EXISTS (SELECT FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid
 WHERE i.inhparent = to_regclass($1) AND c.relname = $2)`
	var there bool
	if err := tx.QueryRow(ctx, attached, quote(tableName(profile)), name).Scan(&there); err != nil || there {
		return false, err
	}
	from, to := time.UnixMicro(day*usPerDay).UTC(), time.UnixMicro((day+1)*usPerDay).UTC()
	const stamp = "2006-01-02 15:04:05Z"
	for _, sql := range []string{
		fmt.Sprintf(`CREATE TABLE %s (LIKE %s INCLUDING DEFAULTS INCLUDING CONSTRAINTS)`,
			quote(name), quote(tableName(profile))),
		fmt.Sprintf(`ALTER TABLE %s ATTACH PARTITION %s FOR VALUES FROM ('%s') TO ('%s')`,
			quote(tableName(profile)), quote(name), from.Format(stamp), to.Format(stamp)),
	} {
		if _, err := tx.Exec(ctx, sql); err != nil {
			return false, err
		}
	}
	return true, nil
}

// dropDays drops partitions of days before oldest, each in a transaction of its
// own that gives up soon where somebody uses the table.
func (s *Store) dropDays(ctx context.Context, t *table, oldest int64) error {
	t.mu.Lock()
	var old []int64
	for day := range t.days {
		if day < oldest {
			old = append(old, day)
		}
	}
	t.mu.Unlock()
	slices.Sort(old)
	var errs []error
	for _, day := range old {
		name := partitionName(t.profile.Name, day)
		// Known to be gone before it is: a writer makes it anew, rather than fail.
		t.mu.Lock()
		delete(t.days, day)
		t.mu.Unlock()
		err := pgx.BeginFunc(ctx, s.pool, func(tx pgx.Tx) error {
			for _, sql := range []string{
				s.settings, ddlLock, `SET LOCAL lock_timeout = '` + dropLockTimeout + `'`,
				`DROP TABLE IF EXISTS ` + quote(name),
			} {
				if _, err := tx.Exec(ctx, sql); err != nil {
					return err
				}
			}
			return nil
		})
		if err != nil {
			t.mu.Lock()
			t.days[day] = true
			t.mu.Unlock()
			errs = append(errs, fmt.Errorf("drop %s: %w", name, err))
			continue
		}
		s.cfg.Logger.Info("partition dropped", "table", name)
	}
	return errors.Join(errs...)
}
