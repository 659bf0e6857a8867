package chaos

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"andon.internal/lab/checker"
	"andon.internal/lab/factory"
	"andon.internal/shared/telemetry"
)

// retention is how long a cell with retain keeps what was acknowledged: longer than a round.
const retention = 10 * time.Minute

// losing are the faults by which a database loses what it had committed.
var losing = []string{"database-restored", "standby-promoted"}

// loses reports whether databases lose commits by one of these faults.
func loses(faults []*Fault) bool {
	return slices.ContainsFunc(faults, func(f *Fault) bool { return slices.Contains(losing, f.Name) })
}

// losingSeeds is which part of the seeds draws from them too. Their cells retain, and so write
// ahead, whatever Options.Write says: with all others that is tried as it says.
const losingSeeds = 3

// retains reports whether a cell keeps what was acknowledged. Where databases lose commits,
// the file's does always, because of its readings nothing may ever be missing, and the one
// of the dynos by the seed.
func (o *Options) retains(cell string) bool {
	return o.losing && (cell == fileCell || o.Seed/2%2 == 0)
}

// databaseRestored copies the cluster and puts the copy in its place at the cure, as somebody
// does who has a backup and nothing newer.
func databaseRestored(ctx context.Context, r *rig, _ string) (cure, error) {
	return r.olderDatabase(ctx, "")
}

// standbyPromoted is the same with a copy that ends its recovery as a promoted standby does:
// on a timeline of its own, without what had not come to it.
func standbyPromoted(ctx context.Context, r *rig, _ string) (cure, error) {
	return r.olderDatabase(ctx, "touch recovery.signal && echo \"restore_command = 'false'\" >> postgresql.conf && chown --reference=PG_VERSION recovery.signal")
}

// olderDatabase makes a copy, which prepare changes at the end, and puts it back at the cure.
func (r *rig) olderDatabase(ctx context.Context, prepare string) (cure, error) {
	r.lacking = true
	if !r.saying {
		r.after, r.saying = append(r.after, r.sayGone), true
	}
	if !r.opt.retains(dynoCell) {
		r.excused[string(telemetry.LossDatabase)] = true
	}
	mount := r.w.hosts[factory.Postgres].disk.Mount
	data, copied := filepath.Join(mount, "data"), filepath.Join(r.w.dir, "backup")
	if err := r.backup(ctx, data, copied); err != nil {
		return nil, fmt.Errorf("back the database up: %w", err)
	}
	return func(ctx context.Context) error {
		script := fmt.Sprintf("rm -rf '%s' && cp -a '%s' '%s'", data, copied, data)
		if prepare != "" {
			script += fmt.Sprintf(" && cd '%s' && %s", data, prepare)
		}
		err := errors.Join(r.f.Stop(factory.Postgres), run(ctx, "sh", "-c", script), r.start(ctx, factory.Postgres))
		r.restored = time.Now()
		if err != nil {
			return err
		}
		return r.awaitPrimary(ctx)
	}, nil
}

// mayLose reports whether a reading that was declared safe may be lost for a reason that was
// told. A database loses what was there before it was put back, and no more. That a crash took
// it may not be, but where a database had lost it before that: then the cell that restarts does
// not know any more what it was acknowledged, and the collector closes its epoch as after a crash.
func (r *rig) mayLose(reason string, at checker.Place) bool {
	switch database := string(telemetry.LossDatabase); reason {
	case database, string(telemetry.LossCrash):
		return r.excused[database] && !r.journal.first(at).After(r.restored)
	}
	return r.excused[reason]
}

// moved reports whether a reading may have been stored under another name.
func (r *rig) moved(at checker.Place) bool {
	return r.cloning || !r.journal.first(at).After(r.cloned)
}

