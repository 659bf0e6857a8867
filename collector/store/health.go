package store

import (
	"context"
	"strconv"
	"time"

	"andon.internal/shared/telemetry"
)

// Health is what the database itself says of the plant, read in one snapshot. Times
// are the database's.
type Health struct {
	Leases      []LeaseState  // by name
	Nodes       []NodeState   // by group and node
	Lost        []Trouble     // positions that were told as lost and did not come after all
	Quarantined []Trouble     // entries set aside
	Ahead       []ProfileDays // by profile
}

// LeaseState is who holds a lease, and for how long yet; below 0 it has expired.
type LeaseState struct {
	Name, Holder string
	Left         time.Duration
}

// NodeState is a node as far as it is known here.
type NodeState struct {
	Group, Node string
	Born        time.Time // when its last birth was answered; zero: never
	Doubted     time.Time // when a birth last did not continue what is known; zero: never
	Newest      time.Time // of its newest stored reading, by the reading's own clock; zero: none
	Outstanding int64     // positions used in epochs that go on and not settled: on the way, or at the node
	Unaccounted int64     // positions neither stored nor told lost, of epochs from which nothing more comes
}

// Trouble is how much was lost or set aside of a node's, for one reason.
type Trouble struct {
	Group, Node, Reason string

	Count int64
}

// ProfileDays says for how many whole days from now partitions are ready.
type ProfileDays struct {
	Profile string
	Days    int
}

// Health reads the state of the plant; Lost and Quarantined reach back by window. It
// also returns an error when the tables or profiles are not what this program wants,
// as [Store.Ping] does.
func (s *Store) Health(ctx context.Context, window time.Duration) (Health, error) {
	const op = "read health"
	if err := s.Ping(ctx); err != nil {
		return Health{}, err
	}
	var h Health
	conn, err := s.pool.Acquire(ctx)
	if err == nil {
		defer conn.Release()
		err = pipeline(ctx, conn.Conn().PgConn(), []call{
			{sql: `BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY`},
			{sql: s.settings},
			{sql: leasesSQL, row: h.addLease},
			{sql: nodesSQL, row: h.addNode},
			{sql: lostSQL, params: [][]byte{seconds(window), []byte(telemetry.LossCrash)}, row: addTrouble(&h.Lost)},
			{sql: quarantinedSQL, params: [][]byte{seconds(window)}, row: addTrouble(&h.Quarantined)},
			{sql: aheadSQL, row: h.addAhead},
			{sql: `COMMIT`},
		})
	}
	if err != nil {
		return Health{}, s.fail(ctx, nil, op, err, false)
	}
	return h, nil
}

const leasesSQL = `SELECT name, holder, extract(epoch FROM expires_at - clock_timestamp())::float8 FROM lease ORDER BY name`

// nodesSQL counts positions by the ledger: those below the highest that is known, less
// the settled ones.
const nodesSQL = `SELECT n.group_id, n.node_id, (extract(epoch FROM n.born_at) * 1000000)::bigint,
 (extract(epoch FROM n.doubted_at) * 1000000)::bigint, (extract(epoch FROM runs.newest) * 1000000)::bigint,
 coalesce(holes.open, 0)::bigint, coalesce(holes.closed, 0)::bigint
 FROM node n
 LEFT JOIN (SELECT node_key, max(last_ts) AS newest FROM unit_run GROUP BY 1) runs USING (node_key)
 LEFT JOIN (SELECT node_key, sum(hole) FILTER (WHERE closed_at IS NULL) AS open, sum(hole) FILTER (WHERE closed_at IS NOT NULL) AS closed
  FROM (SELECT e.node_key, e.closed_at, greatest(e.next, coalesce(upper(s.settled), 0))
   - coalesce((SELECT sum(upper(r) - lower(r)) FROM unnest(s.settled) r), 0) AS hole
   FROM epoch e JOIN ledger l USING (epoch_key), LATERAL (SELECT l.committed + l.lost + l.quarantined AS settled) s) h
  GROUP BY 1) holes USING (node_key)
 ORDER BY 1, 2`

