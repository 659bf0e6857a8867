package plant_test

import (
	"fmt"
	"math"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"andon.internal/collector/plant"
	"andon.internal/shared/sentinel"
	"andon.internal/shared/telemetry"
)

var (
	t0   = time.Date(2026, 3, 4, 12, 0, 0, 0, time.UTC)
	cell = telemetry.Node{Group: "line1", ID: "cell-01"}
)

// press has a number, a count and whether it runs.
func press() *telemetry.Profile {
	return &telemetry.Profile{Name: "press", Version: 1, Signals: []telemetry.Signal{
		{Name: "force_n", Type: telemetry.Double}, {Name: "strokes", Type: telemetry.Integer}, {Name: "running", Type: telemetry.Boolean},
	}}
}

func at(seconds float64) time.Time { return t0.Add(time.Duration(seconds * float64(time.Second))) }

// reading is a record of unit, born at t0, with one row for each of the given seconds;
// the force is the second.
func reading(unit string, runs bool, seconds ...float64) *telemetry.Record {
	r := &telemetry.Record{Unit: unit, Profile: press(), Born: t0.UnixNano()}
	for _, s := range seconds {
		r.Append(at(s).UnixNano(), 0, []telemetry.Value{telemetry.DoubleValue(s), telemetry.IntegerValue(int64(s)), telemetry.BooleanValue(runs)})
	}
	return r
}

func unit(t *testing.T, p *plant.Plant, now time.Time, id string) plant.Unit {
	t.Helper()
	for _, u := range p.Snapshot(now).Units {
		if u.ID == id {
			return u
		}
	}
	t.Fatalf("unit %s is not in the picture", id)
	return plant.Unit{}
}

func TestUnitStates(t *testing.T) {
	for _, tt := range []struct {
		name  string
		now   float64
		feed  func(p *plant.Plant)
		want  plant.State
		since float64
	}{
		{"running", 3, func(p *plant.Plant) { p.Record(at(3), cell, reading("a", true, 3), false) }, plant.Running, 3},
		{"idle", 3, func(p *plant.Plant) { p.Record(at(3), cell, reading("a", false, 3), false) }, plant.Idle, 3},
		{"idle again", 9, func(p *plant.Plant) {
			for s := range 9 {
				p.Record(at(float64(s)), cell, reading("a", s < 6, float64(s)), false)
			}
		}, plant.Idle, 6},
		{"stale after five seconds", 8.1, func(p *plant.Plant) { p.Record(at(3), cell, reading("a", true, 3), false) }, plant.Stale, 3},
		{"not stale yet", 8, func(p *plant.Plant) { p.Record(at(3), cell, reading("a", true, 3), false) }, plant.Running, 3},
		{"slow units have longer", 80, func(p *plant.Plant) {
			for s := 0.; s <= 60; s += 10 {
				p.Record(at(s), cell, reading("a", true, s), false)
			}
		}, plant.Running, 0},
		{"stale when its cell died", 3, func(p *plant.Plant) {
			p.Record(at(2), cell, reading("a", true, 2), false)
			p.NodeDied(at(3), cell)
		}, plant.Stale, 2},
		{"stopped by the end of its run", 4, func(p *plant.Plant) {
			r := reading("a", true, 3)
			r.End = &telemetry.End{Time: at(3).UnixNano(), Reason: "finished"}
			p.Record(at(4), cell, r, false)
		}, plant.Stopped, 4},
		{"stopped by its death", 5, func(p *plant.Plant) {
			p.Record(at(3), cell, reading("a", true, 3), false)
			p.UnitDied(at(4), cell, "a")
		}, plant.Stopped, 4},
		{"born again", 7, func(p *plant.Plant) {
			p.Record(at(3), cell, reading("a", true, 3), false)
			p.UnitDied(at(4), cell, "a")
			r := reading("a", false, 7)
			r.Born = at(6).UnixNano()
			p.Record(at(7), cell, r, false)
		}, plant.Idle, 7},
		{"only a backlog is left", 2, func(p *plant.Plant) {
			p.UnitBorn(at(2), cell, plant.Birth{Unit: "a", Profile: press(), Born: t0, Backlog: true})
		}, plant.Stopped, 2},
		{"born, and no reading yet", 2, func(p *plant.Plant) {
			p.UnitBorn(at(2), cell, plant.Birth{Unit: "a", Profile: press(), Born: t0, Last: []telemetry.Value{{}, {}, telemetry.BooleanValue(true)}})
		}, plant.Running, 2},
		{"a backlog alone brings nobody back", 20, func(p *plant.Plant) {
			p.Record(at(3), cell, reading("a", true, 3), false)
			p.Record(at(20), cell, reading("a", true, 19), true)
		}, plant.Stale, 3},
	} {
		t.Run(tt.name, func(t *testing.T) {
			p := plant.New(plant.Config{})
			tt.feed(p)
			u := unit(t, p, at(tt.now), "a")
			if u.State != tt.want || !u.Since.Equal(at(tt.since)) {
				t.Errorf("%s since %v, want %s since %vs", u.State, u.Since.Sub(t0), tt.want, tt.since)
			}
		})
	}
}

