package chaos

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/jackc/pgx/v5"

	"andon.internal/lab/factory"
)

// keep copies the logs and metrics of a round that found something, and what the database says of every
// position.
func (r *rig) keep(ctx context.Context, out *Round) error {
	to := filepath.Join(r.opt.Keep, fmt.Sprintf("seed-%d-round-%d", r.opt.Seed, r.round))
	if err := os.MkdirAll(r.opt.Keep, 0o755); err != nil {
		return err
	}
	if err := run(ctx, "cp", "-a", filepath.Join(r.w.dir, "lab"), to); err != nil {
		return err
	}
	for _, name := range processes {
		if name == factory.Postgres {
			continue
		}
		m, err := r.f.Metrics(ctx, name)
		lines := make([]string, 0, len(m))
		for series, value := range m {
			lines = append(lines, fmt.Sprintf("%s %g", series, value))
		}
		slices.Sort(lines)
		if err != nil { // it is down: that is seen too
			lines = []string{err.Error()}
		}
		if err := os.WriteFile(filepath.Join(to, name, "metrics.txt"), []byte(strings.Join(lines, "\n")+"\n"), 0o644); err != nil {
			return err
		}
	}
	text, err := r.ledger(ctx)
	if err != nil {
		text = err.Error()
	}
	text += "\n" + strings.Join(out.Findings, "\n") + "\n"
	return os.WriteFile(filepath.Join(to, "ledger.txt"), []byte(text), 0o644)
}

// ledger lists the epochs and losses that the database has.
func (r *rig) ledger(ctx context.Context) (string, error) {
	conn, err := r.connect(ctx)
	if err != nil {
		return "", err
	}
	defer conn.Close(ctx)
	var b strings.Builder
	for _, sql := range []string{
		`select format('%s epoch %s prev %s %s next %s closed %s: committed %s lost %s quarantined %s repeats %s', n.node_id, e.epoch_id, e.prev_id,
			e.ended, e.next, e.closed_at, l.committed, l.lost, l.quarantined, l.repeats)
			from epoch e join node n using (node_key) join ledger l using (epoch_key) order by 1`,
		`select format('loss %s epoch %s: %s %s', n.node_id, e.epoch_id, l.positions, l.reason)
			from loss l join epoch e using (epoch_key) join node n using (node_key) order by 1`,
	} {
		rows, err := conn.Query(ctx, sql)
		if err != nil {
			return b.String(), err
		}
		var line string
		if _, err := pgx.ForEachRow(rows, []any{&line}, func() error { _, err := fmt.Fprintln(&b, line); return err }); err != nil {
			return b.String(), err
		}
	}
	return b.String(), nil
}
