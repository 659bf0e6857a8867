package bench

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"

	"andon.internal/shared/sentinel"
	"andon.internal/shared/telemetry"
)

// decided returns when an alarm is decided if each reading is there the moment it is
// taken: that of the reading at onset, which first made its rule true, or the end of
// the rule's delay from there on. How a delay counts, and that it does not where
// readings are missing, the engine itself says: it is given the times at which the
// unit's readings were taken, up to the alarm or beyond, and a rule of the same delay
// that is true from the onset on.
func decided(delay time.Duration, taken []time.Time, onset time.Time) (time.Time, error) {
	first := slices.IndexFunc(taken, onset.Equal)
	if first < 0 {
		return time.Time{}, fmt.Errorf("the reading of %v, with which it began, is not stored", onset)
	}
	if delay == 0 {
		return onset, nil
	}
	engine, profile, err := delayEngine(delay)
	if err != nil {
		return time.Time{}, err
	}
	unit := sentinel.Subject{Group: "g", Node: "n", Unit: "u"}
	engine.Born(taken[0], unit, profile, false)
	for i, t := range taken {
		on := 0.0
		if i >= first {
			on = 1
		}
		list := engine.Reading(t, unit, sentinel.Reading{
			Identity: sentinel.Identity{Position: uint64(i)}, Time: t.UnixNano(),
			Values: []telemetry.Value{telemetry.DoubleValue(on)},
		})
		if len(list) > 0 {
			return list[0].At, nil
		}
	}
	if next, ok := engine.Next(); ok { // behind the last reading that is stored
		if list := engine.Tick(next); len(list) > 0 {
			return list[0].At, nil
		}
	}
	return time.Time{}, fmt.Errorf("its delay of %v, begun at %v, does not end with the readings that are stored", delay, onset)
}

// delayEngine returns an engine with one rule, whose `when` is the one signal of the
// profile.
func delayEngine(delay time.Duration) (*sentinel.Engine, *telemetry.Profile, error) {
	profile := &telemetry.Profile{Name: "delay", Version: 1, Signals: []telemetry.Signal{{Name: "is_true", Type: telemetry.Double}}}
	rules, err := sentinel.Load("delay", fmt.Appendf(nil,
		"apiVersion: andon/v1\nrules:\n- {alarm: delay, profile: delay, when: is_true > 0, on_delay: %v, priority: low}\n", delay),
		[]*telemetry.Profile{profile})
	if err != nil {
		return nil, nil, err
	}
	return sentinel.NewEngine(rules), profile, nil
}

// awaitStored waits until the readings that were taken until t are committed: those of
// one cell are in the order in which they were taken.
func awaitStored(ctx context.Context, conn *pgx.Conn, t time.Time) error {
	ctx, cancel := context.WithTimeout(ctx, 20*time.Second)
	defer cancel()
	for {
		var stored bool
		if err := conn.QueryRow(ctx, `select coalesce(max(last_ts) > $1, false) from unit_run`, t).Scan(&stored); err != nil {
			return fmt.Errorf("wait for the readings until %v: %w", t, err)
		}
		if stored {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("the readings until %v are not committed: %w", t, ctx.Err())
		case <-time.After(20 * time.Millisecond):
		}
	}
}

// takenOf returns when the readings of a unit were taken.
func takenOf(ctx context.Context, conn *pgx.Conn, unit string) ([]time.Time, error) {
	rows, err := conn.Query(ctx, `select ts from readings_dyno where unit_id = $1 order by ts`, unit)
	if err != nil {
		return nil, err
	}
	return pgx.CollectRows(rows, pgx.RowTo[time.Time])
}