func TestLinks(t *testing.T) {
	p := plant.New(plant.Config{})
	link := func(seconds float64) string {
		c := p.Snapshot(at(seconds)).Cells[0]
		return fmt.Sprintf("%s %v", c.Link, c.Since.Sub(t0))
	}
	p.NodeBorn(at(0), cell, "v1")
	p.Heartbeat(at(2), cell, plant.Buffer{Rows: 7, Oldest: time.Second})
	for _, step := range []struct {
		do   func()
		at   float64
		want string
	}{
		{nil, 7, "online 0s"},
		{nil, 7.5, "silent 2s"},
		{func() { p.Heartbeat(at(9), cell, plant.Buffer{Rows: 8}) }, 9, "online 9s"},
		{func() { p.NodeHeard(at(9.5), cell) }, 14.2, "online 9s"},
		{func() { p.NodeDied(at(15), cell) }, 15, "offline 15s"},
		{func() { p.NodeBorn(at(16), cell, "v2") }, 16, "online 16s"},
	} {
		if step.do != nil {
			step.do()
		}
		if got := link(step.at); got != step.want {
			t.Errorf("at %v s: %s, want %s", step.at, got, step.want)
		}
	}
	p.Record(at(17), cell, reading("a", true, 16.5), false)
	if c := p.Snapshot(at(17)).Cells[0]; c.Version != "v2" || c.Buffer.Rows != 8 || c.Units != 1 || c.Lag != 500*time.Millisecond {
		t.Errorf("cell %+v", c)
	}
}

// trend writes the force: second=least/last/greatest.
func trend(p *plant.Plant, from, to float64, step time.Duration) string {
	tr, ok := p.Trend("line1", "a", []int{0}, at(from), at(to), step)
	if !ok {
		return "unknown"
	}
	var b strings.Builder
	for i, x := range tr.Times {
		s := tr.Signals[0]
		fmt.Fprintf(&b, "%v=%v/%v/%v ", x.Sub(t0).Seconds(), s.Low[i], s.Last[i], s.High[i])
	}
	return strings.TrimSpace(b.String())
}

