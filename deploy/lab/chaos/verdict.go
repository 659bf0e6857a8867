package chaos

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"andon.internal/lab/checker"
	"andon.internal/lab/process"
)

// judge compares the database with what was declared, until the last cure, in one
// snapshot: the plant goes on meanwhile.
func (r *rig) judge(ctx context.Context, out *Round, healed time.Time) error {
	conn, err := r.connect(ctx)
	if err != nil {
		return err
	}
	defer conn.Close(ctx)
	tx, err := conn.BeginTx(ctx, pgx.TxOptions{IsoLevel: pgx.RepeatableRead, AccessMode: pgx.ReadOnly})
	if err != nil {
		return err
	}
	defer func() { _ = tx.Rollback(ctx) }()

	d := r.declared
	d.Until = healed.UnixMicro()
	d.Units = map[string][]checker.Reading{}
	for unit, all := range r.declared.Units {
		n := 0
		for n < len(all) && all[n].Time <= d.Until {
			n++
		}
		d.Units[unit] = all[:n]
	}
	file, err := checker.CheckOn(ctx, conn, d)
	if err != nil {
		return err
	}
	safe, err := checker.CheckSafe(ctx, conn, r.journal.profile.Name, r.journal.profile.Signals,
		r.journal.declared(d.Until), checker.Excuses{
			Lost:  r.mayLose,
			Moved: r.moved,
		})
	if err != nil {
		return err
	}
	if err := conn.QueryRow(ctx, `select (select count(*) from reading_turbofan) + (select count(*) from reading_dyno)`).Scan(&out.Readings); err != nil {
		return err
	}
	out.Readings, r.stored = out.Readings-r.stored, out.Readings
	out.Safe, out.Told, out.Repeats = safe.Declared, safe.Told, file.Ledger.Repeats
	out.Lost = file.Missing + safe.Missing
	out.Doubled = file.Doubled + safe.Doubled
	out.Unexplained += file.Different + file.Unexpected + file.Disordered + safe.Different
	out.Findings = append(append(out.Findings, file.Examples...), safe.Examples...)
	if safe.Declared == 0 {
		out.unexplained("%s has declared nothing safe, so nothing of it was checked", dynoCell)
	}
	// A moved record whose readings were there has a position and no rows.
	if r.cloning {
		r.cloned, r.rowless = time.Now(), file.Ledger.Unexplained
	}
	if file.Ledger.Unexplained <= r.rowless {
		file.Ledger.Unexplained = 0
	}
	if l := &file.Ledger; !l.OK() {
		out.unexplained("the ledger disagrees with the tables")
		out.Findings = append(out.Findings, l.Examples...)
	}
	if err := r.judgeQuarantine(ctx, conn, file.Ledger.Quarantined, out); err != nil {
		return err
	}
	if err := r.judgeRequeued(ctx, out); err != nil {
		return err
	}
	if err := r.flagged(ctx, conn); err != nil {
		return err
	}
	for _, what := range r.accused {
		out.unexplained("%s", what)
	}
	r.accused = nil
	if n := r.over.Swap(0); n > 0 {
		out.unexplained(overdrawn+" %d times", n)
	}
	if err := r.losses(ctx, conn, out); err != nil {
		return err
	}
	for _, p := range r.f.Status(ctx).Processes {
		if p.Name != processes[0] && p.Starts != r.starts[p.Name] {
			out.unexplained("%s ended by itself:\n%s", p.Name, process.Tail(p.Log, 8))
			r.starts[p.Name] = p.Starts
		}
	}
	return nil
}

// losses finds those that no fault explains.
func (r *rig) losses(ctx context.Context, conn *pgx.Conn, out *Round) error {
	rows, err := conn.Query(ctx, `select n.node_id, l.reason, count(*), sum(l.readings)::bigint
		from loss l join epoch e using (epoch_key) join node n using (node_key) group by 1, 2 order by 1, 2`)
	if err != nil {
		return fmt.Errorf("read losses: %w", err)
	}
	var node, reason string
	var records, readings int64
	_, err = pgx.ForEachRow(rows, []any{&node, &reason, &records, &readings}, func() error {
		// The cell of the file loses nothing but positions: their lines are read again.
		if !r.excused[reason] || node == fileCell && reason != "crash" {
			out.unexplained("%s lost %d readings in %d "+stretches+"%s", node, readings, records, reason)
		}
		return nil
	})
	return err
}
