package roster_test

import (
	"errors"
	"fmt"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"go.uber.org/goleak"

	"andon.internal/agent/roster"
	"andon.internal/agent/source"
	"andon.internal/agent/state"
	"andon.internal/shared/telemetry"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func limit(f float64) *float64 { return &f }

func dyno() *telemetry.Profile {
	return &telemetry.Profile{Name: "dyno", Version: 3, Description: "an actuator", Signals: []telemetry.Signal{
		{Name: "torque_nm", Unit: "N·m", Type: telemetry.Double, Min: limit(-500), Max: limit(500), Description: "at the shaft"},
		{Name: "running", Type: telemetry.Boolean},
	}}
}

// store opens the real store in a folder of the test.
func store(t *testing.T, dir string) *state.Store {
	t.Helper()
	s, err := state.Open(filepath.Join(dir, "state.db"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return s
}

func open(t *testing.T, kv roster.KV) *roster.Roster {
	t.Helper()
	r, err := roster.Open(kv, roster.Options{})
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// brief is the units in short: id/born/count.
func brief(units []roster.Unit) string {
	var parts []string
	for _, u := range units {
		parts = append(parts, fmt.Sprintf("%s/%d/%d", u.ID, u.Born, u.Count))
	}
	return strings.Join(parts, " ")
}

func run(unit string, born int64, count uint64) source.Run {
	return source.Run{Unit: unit, Profile: dyno(), Born: born, Count: count}
}

func TestUnits(t *testing.T) {
	value := []telemetry.Value{telemetry.DoubleValue(1), telemetry.BooleanValue(true)}
	tests := map[string]struct {
		do   func(r *roster.Roster) error
		want string
	}{
		"none":   {func(*roster.Roster) error { return nil }, ""},
		"births": {func(r *roster.Roster) error { return r.Births("s", run("b", 2, 0), run("a", 1, 7)) }, "a/1/7 b/2/0"},
		"the same run again": {func(r *roster.Roster) error {
			return errors.Join(r.Births("s", run("a", 1, 5)), r.Births("s", run("a", 1, 6)))
		}, "a/1/6"},
		"a new run": {func(r *roster.Roster) error {
			return errors.Join(r.Births("s", run("a", 1, 5)), r.Births("s", run("a", 2, 0)))
		}, "a/2/0"},
		"a death": {func(r *roster.Roster) error {
			return errors.Join(r.Births("s", run("a", 1, 0), run("b", 2, 0)), r.Deaths("s", "a", "unknown"))
		}, "b/2/0"},
		"a death told by another source": {func(r *roster.Roster) error {
			return errors.Join(r.Births("s", run("a", 1, 0)), r.Deaths("other", "a"))
		}, "a/1/0"},
		"deaths of own and other units": {func(r *roster.Roster) error {
			return errors.Join(r.Births("s", run("a", 1, 0)), r.Births("other", run("b", 1, 0)), r.Deaths("other", "a", "b"))
		}, "a/1/0"},
		"restored": {func(r *roster.Roster) error {
			return errors.Join(r.Births("other", run("x", 1, 1)), r.Births("s", run("a", 1, 1), run("b", 1, 1)),
				r.Restore("s", []source.Run{run("b", 1, 9), run("c", 3, 3)}))
		}, "b/1/9 c/3/3 x/1/1"},
		"counts": {func(r *roster.Roster) error {
			err := r.Births("s", run("a", 1, 5))
			r.Took("a", 9, 90, value)
			r.Took("unknown", 9, 90, value)
			return errors.Join(err, r.Save())
		}, "a/1/9"},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			kv := store(t, dir)
			r := open(t, kv)
			if err := tc.do(r); err != nil {
				t.Fatal(err)
			}
			if got := brief(r.Active()); got != tc.want {
				t.Errorf("on test: %q, want %q", got, tc.want)
			}
			kv.Close()
			if got := brief(open(t, store(t, dir)).Active()); got != tc.want {
				t.Errorf("on test after a restart: %q, want %q", got, tc.want)
			}
		})
	}
}

func TestRefused(t *testing.T) {
	bad := dyno()
	bad.Signals[0].Name = "Torque"
	tests := map[string]struct {
		do   func(r *roster.Roster) error
		want string
	}{
		"unit of another source": {
			func(r *roster.Roster) error { return r.Births("s2", run("new", 1, 0), run("a", 2, 0)) },
			"unit a of source s2 is already on test at source s",
		},
		"malformed unit":     {func(r *roster.Roster) error { return r.Births("s", run("a/b", 1, 0)) }, `unit id "a/b"`},
		"malformed source":   {func(r *roster.Roster) error { return r.Births("", run("b", 1, 0)) }, "source id"},
		"no profile":         {func(r *roster.Roster) error { return r.Births("s", source.Run{Unit: "b"}) }, "without a profile"},
		"invalid profile":    {func(r *roster.Roster) error { return r.Births("s", source.Run{Unit: "b", Profile: bad}) }, "becomes a column"},
		"remembered invalid": {func(r *roster.Roster) error { return r.Remember(bad) }, "becomes a column"},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			r := open(t, store(t, t.TempDir()))
			if err := r.Births("s", run("a", 1, 0)); err != nil {
				t.Fatal(err)
			}
			if err := tc.do(r); err == nil || !strings.Contains(err.Error(), tc.want) {
				t.Errorf("got %v, want an error with %q", err, tc.want)
			}
			if got := brief(r.Active()); got != "a/1/0" {
				t.Errorf("on test: %q", got)
			}
		})
	}
}

