package store

import (
	"context"
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/stdlib"
	"github.com/pressly/goose/v3"
	"github.com/pressly/goose/v3/lock"

	"andon.internal/shared/telemetry"
)

//go:embed migrations/*.sql
var migrations embed.FS

// ddlLock is the advisory lock of a transaction that changes tables: it holds till
// the transaction's end, which a pooler in transaction mode respects.
const ddlLock = `SELECT pg_advisory_xact_lock(hashtext('andon tables'))`

// Migrate prepares or upgrades the database and installs the profiles of the
// configuration, with their partitions. Several processes may call it at once. A
// profile that does not fit what is installed is an error that says why; then
// nothing of that profile was changed. Failures of the database are a [RetryError].
func (s *Store) Migrate(ctx context.Context) error {
	const op = "migrate database"
	if err := s.migrateTables(ctx); err != nil {
		return s.fail(ctx, nil, op, err, false)
	}
	for _, p := range s.cfg.Profiles {
		if err := s.installProfile(ctx, p); err != nil {
			var refused *refusedError
			if errors.As(err, &refused) {
				return fmt.Errorf("%s: %w", op, refused.error)
			}
			return s.fail(ctx, nil, op, err, false)
		}
	}
	s.mu.Lock()
	s.cache = newCache()
	s.mu.Unlock()
	return s.Maintain(ctx)
}

// migrateTables runs the embedded migrations, under a lock that is a row of a table.
func (s *Store) migrateTables(ctx context.Context) error {
	files, err := fs.Sub(migrations, "migrations")
	if err != nil {
		return err
	}
	locker, err := lock.NewPostgresTableLocker(
		lock.WithTableName("goose_lock"),
		lock.WithTableLockTimeout(200*time.Millisecond, 1500),
		lock.WithTableUnlockTimeout(200*time.Millisecond, 50))
	if err != nil {
		return err
	}
	pc := s.pool.Config()
	var options []stdlib.OptionOpenDB
	if pc.BeforeConnect != nil {
		options = append(options, stdlib.OptionBeforeConnect(pc.BeforeConnect))
	}
	db := stdlib.OpenDB(*pc.ConnConfig, options...)
	defer db.Close()
	if err := db.PingContext(ctx); err != nil {
		return err
	}
	provider, err := goose.NewProvider(goose.DialectPostgres, db, files,
		goose.WithLocker(locker), goose.WithDisableGlobalRegistry(true))
	if err != nil {
		return err
	}
	done, err := provider.Up(ctx)
	for _, r := range done {
		if r.Error == nil {
			s.cfg.Logger.Info("database migrated", "version", r.Source.Version, "duration", r.Duration)
			s.cfg.Changed(fmt.Sprintf("migration %d", r.Source.Version))
		}
	}
	return err
}

// refusedError is a profile that cannot be installed, whatever the database does.
type refusedError struct{ error }

// installProfile makes or extends a profile's table, in one transaction.
func (s *Store) installProfile(ctx context.Context, p *telemetry.Profile) error {
	did := ""
	err := pgx.BeginFunc(ctx, s.pool, func(tx pgx.Tx) error {
		if _, err := tx.Exec(ctx, s.settings); err != nil {
			return err
		}
		if _, err := tx.Exec(ctx, ddlLock); err != nil {
			return err
		}
		var version int
		var def []byte
		err := tx.QueryRow(ctx, `SELECT version, definition::text FROM profile WHERE name = $1`, p.Name).Scan(&version, &def)
		if errors.Is(err, pgx.ErrNoRows) {
			s.cfg.Logger.Info("profile installed", "profile", p.Name, "version", p.Version)
			did = "installed"
			return createProfile(ctx, tx, p)
		}
		if err != nil {
			return err
		}
		installed, err := undefine(p.Name, version, def)
		if err != nil {
			return &refusedError{err}
		}
		merged, added, err := evolve(installed, p)
		if err != nil {
			return &refusedError{err}
		}
		if len(added) > 0 {
			s.cfg.Logger.Info("profile extended", "profile", p.Name, "version", p.Version, "new_signals", len(added))
			did = "extended"
		}
		return changeProfile(ctx, tx, merged, added)
	})
	if err == nil && did != "" {
		s.cfg.Changed(fmt.Sprintf("profile %s version %d %s", p.Name, p.Version, did))
	}
	return err
}

// createProfile makes the table of a new profile.
func createProfile(ctx context.Context, tx pgx.Tx, p *telemetry.Profile) error {
	var b strings.Builder
	table := quote(tableName(p.Name))
	fmt.Fprintf(&b, `CREATE TABLE %s (ts timestamptz NOT NULL, unit_key int NOT NULL, epoch_key int NOT NULL,
 position bigint NOT NULL, row_no smallint NOT NULL, quality smallint NOT NULL, received_at timestamptz NOT NULL`, table)
	for _, sig := range p.Signals {
		fmt.Fprintf(&b, ", %s %s", quote(sig.Name), columnType(sig.Type))
	}
	b.WriteString(") PARTITION BY RANGE (ts)")
	for _, sql := range []string{
		b.String(),
		`CREATE INDEX ON ` + table + ` (unit_key, ts DESC)`,
		viewSQL(p),
	} {
		if _, err := tx.Exec(ctx, sql); err != nil {
			return err
		}
	}
	def, err := define(p)
	if err != nil {
		return err
	}
	_, err = tx.Exec(ctx, `INSERT INTO profile (name, version, fingerprint, definition) VALUES ($1, $2, $3, $4::jsonb)`,
		p.Name, p.Version, int64(p.Fingerprint()), string(def))
	return err
}

// changeProfile adds columns to the table of an installed profile and notes what
// changed.
func changeProfile(ctx context.Context, tx pgx.Tx, p *telemetry.Profile, added []telemetry.Signal) error {
	if len(added) > 0 {
		columns := make([]string, len(added))
		for i, sig := range added {
			columns[i] = "ADD COLUMN " + quote(sig.Name) + " " + columnType(sig.Type)
		}
		if _, err := tx.Exec(ctx, "ALTER TABLE "+quote(tableName(p.Name))+" "+strings.Join(columns, ", ")); err != nil {
			return err
		}
		if _, err := tx.Exec(ctx, viewSQL(p)); err != nil {
			return err
		}
	}
	def, err := define(p)
	if err != nil {
		return err
	}
	_, err = tx.Exec(ctx, `UPDATE profile SET version = $2, fingerprint = $3, definition = $4::jsonb, changed_at = now()
 WHERE name = $1 AND (version, fingerprint, definition) IS DISTINCT FROM ($2, $3, $4::jsonb)`,
		p.Name, p.Version, int64(p.Fingerprint()), string(def))
	return err
}

// viewSQL makes the view for people: names instead of keys. The signals come last,
// because a view can only be extended at its end.
func viewSQL(p *telemetry.Profile) string {
	return fmt.Sprintf(`CREATE OR REPLACE VIEW %s AS SELECT r.ts, u.group_id, u.unit_id, n.node_id,
 e.epoch_id, r.position, r.row_no, r.quality, r.received_at%s
 FROM %s r JOIN unit u USING (unit_key) JOIN epoch e USING (epoch_key) JOIN node n USING (node_key)`,
		quote("readings_"+p.Name), columnList(p, "r."), quote(tableName(p.Name)))
}