func TestTrend(t *testing.T) {
	with := func(r *telemetry.Record, values ...telemetry.Value) *telemetry.Record {
		for i, v := range values {
			r.Row(i)[0] = v
		}
		return r
	}
	num := telemetry.DoubleValue
	for _, tt := range []struct {
		name string
		feed func(p *plant.Plant)
		step time.Duration
		want string
	}{
		{"one a second", func(p *plant.Plant) { p.Record(at(9), cell, reading("a", true, 7, 8, 9), false) }, time.Second, "7=7/7/7 8=8/8/8 9=9/9/9"},
		{"steps", func(p *plant.Plant) { p.Record(at(9), cell, reading("a", true, 7, 8, 9), false) }, 5 * time.Second, "5=7/9/9"},
		{"several in a second", func(p *plant.Plant) {
			p.Record(at(9), cell, with(reading("a", true, 7, 7.2, 7.4, 8), num(5), num(3), num(4), num(9)), false)
		}, time.Second, "7=3/4/5 8=9/9/9"},
		{"missing and not a number", func(p *plant.Plant) {
			p.Record(at(9), cell, with(reading("a", true, 6, 7, 8, 8.5), telemetry.Value{}, num(math.NaN()), telemetry.Value{}, num(2)), false)
		}, time.Second, "6=NaN/NaN/NaN 7=NaN/NaN/NaN 8=2/2/2"},
		{"what waited fills the gap", func(p *plant.Plant) {
			p.Record(at(2), cell, reading("a", true, 2), false)
			p.Record(at(9), cell, reading("a", true, 9), false)
			p.Record(at(10), cell, reading("a", true, 5, 6), true)
		}, time.Second, "2=2/2/2 5=5/5/5 6=6/6/6 9=9/9/9"},
		{"a wrong clock goes by arrival", func(p *plant.Plant) { p.Record(at(9), cell, reading("a", true, -7200), false) }, time.Second, "9=-7200/-7200/-7200"},
		{"what waited longer than the window is left out", func(p *plant.Plant) {
			p.Record(at(9), cell, reading("a", true, 9), false)
			p.Record(at(9), cell, reading("a", true, -1000), true)
		}, time.Second, "9=9/9/9"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			p := plant.New(plant.Config{})
			tt.feed(p)
			if got := trend(p, 0, 10, tt.step); got != tt.want {
				t.Errorf("got  %s\nwant %s", got, tt.want)
			}
		})
	}
	if got := trend(plant.New(plant.Config{}), 0, 10, time.Second); got != "unknown" {
		t.Errorf("a unit nobody knows: %s", got)
	}
}

func TestTrendWindowMovesOn(t *testing.T) {
	p := plant.New(plant.Config{})
	for s := -1790.; s <= 10; s++ {
		p.Record(at(s), cell, reading("a", true, s), false)
	}
	// A reading older than the window must not overwrite the newer one in its slot.
	p.Record(at(10), cell, reading("a", true, -895), true)
	tr, _ := p.Trend("line1", "a", []int{0}, at(-2000), at(10), time.Second)
	if n := len(tr.Times); n != 900 || !tr.Times[0].Equal(at(-889)) || tr.Signals[0].Last[0] != -889 || tr.Signals[0].Last[899] != 10 {
		t.Errorf("%d steps from %v, first %v, last %v", n, tr.Times[0].Sub(t0), tr.Signals[0].Last[0], tr.Signals[0].Last[n-1])
	}
}

// TestFastClockIsNotOverwritten has a clock that runs ahead a little, so that a reading
// that waited falls into the slot of a newer one.
func TestFastClockIsNotOverwritten(t *testing.T) {
	p := plant.New(plant.Config{})
	p.Record(at(10), cell, reading("a", true, 50), false)
	p.Record(at(10), cell, reading("a", true, -850), true)
	if got := trend(p, 0, 60, time.Second); got != "50=50/50/50" {
		t.Errorf("trend %s", got)
	}
}

func TestSkewIsTold(t *testing.T) {
	p := plant.New(plant.Config{})
	p.Record(at(9), cell, reading("a", true, -7200), false)
	u := unit(t, p, at(9), "a")
	if !u.Skewed || !u.Plotted.Equal(at(9)) || !u.Time.Equal(at(-7200)) {
		t.Errorf("skewed %v, plotted %v, time %v", u.Skewed, u.Plotted, u.Time)
	}
}