// TestProfilesForEver checks that a profile outlives its units, bit for bit, and that
// a newer one of the same layout takes its place.
func TestProfilesForEver(t *testing.T) {
	dir := t.TempDir()
	kv := store(t, dir)
	r := open(t, kv)
	fp := dyno().Fingerprint()
	if r.Profile(fp) != nil {
		t.Error("a profile that was never used is known")
	}
	if err := errors.Join(r.Births("s", run("a", 1, 0)), r.Deaths("s", "a")); err != nil {
		t.Fatal(err)
	}
	kv.Close()
	kv = store(t, dir)
	r = open(t, kv)
	if got := r.Profile(fp); !reflect.DeepEqual(got, dyno()) {
		t.Errorf("got %+v, want %+v", got, dyno())
	}
	if err := r.Births("s", run("b", 2, 0)); err != nil {
		t.Fatal(err)
	}
	<-r.Changed() // of the birth
	newer := dyno()
	newer.Version, newer.Signals[0].Max = 4, limit(600)
	if err := r.Remember(newer); err != nil {
		t.Fatal(err)
	}
	select {
	case <-r.Changed():
	default:
		t.Error("a unit's profile changed, and nobody was told")
	}
	if got := r.Active()[0].Profile; got != newer {
		t.Errorf("the unit on test has %+v, want %+v", got, newer)
	}
	kv.Close()
	if got := open(t, store(t, dir)).Profile(fp); !reflect.DeepEqual(got, newer) {
		t.Errorf("got %+v, want %+v", got, newer)
	}
}

// TestLast checks that last values belong to the caller, and end with their run.
func TestLast(t *testing.T) {
	r := open(t, store(t, t.TempDir()))
	if err := r.Births("s", run("a", 1, 0)); err != nil {
		t.Fatal(err)
	}
	value := []telemetry.Value{telemetry.DoubleValue(1), telemetry.BooleanValue(true)}
	r.Took("a", 1, 10, value)
	value[0] = telemetry.Value{}
	u := r.Active()[0]
	if u.LastTime != 10 || u.Last[0] != telemetry.DoubleValue(1) || u.Source != "s" {
		t.Errorf("got %+v", u)
	}
	u.Last[0] = telemetry.Value{}
	if r.Active()[0].Last[0] != telemetry.DoubleValue(1) {
		t.Error("the roster's values were changed from outside")
	}
	if err := r.Births("s", run("a", 2, 0)); err != nil {
		t.Fatal(err)
	}
	if u := r.Active()[0]; u.Last != nil || u.LastTime != 0 {
		t.Errorf("the new run has the values of the old one: %+v", u)
	}
}

func TestChanged(t *testing.T) {
	r := open(t, store(t, t.TempDir()))
	changed := func() bool {
		select {
		case <-r.Changed():
			return true
		default:
			return false
		}
	}
	for i, step := range []struct {
		do   func() error
		want bool
	}{
		{func() error { return nil }, false},
		{func() error { return r.Births("s", run("a", 1, 0), run("b", 1, 0)) }, true},
		{func() error { return r.Births("s", run("a", 1, 0)) }, false},
		{func() error { r.Took("a", 1, 1, nil); return r.Save() }, false},
		{func() error { return r.Deaths("s", "a") }, true},
		{func() error { return r.Deaths("s", "a") }, false},
	} {
		if err := step.do(); err != nil {
			t.Fatal(err)
		}
		if got := changed(); got != step.want {
			t.Errorf("step %d: changed %v, want %v", i, got, step.want)
		}
	}
}
