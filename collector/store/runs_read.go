package store

import (
	"context"
	"fmt"
	"time"
)

// MaxRuns bounds the answer of [Reader.Runs].
const MaxRuns = 500

// Run is one time on test of a unit.
type Run struct {
	Node, Profile string

	Born     time.Time
	Died     time.Time // zero: still active
	Reason   string    // of the death
	Newest   time.Time // of the newest reading; zero: none
	Stored   int64     // readings
	Expected int64     // readings, as the node counted up to the newest record stored
	Late     int64     // of the stored: came after a newer one
}

// Runs returns the latest runs of a unit that were under way between from and to,
// the newest first. limit is 1 to [MaxRuns].
func (r *Reader) Runs(ctx context.Context, group, unit string, from, to time.Time, limit int) ([]Run, error) {
	const op = "read runs"
	if limit < 1 || limit > MaxRuns {
		return nil, fmt.Errorf("%s: limit must be 1 to %d", op, MaxRuns)
	}
	var out []Run
	err := r.s.read(ctx, call{
		sql: `SELECT n.node_id, p.name, r.reason, r.readings, r.expected, r.late,
 (extract(epoch FROM r.born) * 1000000)::bigint, (extract(epoch FROM r.died) * 1000000)::bigint,
 (extract(epoch FROM r.last_ts) * 1000000)::bigint
 FROM unit_run r JOIN unit u USING (unit_key) JOIN node n USING (node_key) JOIN profile p ON p.profile_key = r.profile_key
 WHERE (u.group_id, u.unit_id) = ($1::text, $2::text) AND r.born < $4::timestamptz
 AND (r.died IS NULL OR r.died >= $3::timestamptz) ORDER BY r.born DESC LIMIT $5::bigint`,
		params: [][]byte{
			[]byte(group), []byte(unit), appendMicros(nil, from.UnixMicro()), appendMicros(nil, to.UnixMicro()),
			intParam(int64(limit)),
		},
		row: func(v [][]byte) error {
			run := Run{Node: string(v[0]), Profile: string(v[1]), Reason: string(v[2])}
			var born int64
			if err := ints(v[3:], &run.Stored, &run.Expected, &run.Late, &born); err != nil {
				return err
			}
			run.Born = time.UnixMicro(born).UTC()
			for i, t := range []*time.Time{&run.Died, &run.Newest} {
				if v[7+i] == nil {
					continue
				}
				us, err := parseInt(v[7+i])
				if err != nil {
					return err
				}
				*t = time.UnixMicro(us).UTC()
			}
			out = append(out, run)
			return nil
		},
	})
	if err != nil {
		return nil, r.s.fail(ctx, nil, op, err, false)
	}
	return out, nil
}