// awaitPrimary waits for the end of a recovery, in which a server answers already.
func (r *rig) awaitPrimary(ctx context.Context) error {
	conn, err := r.connect(ctx)
	if err != nil {
		return err
	}
	defer conn.Close(ctx)
	for {
		var recovering bool
		if err := conn.QueryRow(ctx, `select pg_is_in_recovery()`).Scan(&recovering); err != nil {
			return fmt.Errorf("wait for the end of recovery: %w", err)
		}
		if !recovering {
			return nil
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(20 * time.Millisecond):
		}
	}
}

// sayGone prints what the database lacked: what was sent again, and what could not be.
func (r *rig) sayGone(ctx context.Context, _ *Round) error {
	r.saying = false
	conn, err := r.connect(ctx)
	if err != nil {
		return err
	}
	defer conn.Close(ctx)
	for _, cell := range cells {
		m, err := r.f.Metrics(ctx, cell)
		if err != nil {
			return err
		}
		var told int64
		err = conn.QueryRow(ctx, `select coalesce(sum(upper(p) - lower(p)), 0)::bigint
			from loss join epoch using (epoch_key) join node using (node_key), unnest(positions) p where node_id = $1 and reason = $2`,
			cell, string(telemetry.LossDatabase)).Scan(&told)
		if err != nil {
			return fmt.Errorf("read losses: %w", err)
		}
		r.say("%s has sent %v records again that the database lacked, and told %d as lost", cell, m[requeued], told)
	}
	return nil
}

// requeued counts an agent's retained records that the database lacked.
const requeued = "andon_uplink_requeued_records_total"

// judgeRequeued finds it where retained records were sent again in a round in which no database
// lost any: else what is acknowledged too early would be healed by retain, and not seen.
func (r *rig) judgeRequeued(ctx context.Context, out *Round) error {
	for _, cell := range cells {
		m, err := r.f.Metrics(ctx, cell)
		if err != nil {
			return err
		}
		n := m[requeued]
		if n < r.resent[cell] {
			r.resent[cell] = 0 // of an agent that is no more
		}
		if n > r.resent[cell] && !r.lacking {
			out.unexplained("the database lacked %v records that it had acknowledged to %s", n-r.resent[cell], cell)
		}
		r.resent[cell] = n
	}
	return nil
}

// backup copies the files of a cluster that is in use, as PostgreSQL's manual has it.
func (r *rig) backup(ctx context.Context, data, to string) error {
	conn, err := r.connect(ctx)
	if err != nil {
		return err
	}
	defer conn.Close(ctx)
	if _, err := conn.Exec(ctx, `select pg_backup_start('chaos', true)`); err != nil {
		return err
	}
	if err := run(ctx, "rm", "-rf", to); err != nil {
		return err
	}
	if err := copyLive(ctx, data, to); err != nil {
		return err
	}
	var label string
	if err := conn.QueryRow(ctx, `select labelfile from pg_backup_stop(false)`).Scan(&label); err != nil {
		return err
	}
	script := fmt.Sprintf("rm -rf '%s/pg_wal' '%s/postmaster.pid' && cp -a '%s/pg_wal' '%s/pg_wal'", to, to, data, to)
	if err := run(ctx, "sh", "-c", script); err != nil {
		return err
	}
	path := filepath.Join(to, "backup_label")
	if err := os.WriteFile(path, []byte(label), 0o600); err != nil {
		return err
	}
	return run(ctx, "chown", "--reference="+filepath.Join(to, "PG_VERSION"), path)
}

// copyLive copies a folder from which files go meanwhile; these do not matter.
func copyLive(ctx context.Context, from, to string) error {
	cmd := exec.CommandContext(ctx, "cp", "-a", from, to)
	cmd.Env = append(os.Environ(), "LC_ALL=C")
	out, err := cmd.CombinedOutput()
	if err == nil {
		return nil
	}
	for line := range strings.Lines(string(out)) {
		if !strings.Contains(line, "No such file or directory") {
			return fmt.Errorf("cp: %w: %s", err, strings.TrimSpace(string(out)))
		}
	}
	return nil
}
