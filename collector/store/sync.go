package store

import (
	"context"
	"fmt"
	"slices"

	"andon.internal/shared/ranges"
	"andon.internal/shared/telemetry"
)

// Sync answers a node's birth with what is stored of the epochs that it lists. The
// answer is read under lock and committed, so that it is as durable as the
// readings themselves. Positions that the birth shows to be gone are noted as
// lost: of listed epochs that have ended, what is neither settled nor held; of
// epochs before them that are no longer listed, every hole. Epochs that the chain
// does not descend from are left alone, see [Synced.Doubted].
//
// Everything received from the node earlier must have gone through Commit before:
// what is still queued would be told as lost, until it is committed.
func (s *Store) Sync(ctx context.Context, l Lease, b Birth) (Synced, error) {
	const op = "sync node"
	if err := checkBirth(b); err != nil {
		return Synced{}, fmt.Errorf("%s: %w", op, err)
	}
	t, known, ledgers, err := s.openBirth(ctx, l, b)
	if err != nil {
		return Synced{}, s.fail(ctx, nil, op, err, false)
	}
	done := closeEpochs(known, ledgers, b)
	if err := t.commit(ctx, done.writes(b)...); err != nil {
		return Synced{}, s.fail(ctx, nil, op, err, t.unknown)
	}
	out := Synced{Stored: map[telemetry.Epoch]ranges.Set{}, Lost: done.lost, Doubted: done.doubted}
	for _, e := range b.Chain {
		out.Stored[e.Epoch] = ledgers[e.Epoch].stored()
	}
	return out, nil
}

func checkBirth(b Birth) error {
	if err := b.Node.Check(); err != nil {
		return err
	}
	if len(b.Chain) == 0 {
		return fmt.Errorf("the birth of %s lists no epoch", b.Node)
	}
	seen := map[telemetry.Epoch]bool{}
	for _, e := range b.Chain {
		if e.Epoch.IsZero() || seen[e.Epoch] || e.Next > ranges.MaxPosition+1 || e.End > EndUnclean {
			return fmt.Errorf("the birth of %s lists a malformed epoch %s", b.Node, e.Epoch)
		}
		seen[e.Epoch] = true
	}
	return nil
}

// knownEpoch is an epoch of the node in the database.
type knownEpoch struct {
	key    int32
	prev   telemetry.Epoch // zero: unknown or none
	next   uint64          // 0: unknown
	closed bool
}

// endText is how the table epoch names an end.
var endText = [...]string{EndOpen: "open", EndClosed: "closed", EndUnclean: "unclean"}

// chainParams returns the epochs of a chain, and beside them what it says of each:
// predecessor, end and next position.
func chainParams(chain []ChainEpoch) (listed []byte, rest [][]byte) {
	var ids, prevs, ends, nexts list
	for _, e := range chain {
		ids.text(e.Epoch.String())
		if e.Prev.IsZero() {
			prevs.null()
		} else {
			prevs.text(e.Prev.String())
		}
		ends.text(endText[e.End])
		if e.End == EndOpen {
			nexts.null()
		} else {
			nexts.int(int64(e.Next))
		}
	}
	return ids.param(), [][]byte{prevs.param(), ends.param(), nexts.param()}
}

// openBirth begins a transaction, notes what the birth lists, and reads all epochs
// of the node with the ledgers of those that may change, which stay locked.
func (s *Store) openBirth(ctx context.Context, l Lease, b Birth) (
	*tx, map[telemetry.Epoch]*knownEpoch, map[telemetry.Epoch]*ledgerRow, error,
) {
	known := map[telemetry.Epoch]*knownEpoch{}
	ledgers := map[telemetry.Epoch]*ledgerRow{}
	listed, rest := chainParams(b.Chain)
	node := [][]byte{[]byte(b.Node.Group), []byte(b.Node.ID)}
	const where = `(SELECT node_key FROM node WHERE (group_id, node_id) = ($1::text, $2::text))`
	t, err := s.begin(ctx, &l,
		call{
			sql:    `INSERT INTO node (group_id, node_id) VALUES ($1::text, $2::text) ON CONFLICT DO NOTHING`,
			params: node,
		},
		call{
			sql: `INSERT INTO epoch AS y (node_key, epoch_id, prev_id, ended, next)
 SELECT ` + where + `, d.* FROM unnest($3::text[], $4::text[], $5::text[], $6::bigint[]) d
 ON CONFLICT (node_key, epoch_id) DO UPDATE SET prev_id = coalesce(excluded.prev_id, y.prev_id),
 ended = excluded.ended, next = coalesce(excluded.next, y.next), closed_at = NULL`,
			params: append(append(node[:2:2], listed), rest...),
		},
		call{
			sql: `INSERT INTO ledger (epoch_key) SELECT epoch_key FROM epoch WHERE node_key = ` + where + `
 AND epoch_id = ANY($3::text[]) ORDER BY 1 ON CONFLICT DO NOTHING`,
			params: append(node[:2:2], listed),
		},
		call{
			sql: `SELECT epoch_key, epoch_id, prev_id, next, closed_at IS NOT NULL FROM epoch WHERE node_key = ` + where,
			row: func(v [][]byte) error { return readEpoch(v, known) }, params: node,
		},
		selectLedger(`e.node_key = `+where+` AND (e.closed_at IS NULL OR e.epoch_id = ANY($3::text[]))`,
			append(node[:2:2], listed),
			func(row *ledgerRow, id string) error {
				e, err := telemetry.ParseEpoch(id)
				ledgers[e] = row
				return err
			}),
	)
	if err != nil {
		return nil, nil, nil, err
	}
	if err = s.identify(nil, t.identity); err == nil {
		for _, e := range b.Chain {
			if known[e.Epoch] == nil || ledgers[e.Epoch] == nil {
				err = fmt.Errorf("epoch %s is not there after it was inserted", e.Epoch)
			}
		}
	}
	if err != nil {
		t.rollback()
		return nil, nil, nil, err
	}
	return t, known, ledgers, nil
}

