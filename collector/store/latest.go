package store

import (
	"context"
	"encoding/binary"
	"fmt"
	"time"

	"andon.internal/shared/telemetry"
)

// Reading is a stored reading of a unit.
type Reading struct {
	Group, Unit string
	Profile     *telemetry.Profile // as installed: the columns, in order
	Time        time.Time
	ReceivedAt  time.Time
	Quality     telemetry.Quality
	Epoch       telemetry.Epoch
	Position    uint64
	Row         int
	Values      []telemetry.Value // one a signal of Profile
}

// newestSQL finds a unit's key and the time of its newest reading from its runs,
// without looking at readings. It asks the latest 8: runs of one unit seldom
// overlap.
const newestSQL = `SELECT r.unit_key, (extract(epoch FROM r.last_ts) * 1000000)::bigint, p.name FROM (
 SELECT x.unit_key, x.last_ts, x.profile_key FROM unit JOIN unit_run x USING (unit_key)
 WHERE (unit.group_id, unit.unit_id) = ($1::text, $2::text) AND x.last_ts IS NOT NULL ORDER BY x.born DESC LIMIT 8) r
 JOIN profile p USING (profile_key) ORDER BY r.last_ts DESC LIMIT 1`

// latestSQL is one descent of one partition's index: the newest reading is of a
// time that is known, so both bounds lie within a day.
func latestSQL(p *telemetry.Profile) string {
	return `SELECT r.ts, r.received_at, r.quality, r.position, r.row_no,
 (SELECT e.epoch_id FROM epoch e WHERE e.epoch_key = r.epoch_key)` + columnList(p, "r.") +
		` FROM ` + quote(tableName(p.Name)) +
		` r WHERE r.unit_key = $1::int AND r.ts <= $2::timestamptz AND r.ts >= $3::timestamptz ORDER BY r.ts DESC LIMIT 1`
}

// Latest returns the newest stored reading of a unit; false when there is none, or
// none that retention left. It takes the same time however many readings there are.
func (s *Store) Latest(ctx context.Context, group, unit string) (Reading, bool, error) {
	const op = "read latest reading"
	c, err := s.known(ctx)
	if err != nil {
		return Reading{}, false, s.fail(ctx, c, op, err, false)
	}
	out := Reading{Group: group, Unit: unit}
	found, profile, key, newest := false, "", int64(0), int64(0)
	err = s.read(ctx, call{
		sql: newestSQL, params: [][]byte{[]byte(group), []byte(unit)},
		row: func(v [][]byte) (err error) {
			found, profile = true, string(v[2])
			if key, err = parseInt(v[0]); err == nil {
				newest, err = parseInt(v[1])
			}
			return err
		},
	})
	if err != nil || !found {
		return Reading{}, false, s.fail(ctx, c, op, err, false)
	}
	t := c.tables[profile]
	if t == nil {
		return Reading{}, false, s.fail(ctx, c, op, ErrUnknownProfile, false)
	}
	out.Profile, found = t.profile, false
	err = s.read(ctx, call{
		sql: latestSQL(t.profile), binary: true,
		params: [][]byte{intParam(key), appendMicros(nil, newest), appendMicros(nil, dayOf(newest)*usPerDay)},
		row: func(v [][]byte) error {
			found = true
			return out.decode(v)
		},
	})
	if err != nil || !found {
		return Reading{}, false, s.fail(ctx, c, op, err, false)
	}
	return out, true, nil
}

// read runs one statement under the usual time limits, in one round trip: a
// pipeline is a transaction.
func (s *Store) read(ctx context.Context, what call) error {
	conn, err := s.pool.Acquire(ctx)
	if err != nil {
		return err
	}
	defer conn.Release()
	return pipeline(ctx, conn.Conn().PgConn(), []call{{sql: s.settings}, what})
}

// decode reads a row of latestSQL, in binary form.
func (r *Reading) decode(v [][]byte) error {
	be := binary.BigEndian
	for i, size := range []int{8, 8, 2, 8, 2} {
		if len(v[i]) != size {
			return fmt.Errorf("column %d of a reading has %d bytes", i+1, len(v[i]))
		}
	}
	r.Time = time.UnixMicro(int64(be.Uint64(v[0])) + pgEpoch).UTC()
	r.ReceivedAt = time.UnixMicro(int64(be.Uint64(v[1])) + pgEpoch).UTC()
	r.Quality = telemetry.Quality(be.Uint16(v[2]))
	r.Position = be.Uint64(v[3])
	r.Row = int(be.Uint16(v[4]))
	var err error
	if r.Epoch, err = telemetry.ParseEpoch(string(v[5])); err != nil {
		return err
	}
	r.Values = make([]telemetry.Value, len(r.Profile.Signals))
	for i, b := range v[6:] {
		typ := r.Profile.Signals[i].Type
		switch len(b) {
		case 0: // NULL: missing
		case 1:
			r.Values[i] = telemetry.FromBits(typ, uint64(b[0]))
		case 4:
			r.Values[i] = telemetry.FromBits(typ, uint64(be.Uint32(b)))
		case 8:
			r.Values[i] = telemetry.FromBits(typ, be.Uint64(b))
		default:
			return fmt.Errorf("signal %s of a reading has %d bytes", r.Profile.Signals[i].Name, len(b))
		}
	}
	return nil
}
