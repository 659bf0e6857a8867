package plant_test

import (
	"testing"
	"time"

	"andon.internal/collector/plant"
	"andon.internal/shared/telemetry"
)

// A range or a text of a profile may change without its layout: what is shown follows, what
// was drawn stays.
func TestAnotherRangeIsShown(t *testing.T) {
	p := plant.New(plant.Config{})
	p.Record(at(5), cell, reading("a", true, 5), false)
	before := p.Snapshot(at(5)).Version
	p.UnitBorn(at(5), cell, plant.Birth{Unit: "a", Profile: press(), Born: t0})
	if u := unit(t, p, at(5), "a"); u.Introduced > before {
		t.Error("a birth that says the same is a change")
	}
	high, changed := 900., press()
	changed.Signals[0].Max = &high
	p.UnitBorn(at(6), cell, plant.Birth{Unit: "a", Profile: changed, Born: t0})
	u := unit(t, p, at(6), "a")
	if got := trend(p, 0, 10, time.Second); got != "5=5/5/5" {
		t.Errorf("the trend is %q", got)
	}
	if f, _ := u.Values[0].Float(); u.Introduced <= before || u.Profile.Signals[0].Max != &high || f != 5 {
		t.Errorf("introduced %d after %d, range %v, force %v", u.Introduced, before, u.Profile.Signals[0].Max, f)
	}
}

func TestOldRunAndForeignLayoutChangeNothing(t *testing.T) {
	p := plant.New(plant.Config{})
	p.Record(at(5), cell, reading("a", true, 5), false)
	old := reading("a", false, 3)
	old.Born = at(-60).UnixNano()
	old.End = &telemetry.End{Time: at(4).UnixNano()}
	p.Record(at(6), cell, old, true)
	foreign := reading("a", false, 6)
	foreign.Profile = &telemetry.Profile{Name: "other", Signals: press().Signals[:2]}
	foreign.Values = foreign.Values[:2]
	p.Record(at(6), cell, foreign, false)
	p.UnitBorn(at(6), cell, plant.Birth{Unit: "a", Profile: press(), Born: at(-60), Backlog: true})
	u := unit(t, p, at(6), "a")
	if f, _ := u.Values[0].Float(); u.State != plant.Running || f != 5 {
		t.Errorf("%s, force %v", u.State, f)
	}
}

// TestTheUnitOnTestIsShownWhateverItsClockSays: a run that began in 1970, or after the
// clock was set back, takes the place of the one before, and the rest of that one's
// readings does not bring it back.
func TestTheUnitOnTestIsShownWhateverItsClockSays(t *testing.T) {
	p := plant.New(plant.Config{})
	p.UnitBorn(at(1), cell, plant.Birth{Unit: "a", Profile: press(), Born: t0})
	p.Record(at(3), cell, reading("a", true, 3), false)
	p.UnitDied(at(4), cell, "a")
	early := time.Unix(12, 0)
	p.UnitBorn(at(5), cell, plant.Birth{Unit: "a", Profile: press(), Born: early})
	p.UnitBorn(at(6), cell, plant.Birth{Unit: "a", Profile: press(), Born: t0, Backlog: true})
	r := reading("a", true, 6)
	r.Born = early.UnixNano()
	p.Record(at(6), cell, r, false)
	p.Record(at(7), cell, reading("a", false, 4), true)
	if u := unit(t, p, at(7), "a"); u.State != plant.Running || !u.Born.Equal(early) || !u.Time.Equal(at(6)) {
		t.Errorf("%s, born %v, with a reading of %v", u.State, u.Born, u.Time)
	}
}
