package store

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"

	"andon.internal/shared/telemetry"
)

// needs collects what a call wants keys for.
type needs struct {
	nodes  map[telemetry.Node]bool
	epochs map[epochID]bool
	runs   map[runID]wantedRun
}

type wantedRun struct {
	node    telemetry.Node // of which the run is said to be, if it is new
	profile int32
}

func newNeeds() *needs {
	return &needs{map[telemetry.Node]bool{}, map[epochID]bool{}, map[runID]wantedRun{}}
}

// epoch asks for an epoch's key, unless the cache has it.
func (n *needs) epoch(c *cache, id epochID) {
	if _, ok := c.epochs[id]; !ok {
		n.nodes[id.node], n.epochs[id] = true, true
	}
}

// run asks for a run's key, unless the cache has it with that profile.
func (n *needs) run(c *cache, id runID, node telemetry.Node, profile int32) {
	if r, ok := c.runs[id]; !ok || r.profile != profile {
		n.nodes[node], n.runs[id] = true, wantedRun{node, profile}
	}
}

// resolve finds or makes the keys that are needed, in a transaction of its own,
// and puts them into the cache once it has committed. Rows are inserted in one
// order everywhere, so that two resolves cannot wait for each other.
func (s *Store) resolve(ctx context.Context, c *cache, l Lease, n *needs) (unknown bool, err error) {
	if len(n.nodes) == 0 {
		return false, nil
	}
	found := newCache()
	calls := nodeCalls(n, found)
	if len(n.epochs) > 0 {
		calls = append(calls, epochCalls(n, found)...)
	}
	if len(n.runs) > 0 {
		calls = append(calls, runCalls(n, found)...)
	}
	t, err := s.begin(ctx, &l, calls...)
	if err != nil {
		return false, err
	}
	if err := s.identify(c, t.identity); err != nil {
		t.rollback()
		return false, err
	}
	if err := t.commit(ctx); err != nil {
		return t.unknown, err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.runs) > maxCachedRuns {
		clear(c.runs)
	}
	for k, v := range found.nodes {
		c.nodes[k] = v
	}
	for k, v := range found.epochs {
		c.epochs[k] = v
	}
	for k, v := range found.runs {
		c.runs[k] = v
	}
	return false, nil
}

func compareNodes(a, b telemetry.Node) int {
	return cmp.Or(cmp.Compare(a.Group, b.Group), cmp.Compare(a.ID, b.ID))
}

// keyRow reads rows of an ordinal, which counts from 1, and integers.
func keyRow(put func(i int, v []int64)) func([][]byte) error {
	return func(row [][]byte) error {
		v := make([]int64, len(row))
		for i := range row {
			var err error
			if v[i], err = parseInt(row[i]); err != nil {
				return err
			}
		}
		put(int(v[0])-1, v[1:])
		return nil
	}
}

func nodeCalls(n *needs, found *cache) []call {
	nodes := make([]telemetry.Node, 0, len(n.nodes))
	for node := range n.nodes {
		nodes = append(nodes, node)
	}
	slices.SortFunc(nodes, compareNodes)
	var groups, ids list
	for _, node := range nodes {
		groups.text(node.Group)
		ids.text(node.ID)
	}
	params := [][]byte{groups.param(), ids.param()}
	return []call{
		{
			sql: `INSERT INTO node (group_id, node_id) SELECT d.g, d.n FROM unnest($1::text[], $2::text[]) d(g, n)
 WHERE NOT EXISTS (SELECT FROM node x WHERE (x.group_id, x.node_id) = (d.g, d.n)) ON CONFLICT DO NOTHING`,
			params: params,
		},
		{
			sql: `SELECT d.i, x.node_key FROM unnest($1::text[], $2::text[]) WITH ORDINALITY d(g, n, i)
 JOIN node x ON (x.group_id, x.node_id) = (d.g, d.n)`,
			params: params,
			row:    keyRow(func(i int, v []int64) { found.nodes[nodes[i]] = int32(v[0]) }),
		},
	}
}