func TestChanges(t *testing.T) {
	p := plant.New(plant.Config{Linger: time.Minute})
	names := func(since uint64, now float64) (string, uint64) {
		t.Helper()
		pic, ok := p.Changes(at(now), since)
		if !ok {
			t.Fatal("changes cannot be told")
		}
		var list []string
		for _, u := range pic.Units {
			kind := u.ID
			if u.Introduced > since {
				kind += "+"
			}
			list = append(list, kind)
		}
		slices.Sort(list)
		for _, k := range pic.Gone {
			list = append(list, fmt.Sprint("-", k))
		}
		return strings.Join(list, " "), pic.Version
	}
	p.Record(at(1), cell, reading("a", true, 1), false)
	p.Record(at(1), cell, reading("b", true, 1), false)
	got, v := names(0, 1)
	for _, step := range []struct {
		name string
		at   float64
		do   func()
		want string
	}{
		{"snapshot", 1, nil, "a+ b+"},
		{"nothing", 1, nil, ""},
		{"a reading", 2, func() { p.Record(at(2), cell, reading("b", true, 2), false) }, "b"},
		{"time alone", 6.5, nil, "a"},
		{"a run's end", 7, func() { p.UnitDied(at(7), cell, "b") }, "b+"},
		{"forgotten", 100, nil, "-2"},
	} {
		if step.name != "snapshot" {
			if step.do != nil {
				step.do()
			}
			got, v = names(v, step.at)
		}
		if got != step.want {
			t.Errorf("%s: %q, want %q", step.name, got, step.want)
		}
	}
	if _, ok := p.Changes(at(100), v+100); ok {
		t.Error("a version of another process was taken")
	}
}

// TestConcurrentUse has everybody at work at once, for the race detector.
func TestConcurrentUse(t *testing.T) {
	p := plant.New(plant.Config{Limits: plant.Limits{Units: 8}})
	var wg sync.WaitGroup
	for w := range 4 {
		wg.Go(func() {
			var v uint64
			for s := range 200 {
				now := at(float64(s))
				id := fmt.Sprintf("u%d", (s+w)%12)
				p.Record(now, cell, reading(id, true, float64(s)), s%3 == 0)
				p.Heartbeat(now, cell, plant.Buffer{})
				p.Alarm(now, raised(id, sentinel.High, s))
				if s%20 == 0 {
					p.UnitDied(now, cell, id)
				}
				pic, _ := p.Changes(now, v)
				v = pic.Version
				for _, u := range pic.Units {
					_ = u.Values[0].String()
				}
				p.Trend("line1", id, []int{0, 1}, at(0), now, time.Second)
				p.Unit(now, "line1", id)
				p.AlarmByID(id)
			}
		})
	}
	wg.Wait()
}

// TestSilentCellIsReckoned: a cell that says nothing goes on buffering, and what it must
// hold by now is worked out and marked so, until it speaks again.
func TestSilentCellIsReckoned(t *testing.T) {
	p := plant.New(plant.Config{})
	for i := range 10 {
		s := float64(i)
		p.Record(at(s), cell, reading("a", true, s), false)
		p.Heartbeat(at(s), cell, plant.Buffer{Rows: 3, Oldest: time.Second})
	}
	look := func(s float64) plant.Cell {
		t.Helper()
		list := p.Snapshot(at(s)).Cells
		if len(list) != 1 {
			t.Fatalf("%d cells", len(list))
		}
		return list[0]
	}
	if c := look(10); c.Reckoned || c.Buffer.Rows != 3 {
		t.Errorf("online: %+v", c)
	}
	p.NodeDied(at(10), cell)
	version := p.Snapshot(at(40)).Version
	if c := look(40); !c.Reckoned || c.Buffer.Rows != 3+31 || c.Buffer.Oldest != 32*time.Second || c.Lag < 30*time.Second {
		t.Errorf("30 s offline at 1 Hz: reckoned %v, %d rows, the oldest of %v, lag %v", c.Reckoned, c.Buffer.Rows, c.Buffer.Oldest, c.Lag)
	}
	if pic, _ := p.Changes(at(42), version); len(pic.Cells) != 1 || pic.Cells[0].Buffer.Rows != 3+33 {
		t.Errorf("two seconds on, the change is %+v", pic.Cells)
	}
	p.Heartbeat(at(43), cell, plant.Buffer{Rows: 36})
	if c := look(43); c.Reckoned || c.Buffer.Rows != 36 {
		t.Errorf("online again: %+v", c)
	}
}
