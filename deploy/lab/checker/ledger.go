package checker

import (
	"context"
	"fmt"
	"strings"

	"github.com/jackc/pgx/v5"

	"andon.internal/shared/ranges"
)

// Ledger is what a check of the ledger against the tables found, in positions.
type Ledger struct {
	Epochs      int    `json:"epochs"`
	Committed   uint64 `json:"committed"`
	Lost        uint64 `json:"lost"`        // told, with a reason
	Quarantined uint64 `json:"quarantined"` // told, with a reason
	Repeats     uint64 `json:"repeats"`     // came once more, and were recognised

	Unledgered  uint64 `json:"unledgered"`  // have rows, but are not committed in the ledger
	Unexplained uint64 `json:"unexplained"` // committed, but have neither rows nor a reason to have none
	Overlapping uint64 `json:"overlapping"` // in two of committed, lost and quarantined
	Untold      uint64 `json:"untold"`      // lost or quarantined without a row that says why
	Silent      uint64 `json:"silent"`      // of closed epochs, below others of them, and of no fate
	Broken      uint64 `json:"broken"`      // whose row numbers are not 0, 1, 2, ..., each once
	Miscounted  uint64 `json:"miscounted"`  // units whose runs count other readings than are stored

	Examples []string `json:"examples,omitempty"`
}

// OK reports whether nothing is wrong. Losses and quarantined positions that are
// told are not wrong here.
func (l *Ledger) OK() bool {
	return l.Unledgered == 0 && l.Unexplained == 0 && l.Overlapping == 0 && l.Untold == 0 && l.Silent == 0 && l.Broken == 0 && l.Miscounted == 0
}

func (l *Ledger) example(format string, args ...any) {
	if len(l.Examples) < maxExamples {
		l.Examples = append(l.Examples, fmt.Sprintf(format, args...))
	}
}

// epoch is what the tables say of one epoch.
type epoch struct {
	id                             string
	node                           int32
	closed                         bool       // nothing of it comes any more
	committed, lost, quarantined   ranges.Set // the ledger
	repeats                        uint64
	stored, told, aside, explained ranges.Set // rows; loss; quarantine; loss records that came
	whole                          ranges.Set // of those in quarantine: not only some rows of it
}

func (l *Ledger) check(ctx context.Context, conn *pgx.Conn) error {
	epochs, err := readLedger(ctx, conn)
	if err != nil {
		return err
	}
	profiles, err := names(ctx, conn, `select name from profile`)
	if err != nil {
		return err
	}
	for _, p := range profiles {
		if err := l.readPositions(ctx, conn, p, epochs); err != nil {
			return err
		}
		if err := l.countUnits(ctx, conn, p); err != nil {
			return err
		}
	}
	ends := map[int32]uint64{} // node -> runs that ended
	var node int32
	var n uint64
	err = each(ctx, conn, `select node_key, count(*) from unit_run where died is not null group by 1`, []any{&node, &n},
		func() error { ends[node] = n; return nil })
	if err != nil {
		return err
	}
	empty := map[int32]uint64{} // node -> committed positions with no rows
	for _, e := range epochs {
		l.judge(e)
		none := e.committed.Clone()
		none.RemoveSet(e.stored)
		none.RemoveSet(e.explained)
		empty[e.node] += none.Len()
	}
	// A position without rows is the end of a run, and a run ends once.
	for node, n := range empty {
		if n > ends[node] {
			l.Unexplained += n - ends[node]
			l.example("node %d: %d committed positions have no rows, but only %d runs have ended", node, n, ends[node])
		}
	}
	return nil
}

// judge compares the sets of one epoch.
func (l *Ledger) judge(e *epoch) {
	// A ledger of many ranges has quarantined positions among the committed ones.
	folded := e.committed.Intersect(e.whole)
	folded.RemoveSet(e.quarantined) // that is an overlap
	e.committed.RemoveSet(folded)
	e.quarantined.AddSet(folded)
	l.Epochs++
	l.Committed += e.committed.Len()
	l.Lost += e.lost.Len()
	l.Quarantined += e.quarantined.Len()
	l.Repeats += e.repeats
	find := func(count *uint64, s ranges.Set, what string) {
		if !s.Empty() {
			*count += s.Len()
			l.example("epoch %s: %s %s", e.id, s, what)
		}
	}
	minus := func(a, b ranges.Set) ranges.Set {
		a = a.Clone()
		a.RemoveSet(b)
		return a
	}
	find(&l.Unledgered, minus(e.stored, e.committed), "have rows but are not committed in the ledger")
	find(&l.Overlapping, e.committed.Intersect(e.lost), "are committed and lost")
	find(&l.Overlapping, e.committed.Intersect(e.quarantined), "are committed and quarantined")
	find(&l.Overlapping, e.lost.Intersect(e.quarantined), "are lost and quarantined")
	if e.closed {
		fate := e.committed.Clone()
		fate.AddSet(e.lost)
		fate.AddSet(e.quarantined)
		find(&l.Silent, minus(ranges.Of(ranges.Range{From: 0, To: fate.End()}), fate), "are of a closed epoch, and neither committed nor lost nor quarantined")
	}
	find(&l.Untold, minus(e.lost, e.told), "are lost without a reason")
	find(&l.Untold, minus(e.quarantined, e.aside), "are quarantined without a reason")
}

