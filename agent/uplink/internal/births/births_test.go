package births_test

import (
	"testing"

	"andon.internal/agent/uplink/internal/births"
)

// active is a roster of one run per unit.
func active(runs ...births.Run) births.Active {
	return func(unit string) (births.Run, bool) {
		for _, r := range runs {
			if r.Unit == unit {
				return r, true
			}
		}
		return births.Run{}, false
	}
}

func run(unit string, born int64, fp uint64) births.Run {
	return births.Run{Unit: unit, Born: born, Fingerprint: fp}
}

func TestNeed(t *testing.T) {
	tests := []struct {
		name   string
		active []births.Run
		born   []births.Run // announced before, in order
		record births.Run
		want   bool
	}{
		{"never announced", nil, nil, run("a", 1, 9), true},
		{"announced", nil, []births.Run{run("a", 1, 9)}, run("a", 1, 9), false},
		{"another unit", nil, []births.Run{run("b", 1, 9)}, run("a", 1, 9), true},
		{"another profile", nil, []births.Run{run("a", 1, 9)}, run("a", 1, 8), true},
		{"a later run", nil, []births.Run{run("a", 1, 9)}, run("a", 2, 9), true},
		{
			"a late record of an earlier run",
			[]births.Run{run("a", 2, 9)},
			[]births.Run{run("a", 2, 9)},
			run("a", 1, 9), false,
		},
		{
			"an earlier run with another profile",
			[]births.Run{run("a", 2, 9)},
			[]births.Run{run("a", 2, 9)},
			run("a", 1, 8), true,
		},
		{
			"the active one after that",
			[]births.Run{run("a", 2, 9)},
			[]births.Run{run("a", 2, 9), run("a", 1, 8)},
			run("a", 2, 9), true,
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			g := births.New()
			for _, r := range tt.born {
				g.Born(r, active(tt.active...), 3)
			}
			if got := g.Need(tt.record); got != tt.want {
				t.Errorf("Need is %v, want %v", got, tt.want)
			}
		})
	}
}

func TestBacklog(t *testing.T) {
	g := births.New()
	on := active(run("a", 2, 9))
	for _, tt := range []struct {
		r    births.Run
		want bool
	}{
		{run("a", 2, 9), false},
		{run("a", 1, 9), true}, // an earlier run of a unit on test
		{run("a", 2, 8), true}, // the same run under an older profile
		{run("gone", 1, 9), true},
	} {
		if b := g.Born(tt.r, on, 3); b.Backlog != tt.want {
			t.Errorf("Backlog of %+v is %v, want %v", tt.r, b.Backlog, tt.want)
		}
	}
}

func TestNeedActive(t *testing.T) {
	g := births.New()
	r := run("a", 1, 9)
	if !g.NeedActive(r) {
		t.Error("a unit that was not announced needs no birth")
	}
	g.Born(r, active(), 3) // seen in the backlog first
	if !g.NeedActive(r) {
		t.Error("a unit announced as backlog needs no birth when it comes on test")
	}
	g.Born(r, active(r), 3)
	if g.NeedActive(r) {
		t.Error("an announced unit needs a birth")
	}
	if !g.NeedActive(run("a", 2, 9)) {
		t.Error("the next run of a unit needs no birth")
	}
	g.Reset()
	if !g.NeedActive(r) {
		t.Error("after the node was born again its unit needs no birth")
	}
}

// TestAliases walks through a session: contiguous, by unit and profile, stable
// through rebirths, and never used again after a death.
func TestAliases(t *testing.T) {
	g := births.New()
	on := active()
	first := func(r births.Run, signals int) uint64 { return g.Born(r, on, signals).FirstAlias }

	a, b := first(run("a", 1, 9), 24), first(run("b", 1, 9), 24)
	if a == 0 || b != a+24 {
		t.Errorf("aliases begin at %d and %d, want 24 apart and not at 0", a, b)
	}
	if again := first(run("a", 2, 9), 24); again != a {
		t.Errorf("the next run has aliases from %d, want those of its unit and profile, %d", again, a)
	}
	other := first(run("a", 2, 8), 12)
	if other != b+24 {
		t.Errorf("another profile has aliases from %d, want %d", other, b+24)
	}
	g.Reset()
	if again := first(run("b", 1, 9), 24); again != b {
		t.Errorf("after a rebirth aliases begin at %d, want %d", again, b)
	}
	g.Died("a")
	if again := first(run("a", 3, 9), 24); again != other+12 {
		t.Errorf("born after its death a unit has aliases from %d, want new ones from %d", again, other+12)
	}
	if got, ok := g.FirstAlias(run("a", 3, 9)); !ok || got != other+12 {
		t.Errorf("FirstAlias is %d %v, want %d", got, ok, other+12)
	}
	if _, ok := g.FirstAlias(run("a", 2, 8)); ok {
		t.Error("a dead unit still has aliases")
	}
}

func TestDeathAndIdle(t *testing.T) {
	g := births.New()
	g.Born(run("a", 1, 9), active(), 3)
	g.Born(run("b", 1, 9), active(), 3)
	if g.IsCurrent("a", 2) || !g.IsCurrent("a", 1) {
		t.Error("IsCurrent does not tell runs apart")
	}
	idle := g.Idle(active(run("b", 1, 9)))
	if len(idle) != 1 || idle[0] != run("a", 1, 9) {
		t.Errorf("idle are %v, want the run of a", idle)
	}
	g.Died("a")
	if g.Units() != 1 || g.IsCurrent("a", 1) {
		t.Error("a dead unit is still born")
	}
}
