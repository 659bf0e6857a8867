package store

import (
	"context"
	"fmt"
	"io/fs"
	"strconv"
	"strings"
)

// checkTables returns an error while the embedded migrations have not all run. A
// newer database is taken: its migrations keep what older programs use.
func (s *Store) checkTables(ctx context.Context) error {
	want, err := newestMigration()
	if err != nil {
		return err
	}
	have := int64(-1)
	tx, err := s.begin(ctx, nil, call{
		sql: `SELECT coalesce(max(version_id), 0) FROM goose_db_version WHERE is_applied`,
		row: func(v [][]byte) (err error) {
			have, err = parseInt(v[0])
			return err
		},
	})
	if err != nil {
		return err
	}
	tx.rollback()
	if have < want {
		return fmt.Errorf("the tables are of version %d and %d is wanted; run: andon-collector migrate", have, want)
	}
	return nil
}

// newestMigration is the version of the last file, which goose reads off its name.
func newestMigration() (int64, error) {
	files, err := fs.Glob(migrations, "migrations/*.sql")
	if err != nil {
		return 0, err
	}
	name := strings.TrimPrefix(files[len(files)-1], "migrations/") // in the order of their names
	version, _, _ := strings.Cut(name, "_")
	return strconv.ParseInt(version, 10, 64)
}

// checkProfiles returns an error while the database lacks a profile of the
// configuration, or a signal of one: readings that come before it is installed would
// be quarantined. What is missing is looked for anew, because others install it.
func (s *Store) checkProfiles(ctx context.Context) error {
	c, err := s.known(ctx)
	if err != nil {
		return err
	}
	if s.covers(c) == nil {
		return nil
	}
	s.forget(c)
	if c, err = s.known(ctx); err != nil {
		return err
	}
	return s.covers(c)
}

// covers returns what the tables lack to take every reading of the configured profiles.
func (s *Store) covers(c *cache) error {
	for _, p := range s.cfg.Profiles {
		t := c.tables[p.Name]
		if t == nil {
			return fmt.Errorf("profile %s is not installed; run: andon-collector migrate", p.Name)
		}
		if l := newLayout(t.profile, p); l.refused != "" {
			return fmt.Errorf("%s; run: andon-collector migrate", l.refused)
		}
	}
	return nil
}