// lostSQL counts each position once for each reason, though several loss records may
// name it, and leaves out what was committed or quarantined after all. A crash is only
// what nothing else explains: where one comes between a loss record and its way here, the
// birth is answered first, and the record then gives the reason.
const lostSQL = `WITH told AS (SELECT epoch_key, reason, range_agg(positions) AS positions FROM loss
  WHERE noted_at > now() - $1::float8 * interval '1 second' GROUP BY 1, 2),
 explained AS (SELECT epoch_key, range_agg(positions) AS positions FROM told WHERE reason <> $2::text GROUP BY 1)
 SELECT n.group_id, n.node_id, x.reason, (SELECT sum(upper(r) - lower(r)) FROM unnest(x.positions) r)::bigint
 FROM (SELECT t.epoch_key, t.reason, t.positions * l.lost
   - CASE WHEN t.reason = $2::text THEN coalesce(e.positions, '{}') ELSE '{}' END AS positions
  FROM told t JOIN ledger l USING (epoch_key) LEFT JOIN explained e USING (epoch_key)) x
 JOIN epoch e USING (epoch_key) JOIN node n USING (node_key)
 WHERE NOT isempty(x.positions) ORDER BY 1, 2, 3`

const quarantinedSQL = `SELECT n.group_id, n.node_id, q.reason, count(*)
 FROM quarantine q JOIN epoch e USING (epoch_key) JOIN node n USING (node_key)
 WHERE q.noted_at > now() - $1::float8 * interval '1 second'
 GROUP BY 1, 2, 3 ORDER BY 4 DESC, 1, 2, 3 LIMIT 100`

// aheadSQL counts the days behind today's that have partitions without a gap, by their
// names: the day is in them.
const aheadSQL = `SELECT p.name, (SELECT coalesce(min(d), 366) - 1 FROM generate_series(0, 365) d
 WHERE to_regclass(quote_ident('reading_' || p.name || '_p' || to_char(now() AT TIME ZONE 'UTC' + d * interval '1 day', 'YYYYMMDD'))) IS NULL)
 FROM profile p ORDER BY 1`

func (h *Health) addLease(v [][]byte) error {
	left, err := strconv.ParseFloat(string(v[2]), 64) // -Infinity: was never taken
	if err != nil {
		return err
	}
	h.Leases = append(h.Leases, LeaseState{
		Name: string(v[0]), Holder: string(v[1]),
		Left: time.Duration(min(max(left, -1e9), 1e9) * float64(time.Second)),
	})
	return nil
}

func (h *Health) addNode(v [][]byte) error {
	n := NodeState{Group: string(v[0]), Node: string(v[1])}
	var born, doubted, newest int64
	if err := ints(v[2:], &born, &doubted, &newest, &n.Outstanding, &n.Unaccounted); err != nil {
		return err
	}
	for i, t := range []struct {
		us   int64
		into *time.Time
	}{{born, &n.Born}, {doubted, &n.Doubted}, {newest, &n.Newest}} {
		if v[2+i] != nil {
			*t.into = time.UnixMicro(t.us).UTC()
		}
	}
	h.Nodes = append(h.Nodes, n)
	return nil
}

func addTrouble(list *[]Trouble) func(v [][]byte) error {
	return func(v [][]byte) error {
		t := Trouble{Group: string(v[0]), Node: string(v[1]), Reason: string(v[2])}
		err := ints(v[3:], &t.Count)
		*list = append(*list, t)
		return err
	}
}

func (h *Health) addAhead(v [][]byte) error {
	var days int64
	err := ints(v[1:], &days)
	h.Ahead = append(h.Ahead, ProfileDays{Profile: string(v[0]), Days: int(days)})
	return err
}
