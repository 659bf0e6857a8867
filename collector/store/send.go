package store

import (
	"context"
	"errors"
	"fmt"

	"github.com/jackc/pgx/v5/pgconn"
)

// errNoPartition means that a partition that we know of is gone.
var errNoPartition = errors.New("a partition is missing")

// dataError is PostgreSQL's refusal of a reading: class 22 or 23.
type dataError struct{ *pgconn.PgError }

func (e *dataError) Unwrap() error { return e.PgError }

// copyRows sends the readings: what was moved last, because what it is compared with may
// be in the same batch.
func (a *attempt) copyRows(ctx context.Context) error {
	var list, moved []*item
	for i := range a.b.items {
		switch it := &a.b.items[i]; {
		case it.outcome != Committed || it.table == nil:
		case it.entry.Moved:
			moved = append(moved, it)
		default:
			list = append(list, it)
		}
	}
	err := a.copyTables(ctx, list)
	for err == nil && len(moved) > 0 {
		list, moved = apart(moved)
		err = a.copyTables(ctx, list)
	}
	return err
}

// copyTables sends the readings of some records, table by table.
func (a *attempt) copyTables(ctx context.Context, list []*item) error {
	var tables []*table
	items := map[*table][]*item{}
	for _, it := range list {
		if items[it.table] == nil {
			tables = append(tables, it.table)
		}
		items[it.table] = append(items[it.table], it)
	}
	for _, t := range tables {
		var err error
		if a.careful {
			err = a.search(ctx, t, items[t])
		} else {
			err = a.copy(ctx, t, items[t])
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// copy sends the readings of some records of one table.
func (a *attempt) copy(ctx context.Context, t *table, items []*item) error {
	if err := a.recall(ctx, t, items); err != nil {
		return err
	}
	r := &copyReader{items: make([]copyItem, 0, len(items))}
	want := 0
	for _, it := range items {
		if it.rows == 0 {
			continue // the end of a run
		}
		want += it.rows
		r.items = append(r.items, copyItem{
			rec: it.entry.Record, layout: it.layout, skip: it.left(),
			unit: it.runKey.unit, epoch: it.ledger.key, position: it.entry.Position,
			received: a.b.received(it).UnixMicro(),
		})
	}
	if want == 0 {
		return nil
	}
	tag, err := a.tx.pg.CopyFrom(ctx, r, t.copySQL)
	var pg *pgconn.PgError
	switch {
	case err == nil && tag.RowsAffected() != int64(want):
		return fmt.Errorf("COPY took %d of %d rows", tag.RowsAffected(), want)
	case err == nil:
		a.copied(items)
		return nil
	case !errors.As(err, &pg):
		return err
	case pg.Code == "23514" && pg.ConstraintName == "":
		return fmt.Errorf("%w: %w", errNoPartition, err)
	case pg.Code[:2] == "22" || pg.Code[:2] == "23":
		return &dataError{pg}
	}
	return err
}

// search copies records in halves, each behind a savepoint, until the ones that
// PostgreSQL refuses are alone; these are quarantined.
func (a *attempt) search(ctx context.Context, t *table, items []*item) error {
	if err := a.tx.run(ctx, call{sql: "SAVEPOINT part"}); err != nil {
		return err
	}
	err := a.copy(ctx, t, items)
	if err == nil {
		return a.tx.run(ctx, call{sql: "RELEASE SAVEPOINT part"})
	}
	var data *dataError
	if !errors.As(err, &data) {
		return err
	}
	if err := a.tx.run(ctx, call{sql: "ROLLBACK TO SAVEPOINT part"}, call{sql: "RELEASE SAVEPOINT part"}); err != nil {
		return err
	}
	if len(items) == 1 {
		next := a.b.refuse(items[0], fmt.Sprintf("PostgreSQL refused it: %s (SQLSTATE %s)", data.Message, data.Code))
		if next == nil || next.table == nil {
			return nil
		}
		return a.search(ctx, next.table, []*item{next})
	}
	half := len(items) / 2
	if err := a.search(ctx, t, items[:half]); err != nil {
		return err
	}
	return a.search(ctx, t, items[half:])
}
