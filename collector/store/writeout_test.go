package store_test

import "testing"

// TestWriteOut: a batch has its pages written as they come, where nobody has decided.
func TestWriteOut(t *testing.T) {
	for name, tt := range map[string]struct{ setting, want string }{
		"nobody decided":     {"", "256kB"},
		"somebody, for more": {"1MB", "1MB"},
		"somebody, for none": {"0", "0"},
	} {
		t.Run(name, func(t *testing.T) {
			f := setUp(t)
			if tt.setting != "" {
				exec(t, f.dsn, `DO $$ BEGIN
					EXECUTE format('ALTER DATABASE %I SET backend_flush_after = %L', current_database(), '`+tt.setting+`'); END $$`)
			}
			exec(t, f.dsn,
				`CREATE TABLE seen (v text)`,
				`CREATE FUNCTION see() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
					INSERT INTO seen VALUES (current_setting('backend_flush_after')); RETURN NULL; END $$`,
				`CREATE TRIGGER see AFTER UPDATE ON ledger EXECUTE FUNCTION see()`)
			f.s = f.open() // its connections have the setting
			f.commit(entry(epoch(1), 0, 3))
			if got := one(t, f.dsn, `SELECT string_agg(DISTINCT v, ' ') FROM seen`); got != tt.want {
				t.Errorf("backend_flush_after is %q in the batch, want %q", got, tt.want)
			}
		})
	}
}
