package checker

import (
	"context"
	"fmt"
	"slices"

	"github.com/jackc/pgx/v5"

	"andon.internal/shared/ranges"
	"andon.internal/shared/telemetry"
)

// Place names a reading for ever.
type Place struct {
	Epoch    telemetry.Epoch
	Position uint64
	Row      int
}

// Safe is what a check of readings that cells declared safe found.
type Safe struct {
	Declared int `json:"declared"`
	Stored   int `json:"stored"`
	Told     int `json:"told"` // not stored, and told as lost for a reason that is allowed, or quarantined

	Missing   int `json:"missing"`   // neither stored nor told
	Different int `json:"different"` // stored with other values, or at another time
	Doubled   int `json:"doubled"`   // rows of the table whose unit has another one of the same time

	Examples []string `json:"examples,omitempty"`
}

// OK reports whether nothing is wrong.
func (s *Safe) OK() bool { return s.Missing == 0 && s.Different == 0 && s.Doubled == 0 }

func (s *Safe) example(format string, args ...any) {
	if len(s.Examples) < maxExamples {
		s.Examples = append(s.Examples, fmt.Sprintf(format, args...))
	}
}

// CheckSafe compares readings that were declared safe, by their names, with what one
// profile's table holds. excused says for which reasons such a reading may be lost. A unit
// of this profile never has two readings of one time.
func CheckSafe(ctx context.Context, conn *pgx.Conn, profile string, signals []telemetry.Signal, safe map[Place]Reading, excused func(reason string) bool) (*Safe, error) {
	stored, err := readings(ctx, conn.PgConn(), profile, signals, "true")
	if err != nil {
		return nil, fmt.Errorf("read the readings of %s: %w", profile, err)
	}
	s := &Safe{Declared: len(safe)}
	found := make(map[Place]bool, len(safe))
	for i := range stored {
		row := &stored[i]
		at := Place{row.Epoch, row.Position, row.Row}
		want, declared := safe[at]
		if !declared {
			continue
		}
		found[at] = true
		if want.Time != row.Time || !slices.Equal(want.Values, row.Values) {
			s.Different++
			s.example("%s: at %d µs, declared was %d; %s", row.where(), row.Time, want.Time, difference(want.Values, row.Values))
		}
	}
	s.Stored = len(found)
	told, err := readTold(ctx, conn, excused)
	if err != nil {
		return nil, err
	}
	for at := range safe {
		set := told[at.Epoch]
		switch {
		case found[at]:
		case set.Contains(at.Position):
			s.Told++
		default:
			s.Missing++
			s.example("epoch %s position %d row %d: declared safe, and not there", at.Epoch.Short(), at.Position, at.Row)
		}
	}
	err = conn.QueryRow(ctx, fmt.Sprintf(`select count(*) - count(distinct (unit_key, ts)) from %s`,
		pgx.Identifier{"reading_" + profile}.Sanitize())).Scan(&s.Doubled)
	if err != nil {
		return nil, fmt.Errorf("count readings twice there: %w", err)
	}
	return s, nil
}

// readTold reads the positions that are lost for an allowed reason, or quarantined.
func readTold(ctx context.Context, conn *pgx.Conn, excused func(reason string) bool) (map[telemetry.Epoch]ranges.Set, error) {
	told := map[telemetry.Epoch]ranges.Set{}
	var id, text, reason string
	add := func() error {
		e, err := telemetry.ParseEpoch(id)
		if err != nil {
			return err
		}
		set, err := multirange(text)
		if err != nil {
			return err
		}
		if reason == "" || excused(reason) {
			all := told[e]
			all.AddSet(set)
			told[e] = all
		}
		return nil
	}
	err := each(ctx, conn, `select e.epoch_id, l.positions::text, l.reason from loss l join epoch e using (epoch_key)`,
		[]any{&id, &text, &reason}, add)
	if err != nil {
		return nil, err
	}
	reason = ""
	return told, each(ctx, conn, `select e.epoch_id, l.quarantined::text from ledger l join epoch e using (epoch_key)`, []any{&id, &text}, add)
}
