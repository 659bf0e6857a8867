package checker

import (
	"context"
	"encoding/binary"
	"fmt"
	"math"
	"slices"
	"strings"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"andon.internal/shared/telemetry"
)

// Declared is everything that should be stored of one group and one profile.
type Declared struct {
	Group   string
	Profile string
	Signals []telemetry.Signal   // whose columns are compared, in the order of Reading.Values
	Units   map[string][]Reading // by unit id, in the order in which they were taken
	// Until, where set, is the last time that is compared, in µs since 1970: a source that
	// goes on has readings behind it.
	Until int64
}

// Report is what a check of a whole database found.
type Report struct {
	Tally
	Ledger Ledger `json:"ledger"`
}

// OK reports whether nothing is wrong.
func (r *Report) OK() bool { return r.Tally.OK() && r.Ledger.OK() }

// Check compares a database with what was declared for it. The database should be
// at rest. Everything of the group is compared, so a unit that was not declared is a
// finding too.
func Check(ctx context.Context, dsn string, d Declared) (*Report, error) {
	conn, err := pgx.Connect(ctx, dsn)
	if err != nil {
		return nil, fmt.Errorf("check the database: %w", err)
	}
	defer conn.Close(context.WithoutCancel(ctx))
	return CheckOn(ctx, conn, d)
}

// CheckOn is [Check] on a connection, whose transaction decides what is seen: beside a
// database that is written it must be one with a snapshot.
func CheckOn(ctx context.Context, conn *pgx.Conn, d Declared) (*Report, error) {
	keys, err := units(ctx, conn, d.Group)
	if err != nil {
		return nil, err
	}
	r := &Report{}
	for unit, key := range keys {
		stored, err := readings(ctx, conn.PgConn(), d.Profile, d.Signals, fmt.Sprintf("r.unit_key = %d", key))
		if err != nil {
			return nil, fmt.Errorf("read the readings of %s: %w", unit, err)
		}
		if d.Until != 0 {
			stored = slices.DeleteFunc(stored, func(s Stored) bool { return s.Time > d.Until })
		}
		r.Compare(unit, d.Units[unit], stored)
	}
	for unit, declared := range d.Units {
		if _, there := keys[unit]; !there {
			r.Compare(unit, declared, nil)
		}
	}
	if err := r.Ledger.check(ctx, conn); err != nil {
		return nil, err
	}
	return r, nil
}

// units returns the keys of a group's units.
func units(ctx context.Context, conn *pgx.Conn, group string) (map[string]int32, error) {
	rows, err := conn.Query(ctx, `select unit_id, unit_key from unit where group_id = $1`, group)
	if err != nil {
		return nil, fmt.Errorf("read units: %w", err)
	}
	out := map[string]int32{}
	var id string
	var key int32
	if _, err := pgx.ForEachRow(rows, []any{&id, &key}, func() error { out[id] = key; return nil }); err != nil {
		return nil, fmt.Errorf("read units: %w", err)
	}
	return out, nil
}

// readings reads rows of a profile's table, r, in PostgreSQL's binary form, so that no text comes
// between two floats.
func readings(ctx context.Context, conn *pgconn.PgConn, profile string, signals []telemetry.Signal, which string) ([]Stored, error) {
	var columns strings.Builder
	for i := range signals {
		fmt.Fprintf(&columns, ", r.%s", pgx.Identifier{signals[i].Name}.Sanitize())
	}
	sql := fmt.Sprintf(`select r.ts, e.epoch_id, r.position, r.row_no%s from %s r join epoch e using (epoch_key) where %s`,
		columns.String(), pgx.Identifier{"reading_" + profile}.Sanitize(), which)
	result := conn.ExecParams(ctx, sql, nil, nil, nil, []int16{pgx.BinaryFormatCode})
	var out []Stored
	for result.NextRow() {
		s, err := decodeRow(result.Values(), signals)
		if err != nil {
			_, _ = result.Close()
			return nil, err
		}
		out = append(out, s)
	}
	_, err := result.Close()
	return out, err
}

// epoch2000 is PostgreSQL's zero of time in µs since 1970.
const epoch2000 = 946_684_800_000_000

func decodeRow(v [][]byte, signals []telemetry.Signal) (Stored, error) {
	var s Stored
	if len(v) != 4+len(signals) || len(v[0]) != 8 || len(v[2]) != 8 || len(v[3]) != 2 {
		return s, fmt.Errorf("a row has not the columns that readings have")
	}
	var err error
	if s.Epoch, err = telemetry.ParseEpoch(string(v[1])); err != nil {
		return s, err
	}
	s.Time = int64(binary.BigEndian.Uint64(v[0])) + epoch2000
	s.Position = binary.BigEndian.Uint64(v[2])
	s.Row = int(int16(binary.BigEndian.Uint16(v[3])))
	s.Values = make([]telemetry.Value, len(signals))
	for i := range signals {
		if s.Values[i], err = decodeValue(signals[i].Type, v[4+i]); err != nil {
			return s, fmt.Errorf("%s: %w", signals[i].Name, err)
		}
	}
	return s, nil
}

// decodeValue reads PostgreSQL's binary form of a signal; nil is null.
func decodeValue(t telemetry.Type, b []byte) (telemetry.Value, error) {
	size := map[telemetry.Type]int{telemetry.Double: 8, telemetry.Real: 4, telemetry.Integer: 8, telemetry.Boolean: 1}[t]
	switch {
	case b == nil:
		return telemetry.Value{}, nil
	case len(b) != size:
		return telemetry.Value{}, fmt.Errorf("%d bytes for a %v", len(b), t)
	case t == telemetry.Double:
		return telemetry.DoubleValue(math.Float64frombits(binary.BigEndian.Uint64(b))), nil
	case t == telemetry.Real:
		return telemetry.RealValue(math.Float32frombits(binary.BigEndian.Uint32(b))), nil
	case t == telemetry.Integer:
		return telemetry.IntegerValue(int64(binary.BigEndian.Uint64(b))), nil
	}
	return telemetry.BooleanValue(b[0] != 0), nil
}
