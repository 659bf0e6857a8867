package store_test

import (
	"strings"
	"testing"

	"andon.internal/collector/store"
	"andon.internal/shared/telemetry"
)

// A database that is not ready for the configuration must not be called ready:
// readings that came now would be quarantined.
func TestPingNamesWhatIsMissing(t *testing.T) {
	f := &fixture{tb: t, dsn: newDatabase(t)}
	with := func(list ...*telemetry.Profile) *store.Store {
		return f.open(func(c *store.Config) { c.Profiles = list })
	}
	full := profile(1, "a:double", "b:integer")
	s := with(full)
	wants := func(s *store.Store, missing string) {
		t.Helper()
		err := s.Ping(t.Context())
		switch {
		case missing == "" && err != nil:
			t.Errorf("ready, and Ping says %v", err)
		case missing != "" && (!store.IsRetry(err) || !strings.Contains(err.Error(), missing) ||
			!strings.Contains(err.Error(), "andon-collector migrate")):
			t.Errorf("error %v, want one with %q and the cure", err, missing)
		}
	}
	wants(s, "epoch_of_database")
	if err := with().Migrate(t.Context()); err != nil {
		t.Fatal(err)
	}
	wants(s, "profile select is not installed")
	if err := with(profile(1, "a:double")).Migrate(t.Context()); err != nil {
		t.Fatal(err)
	}
	wants(s, "no signal b")
	if err := with(full).Migrate(t.Context()); err != nil {
		t.Fatal(err)
	}
	wants(s, "")
	wants(with(profile(1, "a:double")), "") // the database has more than this one knows
	exec(t, f.dsn, `DELETE FROM goose_db_version WHERE version_id = (SELECT max(version_id) FROM goose_db_version)`)
	wants(s, "is wanted")
}