func epochCalls(n *needs, found *cache) []call {
	epochs := make([]epochID, 0, len(n.epochs))
	for id := range n.epochs {
		epochs = append(epochs, id)
	}
	slices.SortFunc(epochs, func(a, b epochID) int {
		return cmp.Or(compareNodes(a.node, b.node), slices.Compare(a.epoch[:], b.epoch[:]))
	})
	var groups, nodes, ids list
	for _, id := range epochs {
		groups.text(id.node.Group)
		nodes.text(id.node.ID)
		ids.text(id.epoch.String())
	}
	params := [][]byte{groups.param(), nodes.param(), ids.param()}
	const from = ` FROM unnest($1::text[], $2::text[], $3::text[]) WITH ORDINALITY d(g, n, e, i)
 JOIN node x ON (x.group_id, x.node_id) = (d.g, d.n)`
	return []call{
		{
			sql: `INSERT INTO epoch (node_key, epoch_id) SELECT x.node_key, d.e` + from + `
 WHERE NOT EXISTS (SELECT FROM epoch y WHERE (y.node_key, y.epoch_id) = (x.node_key, d.e)) ORDER BY d.i ON CONFLICT DO NOTHING`,
			params: params,
		},
		{
			sql: `INSERT INTO ledger (epoch_key) SELECT y.epoch_key` + from + `
 JOIN epoch y ON (y.node_key, y.epoch_id) = (x.node_key, d.e)
 WHERE NOT EXISTS (SELECT FROM ledger z WHERE z.epoch_key = y.epoch_key) ORDER BY 1 ON CONFLICT DO NOTHING`,
			params: params,
		},
		{
			sql: `SELECT d.i, y.epoch_key` + from + `
 JOIN epoch y ON (y.node_key, y.epoch_id) = (x.node_key, d.e)`,
			params: params,
			row:    keyRow(func(i int, v []int64) { found.epochs[epochs[i]] = int32(v[0]) }),
		},
	}
}

func runCalls(n *needs, found *cache) []call {
	runs := make([]runID, 0, len(n.runs))
	for id := range n.runs {
		runs = append(runs, id)
	}
	slices.SortFunc(runs, func(a, b runID) int {
		return cmp.Or(cmp.Compare(a.group, b.group), cmp.Compare(a.unit, b.unit), cmp.Compare(a.born, b.born))
	})
	var groups, units, borns, nodeGroups, nodes, profiles list
	for _, id := range runs {
		want := n.runs[id]
		groups.text(id.group)
		units.text(id.unit)
		borns.micros(id.born)
		nodeGroups.text(want.node.Group)
		nodes.text(want.node.ID)
		profiles.int(int64(want.profile))
	}
	params := [][]byte{
		groups.param(), units.param(), borns.param(), nodeGroups.param(), nodes.param(), profiles.param(),
	}
	const from = ` FROM unnest($1::text[], $2::text[], $3::timestamptz[], $4::text[], $5::text[], $6::int[])
 WITH ORDINALITY d(g, u, b, ng, n, p, i)`
	const unit = ` JOIN unit ON (unit.group_id, unit.unit_id) = (d.g, d.u)`
	return []call{
		// Where a unit is named twice, its latest run says the profile.
		{
			sql: `INSERT INTO unit (group_id, unit_id, profile_key)
 SELECT * FROM (SELECT DISTINCT ON (d.g, d.u) d.g, d.u, d.p` + from + ` ORDER BY d.g, d.u, d.b DESC) w(g, u, p)
 ON CONFLICT (group_id, unit_id) DO UPDATE SET profile_key = excluded.profile_key
 WHERE unit.profile_key <> excluded.profile_key`,
			params: params,
		},
		{
			sql: `INSERT INTO unit_run (unit_key, node_key, profile_key, born)
 SELECT unit.unit_key, x.node_key, d.p, d.b` + from + unit + ` JOIN node x ON (x.group_id, x.node_id) = (d.ng, d.n)
 ORDER BY d.i ON CONFLICT (unit_key, born) DO UPDATE SET profile_key = excluded.profile_key
 WHERE unit_run.profile_key <> excluded.profile_key`,
			params: params,
		},
		{
			sql: `SELECT d.i, unit.unit_key, r.run_key, r.profile_key` + from + unit + `
 JOIN unit_run r ON (r.unit_key, r.born) = (unit.unit_key, d.b)`,
			params: params,
			row: keyRow(func(i int, v []int64) {
				found.runs[runs[i]] = run{unit: int32(v[0]), key: int32(v[1]), profile: int32(v[2])}
			}),
		},
	}
}

// intParam is an integer parameter.
func intParam(i int64) []byte { return strconv.AppendInt(nil, i, 10) }

// UnitBorn notes that a unit is on test since born (unix ns), before it has a
// reading. It returns [ErrUnknownProfile] when the profile is not installed.
func (s *Store) UnitBorn(ctx context.Context, l Lease, node telemetry.Node, unit, profile string, born int64) error {
	const op = "note birth of unit"
	if err := errors.Join(node.Check(), telemetry.CheckID("unit", unit)); err != nil {
		return fmt.Errorf("%s: %w", op, err)
	}
	c, err := s.known(ctx)
	if err != nil {
		return s.fail(ctx, c, op, err, false)
	}
	t := c.tables[profile]
	if t == nil {
		return s.fail(ctx, c, op, ErrUnknownProfile, false)
	}
	n := newNeeds()
	c.mu.Lock()
	n.run(c, runID{node.Group, unit, micros(born)}, node, t.key)
	c.mu.Unlock()
	unknown, err := s.resolve(ctx, c, l, n)
	return s.fail(ctx, c, op, err, unknown)
}
