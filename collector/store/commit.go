package store

import (
	"context"
	"errors"
	"fmt"
	"time"

	"andon.internal/shared/telemetry"
)

// reloadAfter is how old the list of profiles must be before an unknown one makes
// it be read again: another process may have installed it.
const reloadAfter = 5 * time.Second

// Commit stores a batch, of any number of nodes, in one transaction, and returns
// what became of each entry when that is durable. Positions that are settled
// already, or come twice in the batch, are recognised and counted. What cannot be
// stored is quarantined, until it comes in a form that can be stored.
//
// It makes one attempt. On an error nothing is settled, except that with
// RetryError.Unknown the batch may have been committed; the caller repeats it
// unchanged. ErrLeaseLost means that another writes now.
func (s *Store) Commit(ctx context.Context, l Lease, entries []Entry) (Result, error) {
	const op = "commit batch"
	begin := time.Now()
	careful := false
	for tries := 0; ; tries++ {
		c, err := s.known(ctx)
		if err != nil {
			return Result{}, s.fail(ctx, c, op, err, false)
		}
		a := &attempt{s: s, c: c, l: l, b: examine(&s.cfg, c, entries), careful: careful}
		if a.b.unknown && c.olderThan(reloadAfter) {
			s.forget(c)
			continue
		}
		err = a.run(ctx)
		if err == nil {
			r := a.b.result()
			s.cfg.Metrics.committed(&r, time.Since(begin).Seconds())
			return r, nil
		}
		var data *dataError
		switch {
		case tries < 3 && errors.As(err, &data) && !careful:
			careful = true
			s.cfg.Metrics.bisections.Inc()
		case tries < 3 && errors.Is(err, errNoPartition):
			s.forget(c)
		default:
			return Result{}, s.fail(ctx, c, op, err, a.unknown)
		}
	}
}

// attempt is one attempt at a batch.
type attempt struct {
	s       *Store
	c       *cache
	l       Lease
	b       *batch
	careful bool // search for readings that PostgreSQL refuses
	unknown bool // COMMIT was sent and its outcome not learnt
	tx      *tx
	runs    map[runID]*runChange
}

func (a *attempt) run(ctx context.Context) error {
	for t, days := range a.b.days {
		list := make([]int64, 0, len(days))
		for day := range days {
			list = append(list, day)
		}
		if err := a.s.makeDays(ctx, t, list); err != nil {
			return err
		}
	}
	if _, err := a.s.resolve(ctx, a.c, a.l, a.b.needs(a.c)); err != nil {
		return err
	}
	var ok bool
	if a.runs, ok = a.b.bind(a.c); !ok {
		return errors.New("keys were dropped meanwhile")
	}
	if len(a.b.rows) == 0 {
		return nil // nothing that a ledger could hold
	}
	if err := a.lock(ctx); err != nil {
		return err
	}
	err := a.unhide(ctx)
	if err == nil {
		a.b.plan()
		err = a.copyRows(ctx)
	}
	if err != nil {
		a.tx.rollback()
		return err
	}
	if err := a.tx.commit(ctx, a.writes()...); err != nil {
		a.unknown = a.tx.unknown
		return err
	}
	return nil
}

// lock begins the transaction: it checks the lease and the database's identity,
// locks the ledger rows in order and reads them, and checks the keys.
func (a *attempt) lock(ctx context.Context) error {
	byKey := make(map[int32]epochID, len(a.b.rows))
	var keys list
	for id, l := range a.b.rows {
		byKey[l.key] = id
		keys.int(int64(l.key))
	}
	found := 0
	ledger := selectLedger("l.epoch_key = ANY($1::int[])", [][]byte{keys.param()}, func(l *ledgerRow, epochID string) error {
		id, ok := byKey[l.key]
		if !ok || id.epoch.String() != epochID {
			return errStaleKey
		}
		*a.b.rows[id] = *l
		found++
		return nil
	})
	calls := []call{ledger}
	if a.c.writeOut {
		calls = append(calls, call{sql: writeOutSQL})
	}
	if len(a.runs) > 0 {
		calls = append(calls, selectRuns(a.runs))
	}
	t, err := a.s.begin(ctx, &a.l, calls...)
	if err != nil {
		return err
	}
	a.tx = t
	if err = a.s.identify(a.c, t.identity); err == nil && found != len(a.b.rows) {
		err = errStaleKey
	}
	for _, r := range a.runs {
		r.latest = r.newest
		if err == nil && !r.found {
			err = errStaleKey
		}
	}
	if err != nil {
		t.rollback()
	}
	return err
}

// errStaleKey means that a remembered key is not what it was: the database was
// restored.
var errStaleKey = fmt.Errorf("a remembered key is not in the database: %w", ErrDatabaseChanged)

// writes are the last statements of the transaction.
func (a *attempt) writes() []call {
	rows := make([]*ledgerRow, 0, len(a.b.rows))
	for _, l := range a.b.rows {
		rows = append(rows, l)
	}
	calls := updateLedger(rows)
	calls = append(calls, a.b.updateRuns(a.runs)...)
	calls = append(calls, a.b.insertLosses()...)
	calls = append(calls, a.b.insertQuarantine()...)
	return append(calls, a.b.deleteRecovered()...)
}

// received is when an entry came.
func (b *batch) received(it *item) time.Time {
	if it.entry.ReceivedAt.IsZero() {
		return b.now
	}
	return it.entry.ReceivedAt
}

// result says what was done, after it was committed.
func (b *batch) result() Result {
	r := Result{Outcomes: make([]Outcome, len(b.items)), Nodes: map[telemetry.Node]NodeCounts{}}
	for i := range b.items {
		it := &b.items[i]
		r.Outcomes[i] = it.outcome
		if it.outcome == Invalid {
			continue
		}
		n := r.Nodes[it.epoch.node]
		switch it.outcome {
		case Duplicate:
			n.Duplicates++
		case Deferred:
			n.Deferred++
		case Quarantined:
			rejected := 0
			if it.entry.Record != nil {
				rejected = it.entry.Record.Len()
			}
			n.Quarantined += max(rejected, 1)
			r.Rejects = append(r.Rejects, Reject{Entry: i, Rows: rejected, Reason: it.reason})
		case Committed:
			n.Records++
			if it.recovered {
				n.Recovered++
			}
			n.Rows += it.rows
			n.Late += it.late
			n.Repeated += it.repeated
			r.Rows += it.rows
			if it.table != nil && it.skip != nil {
				rejected := it.entry.Record.Len() - it.rows - it.repeated
				n.Quarantined += rejected
				r.Rejects = append(r.Rejects, Reject{Entry: i, Rows: rejected, Reason: it.reason})
			}
		}
		r.Nodes[it.epoch.node] = n
	}
	return r
}
