package store

import (
	"context"
	"time"

	"andon.internal/shared/ranges"
	"andon.internal/shared/telemetry"
)

// AuditFilter chooses what is audited; empty fields choose everything.
type AuditFilter struct{ Group, Node, Unit string }

// Audit is the account of what was expected and what there is. It is read from the
// ledger and the runs in one snapshot, not by counting readings.
type Audit struct {
	Runs   []RunAudit   // by group, unit, birth
	Epochs []EpochAudit // by group, node, first seen; not narrowed by Unit
}

// RunAudit accounts for one time on test of a unit, in readings.
type RunAudit struct {
	Group, Unit, Node, Profile string

	Born     time.Time
	Died     time.Time // zero: still active
	Reason   string
	Newest   time.Time // of the newest reading; zero: none
	Expected int64     // as the node counted, up to the newest record stored
	Stored   int64
	Late     int64 // of the stored: came after a newer one
}

// Missing is how many readings the node took that are not stored (yet).
func (r RunAudit) Missing() int64 { return max(r.Expected-r.Stored, 0) }

// EpochAudit accounts for one epoch of a node, in positions.
type EpochAudit struct {
	Group, Node string
	Epoch       telemetry.Epoch
	Ended       string // open, closed or unclean
	Closed      bool   // nothing more will come
	Expected    uint64 // positions used, as far as known
	Committed   uint64
	Lost        uint64
	Quarantined uint64
	Repeats     uint64     // how often a settled position came again
	Losses      ranges.Set // the positions lost
	Holes       ranges.Set // below Expected and in none of the sets: on the way, or still at the node
}

// Audit accounts for runs and epochs.
func (s *Store) Audit(ctx context.Context, f AuditFilter) (Audit, error) {
	var out Audit
	const chosen = `($1::text = '' OR n.group_id = $1::text) AND ($2::text = '' OR n.node_id = $2::text)`
	conn, err := s.pool.Acquire(ctx)
	if err == nil {
		defer conn.Release()
		err = pipeline(ctx, conn.Conn().PgConn(), []call{
			{sql: `BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY`},
			{sql: s.settings},
			{
				sql: `SELECT u.group_id, u.unit_id, n.node_id, p.name, r.reason, r.readings, r.expected, r.late,
 (extract(epoch FROM r.born) * 1000000)::bigint, (extract(epoch FROM r.died) * 1000000)::bigint,
 (extract(epoch FROM r.last_ts) * 1000000)::bigint
 FROM unit_run r JOIN unit u USING (unit_key) JOIN node n USING (node_key)
 JOIN profile p ON p.profile_key = r.profile_key
 WHERE ` + chosen + ` AND ($3::text = '' OR u.unit_id = $3::text) ORDER BY u.group_id, u.unit_id, r.born`,
				params: [][]byte{[]byte(f.Group), []byte(f.Node), []byte(f.Unit)},
				row:    out.addRun,
			},
			{
				sql: `SELECT n.group_id, n.node_id, e.epoch_id, e.ended, e.closed_at IS NOT NULL, e.next,
 l.committed, l.lost, l.quarantined, l.repeats, ` + asideSQL + `
 FROM epoch e JOIN node n USING (node_key) JOIN ledger l USING (epoch_key)
 WHERE ` + chosen + ` ORDER BY n.group_id, n.node_id, e.epoch_key`,
				params: [][]byte{[]byte(f.Group), []byte(f.Node)},
				row:    out.addEpoch,
			},
			{sql: `COMMIT`},
		})
	}
	if err != nil {
		return Audit{}, s.fail(ctx, nil, "audit", err, false)
	}
	return out, nil
}

// ints parses integer columns; NULL is 0.
func ints(v [][]byte, into ...*int64) error {
	for i := range into {
		if v[i] == nil {
			continue
		}
		n, err := parseInt(v[i])
		if err != nil {
			return err
		}
		*into[i] = n
	}
	return nil
}

func (a *Audit) addRun(v [][]byte) error {
	r := RunAudit{
		Group: string(v[0]), Unit: string(v[1]), Node: string(v[2]), Profile: string(v[3]), Reason: string(v[4]),
	}
	var born, died, newest int64
	if err := ints(v[5:], &r.Stored, &r.Expected, &r.Late, &born, &died, &newest); err != nil {
		return err
	}
	r.Born = time.UnixMicro(born).UTC()
	if v[9] != nil {
		r.Died = time.UnixMicro(died).UTC()
	}
	if v[10] != nil {
		r.Newest = time.UnixMicro(newest).UTC()
	}
	a.Runs = append(a.Runs, r)
	return nil
}

func (a *Audit) addEpoch(v [][]byte) error {
	e := EpochAudit{Group: string(v[0]), Node: string(v[1]), Ended: string(v[3]), Closed: string(v[4]) == "t"}
	var err error
	if e.Epoch, err = telemetry.ParseEpoch(string(v[2])); err != nil {
		return err
	}
	var next, repeats, aside int64
	if err := ints([][]byte{v[5], v[9], v[10]}, &next, &repeats, &aside); err != nil {
		return err
	}
	var l ledgerRow
	for i, set := range []*ranges.Set{&l.committed, &l.lost, &l.quarantined} {
		if *set, err = parseMultirange(v[6+i]); err != nil {
			return err
		}
	}
	all := l.all()
	e.Expected = max(uint64(next), all.End())
	e.Committed, e.Lost, e.Quarantined = l.committed.Len(), l.lost.Len(), l.quarantined.Len()
	if folded := min(max(uint64(aside), e.Quarantined)-e.Quarantined, e.Committed); folded > 0 {
		e.Committed, e.Quarantined = e.Committed-folded, e.Quarantined+folded
	}
	e.Repeats, e.Losses = uint64(repeats), l.lost
	e.Holes = ranges.Of(ranges.Range{From: 0, To: e.Expected})
	e.Holes.RemoveSet(*all)
	a.Epochs = append(a.Epochs, e)
	return nil
}