func readEpoch(v [][]byte, known map[telemetry.Epoch]*knownEpoch) error {
	key, err := parseInt(v[0])
	if err != nil {
		return err
	}
	id, err := telemetry.ParseEpoch(string(v[1]))
	if err != nil {
		return err
	}
	k := &knownEpoch{key: int32(key), closed: string(v[4]) == "t"}
	if v[2] != nil {
		if k.prev, err = telemetry.ParseEpoch(string(v[2])); err != nil {
			return err
		}
	}
	if v[3] != nil {
		next, err := parseInt(v[3])
		if err != nil {
			return err
		}
		k.next = uint64(next)
	}
	known[id] = k
	return nil
}

// closing is what a birth shows.
type closing struct {
	current int32 // key of the chain's last epoch
	ledgers []*ledgerRow
	closed  []int32
	losses  []closedLoss
	lost    uint64
	doubted []telemetry.Epoch
}

type closedLoss struct {
	key       int32
	positions ranges.Set
}

// closeEpochs decides, from a birth and what is known of the node, which positions
// are lost and which epochs are closed. It changes the ledger rows in memory.
func closeEpochs(known map[telemetry.Epoch]*knownEpoch, ledgers map[telemetry.Epoch]*ledgerRow, b Birth) closing {
	c := closing{current: known[b.Chain[len(b.Chain)-1].Epoch].key}
	listed := map[telemetry.Epoch]bool{}
	var gone ranges.Set
	lose := func(id telemetry.Epoch, next uint64, held ranges.Set) {
		l := ledgers[id]
		end := max(next, l.all().End())
		if seen, ok := b.Seen[id]; ok && seen <= ranges.MaxPosition {
			end = max(end, seen+1)
		}
		gone = ranges.Of(ranges.Range{From: 0, To: end})
		gone.RemoveSet(held)
		gone.RemoveSet(*l.all())
		if n := l.lose(gone); n > 0 {
			c.lost += n
			c.losses = append(c.losses, closedLoss{l.key, gone.Clone()})
		}
		c.ledgers = append(c.ledgers, l)
	}
	for _, e := range b.Chain {
		listed[e.Epoch] = true
		if e.End != EndOpen {
			lose(e.Epoch, e.Next, e.Held)
		}
	}
	before := ancestors(known, b.Chain)
	for id, k := range known {
		switch {
		case k.closed || listed[id] || ledgers[id] == nil:
		case before[id]:
			lose(id, k.next, ranges.Set{})
			c.closed = append(c.closed, k.key)
		default:
			c.doubted = append(c.doubted, id)
		}
	}
	slices.SortFunc(c.doubted, func(a, b telemetry.Epoch) int { return slices.Compare(a[:], b[:]) })
	return c
}

// ancestors returns the epochs that precede the chain, as far as they are known.
func ancestors(known map[telemetry.Epoch]*knownEpoch, chain []ChainEpoch) map[telemetry.Epoch]bool {
	out := map[telemetry.Epoch]bool{}
	for _, e := range chain {
		for id := e.Prev; !id.IsZero() && !out[id]; {
			out[id] = true
			k := known[id]
			if k == nil {
				break
			}
			id = k.prev
		}
	}
	return out
}

// writes are the statements that make the closing durable.
func (c *closing) writes(b Birth) []call {
	calls := updateLedger(c.ledgers)
	if len(c.losses) > 0 {
		var keys, positions list
		for _, l := range c.losses {
			keys.int(int64(l.key))
			positions.set(l.positions)
		}
		calls = append(calls, call{
			sql: `INSERT INTO loss (epoch_key, positions, reason) SELECT d.k, d.p, $3::text
 FROM unnest($1::int[], $2::int8multirange[]) d(k, p)`,
			params: [][]byte{keys.param(), positions.param(), []byte(telemetry.LossCrash)},
		})
	}
	if len(c.closed) > 0 {
		var keys list
		for _, k := range c.closed {
			keys.int(int64(k))
		}
		calls = append(calls, call{
			sql:    `UPDATE epoch SET closed_at = now() WHERE epoch_key = ANY($1::int[])`,
			params: [][]byte{keys.param()},
		})
	}
	doubted := "NULL"
	if len(c.doubted) > 0 {
		doubted = "now()"
	}
	var boot []byte
	if b.Boot != [16]byte{} {
		boot = fmt.Appendf(nil, "%x", b.Boot)
	}
	return append(calls,
		call{
			sql: `UPDATE node SET boot = $3::uuid, current_epoch = $4::int, born_at = now(),
 doubted_at = coalesce(` + doubted + `, doubted_at) WHERE (group_id, node_id) = ($1::text, $2::text)`,
			params: [][]byte{[]byte(b.Node.Group), []byte(b.Node.ID), boot, intParam(int64(c.current))},
		},
		call{
			sql:    `UPDATE epoch SET boot = $2::uuid WHERE epoch_key = $1::int AND boot IS DISTINCT FROM $2::uuid`,
			params: [][]byte{intParam(int64(c.current)), boot},
		})
}
