package checker

import (
	"context"
	"fmt"
	"slices"
	"strconv"

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
	Told     int `json:"told"`  // not stored, and told as lost for a reason that is allowed, or quarantined
	Moved    int `json:"moved"` // stored under another name

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

// Excuses are what may have become of a reading that was declared safe.
type Excuses struct {
	Lost  func(reason string, at Place) bool // lost, for this reason
	Moved func(at Place) bool                // stored under another name: its epoch was forked; nil: none
}

// CheckSafe compares readings that were declared safe, by their names, with what one
// profile's table holds. A unit of this profile never has two readings of one time.
func CheckSafe(ctx context.Context, conn *pgx.Conn, profile string, signals []telemetry.Signal, safe map[Place]Reading, may Excuses) (*Safe, error) {
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
		if off := want.Time - row.Time; max(off, -off) > want.Within.Microseconds() || !slices.Equal(want.Values, row.Values) {
			s.Different++
			s.example("%s: at %d µs, declared was %d; %s", row.where(), row.Time, want.Time, difference(want.Values, row.Values))
		}
	}
	s.Stored = len(found)
	told, aside, err := readTold(ctx, conn)
	if err != nil {
		return nil, err
	}
	contents := map[string]bool{} // what is stored, under whatever name
	for i := range stored {
		if may.Moved != nil {
			contents[stored[i].content()] = true
		}
	}
	for at := range safe {
		excused := aside[at.Epoch].Contains(at.Position)
		for reason, sets := range told {
			excused = excused || sets[at.Epoch].Contains(at.Position) && may.Lost(reason, at)
		}
		switch {
		case found[at]:
		case excused:
			s.Told++
		case may.Moved != nil && may.Moved(at) && contents[safe[at].content()]:
			s.Moved++
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

// content is what a reading says, whatever its name.
func (r Reading) content() string {
	out := strconv.AppendInt(nil, r.Time, 10)
	for _, v := range r.Values {
		out = fmt.Appendf(out, " %t %x", v.Missing(), v.Bits())
	}
	return string(out)
}

// positions are of many epochs.
type positions map[telemetry.Epoch]ranges.Set

// readTold reads the positions that are told as lost, by reason, and those that are
// quarantined. What was told as lost and came after all is neither: of that nothing may be
// missing.
func readTold(ctx context.Context, conn *pgx.Conn) (told map[string]positions, aside positions, err error) {
	told, aside = map[string]positions{}, positions{}
	var id, text, reason string
	add := func(to positions) error {
		e, err := telemetry.ParseEpoch(id)
		if err != nil {
			return err
		}
		set, err := multirange(text)
		all := to[e]
		all.AddSet(set)
		to[e] = all
		return err
	}
	err = each(ctx, conn, `select e.epoch_id, (l.positions * ledger.lost)::text, l.reason
		from loss l join epoch e using (epoch_key) join ledger using (epoch_key)`,
		[]any{&id, &text, &reason}, func() error {
			if told[reason] == nil {
				told[reason] = positions{}
			}
			return add(told[reason])
		})
	if err != nil {
		return nil, nil, err
	}
	return told, aside, each(ctx, conn, `select e.epoch_id, l.quarantined::text from ledger l join epoch e using (epoch_key)`,
		[]any{&id, &text}, func() error { return add(aside) })
}