// readLedger reads the ledger, and what is told of losses and quarantine.
func readLedger(ctx context.Context, conn *pgx.Conn) (map[int32]*epoch, error) {
	epochs := map[int32]*epoch{}
	var key, node int32
	var id, committed, lost, quarantined string
	var repeats uint64
	var closed bool
	err := each(ctx, conn, `select e.epoch_key, e.node_key, e.epoch_id, l.committed::text, l.lost::text, l.quarantined::text, l.repeats, e.closed_at is not null
		from epoch e join ledger l using (epoch_key)`,
		[]any{&key, &node, &id, &committed, &lost, &quarantined, &repeats, &closed}, func() (err error) {
			e := &epoch{id: id, node: node, repeats: repeats, closed: closed}
			epochs[key] = e
			for set, text := range map[*ranges.Set]string{&e.committed: committed, &e.lost: lost, &e.quarantined: quarantined} {
				if *set, err = multirange(text); err != nil {
					return err
				}
			}
			return nil
		})
	if err != nil {
		return nil, err
	}
	of := func(key int32) *epoch {
		if epochs[key] == nil {
			epochs[key] = &epoch{id: fmt.Sprintf("without a ledger (key %d)", key)}
		}
		return epochs[key]
	}
	var text string
	err = each(ctx, conn, `select epoch_key, positions::text from loss`, []any{&key, &text}, func() error {
		set, err := multirange(text)
		of(key).told.AddSet(set)
		return err
	})
	if err != nil {
		return nil, err
	}
	var position uint64
	err = each(ctx, conn, `select told_epoch_key, told_position from loss where told_position is not null`,
		[]any{&key, &position}, func() error { of(key).explained.Add(position, position+1); return nil })
	if err != nil {
		return nil, err
	}
	var whole bool
	return epochs, each(ctx, conn, `select epoch_key, position, bool_or(row_no < 0) from quarantine group by 1, 2 order by 1, 2`,
		[]any{&key, &position, &whole}, func() error {
			e := of(key)
			e.aside.Add(position, position+1)
			if whole {
				e.whole.Add(position, position+1)
			}
			return nil
		})
}

// readPositions reads which positions have rows, and checks their row numbers.
func (l *Ledger) readPositions(ctx context.Context, conn *pgx.Conn, profile string, epochs map[int32]*epoch) error {
	var key int32
	var position uint64
	var rows, distinct, next, aside int64
	sql := fmt.Sprintf(`select epoch_key, position, count(*), count(distinct row_no), max(row_no)::bigint + 1,
		(select count(*) from quarantine q where q.epoch_key = r.epoch_key and q.position = r.position and q.row_no >= 0)
		from %s r group by 1, 2 order by 1, 2`, pgx.Identifier{"reading_" + profile}.Sanitize())
	return each(ctx, conn, sql, []any{&key, &position, &rows, &distinct, &next, &aside}, func() error {
		e := epochs[key]
		if e == nil {
			e = &epoch{id: fmt.Sprintf("without a ledger (key %d)", key)}
			epochs[key] = e
		}
		e.stored.Add(position, position+1)
		if rows != distinct || rows+aside < next {
			l.Broken++
			l.example("epoch %s position %d: %d rows, %d of them distinct, up to row %d, %d in quarantine", e.id, position, rows, distinct, next-1, aside)
		}
		return nil
	})
}

// countUnits checks that the runs of each unit count the rows that are stored.
func (l *Ledger) countUnits(ctx context.Context, conn *pgx.Conn, profile string) error {
	var unit string
	var counted, stored int64
	sql := fmt.Sprintf(`select u.unit_id, coalesce(sum(run.readings), 0)::bigint,
		(select count(*) from %s r where r.unit_key = u.unit_key)
		from unit u join profile p using (profile_key) left join unit_run run using (unit_key)
		where p.name = $1 group by u.unit_key, u.unit_id`, pgx.Identifier{"reading_" + profile}.Sanitize())
	return each(ctx, conn, sql, []any{&unit, &counted, &stored}, func() error {
		if counted != stored {
			l.Miscounted++
			l.example("unit %s: its runs count %d readings, %d are stored", unit, counted, stored)
		}
		return nil
	}, profile)
}

// multirange reads PostgreSQL's text form, such as {[0,140),[150,160)}.
func multirange(text string) (ranges.Set, error) {
	inner := strings.TrimSuffix(strings.TrimPrefix(text, "{"), "}")
	return ranges.Parse(strings.ReplaceAll(inner, "),[", ")["), 1<<20)
}

func names(ctx context.Context, conn *pgx.Conn, sql string) ([]string, error) {
	var out []string
	var name string
	err := each(ctx, conn, sql, []any{&name}, func() error { out = append(out, name); return nil })
	return out, err
}

// each runs a query and calls do for every row, scanned into the targets.
func each(ctx context.Context, conn *pgx.Conn, sql string, into []any, do func() error, args ...any) error {
	rows, err := conn.Query(ctx, sql, args...)
	if err != nil {
		return fmt.Errorf("check the ledger: %w", err)
	}
	if _, err := pgx.ForEachRow(rows, into, do); err != nil {
		return fmt.Errorf("check the ledger: %w", err)
	}
	return nil
}
