package lab_test

import (
	"encoding/json"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"andon.internal/lab/factory"
)

// plant is what the pages say, as far as these tests look.
type plant struct {
	Source     string
	Lost       []string
	AlarmsAsOf time.Time `json:"alarms_as_of"`
	Units      []struct{ Unit, State string }
	Cells      []struct{ Node, Link string }
	Alarms     []struct{ ID, Rule, Unit, State string }
}

// states are those that units have, each once.
func (p *plant) states() []string {
	var out []string
	for _, u := range p.Units {
		out = append(out, u.State)
	}
	slices.Sort(out)
	return slices.Compact(out)
}

// lost reports whether exactly one line is lost, and how it begins.
func (p *plant) lost(prefix string) bool {
	return len(p.Lost) == 1 && strings.HasPrefix(p.Lost[0], prefix)
}

// alarm returns the state of a station's alarm.
func (p *plant) alarm(station string) string {
	for _, a := range p.Alarms {
		if strings.HasPrefix(a.Unit, station) {
			return a.State
		}
	}
	return ""
}

// split is a factory whose collector is three processes.
type split struct {
	t     *testing.T
	f     *factory.Factory
	pages string
	last  plant // that was read
}

// read asks the pages; ok is false while they do not answer.
func (s *split) read() (p plant, ok bool) {
	s.t.Helper()
	res, err := http.Get("http://" + s.pages + "/api/v1/fleet")
	if err != nil {
		return plant{}, false
	}
	defer res.Body.Close()
	if err := json.NewDecoder(res.Body).Decode(&p); err != nil {
		s.t.Fatal(err)
	}
	s.last = p
	return p, true
}

// says waits until the pages say something.
func (s *split) says(what string, ok func(p *plant) bool) {
	s.t.Helper()
	eventually(s.t, "the pages say "+what, func() bool {
		p, answered := s.read()
		return answered && ok(&p)
	}, func() any { return s.last })
}

// keepsSaying looks for a while that what the pages say stays so.
func (s *split) keepsSaying(what string, d time.Duration, ok func(p *plant) bool) {
	s.t.Helper()
	for end := time.Now().Add(d); time.Now().Before(end); time.Sleep(100 * time.Millisecond) {
		if p, answered := s.read(); !answered || !ok(&p) {
			s.t.Fatalf("the pages no longer say %s: %+v", what, p)
		}
	}
}

func (s *split) kill(process string) {
	s.t.Helper()
	if err := s.f.Kill(process); err != nil {
		s.t.Fatal(err)
	}
}

func (s *split) restart(process string) {
	s.t.Helper()
	if err := s.f.Restart(s.t.Context(), process); err != nil {
		s.t.Fatal(err)
	}
}

// overload gives a machine a fault with which it goes on.
func (s *split) overload(station string) {
	s.t.Helper()
	if err := s.f.Inject(s.t.Context(), station, factory.Fault{Kind: "overpressure"}); err != nil {
		s.t.Fatal(err)
	}
}

// whole is a plant where everything is at work.
func whole(p *plant) bool {
	return len(p.Lost) == 0 && p.AlarmsAsOf.IsZero() && len(p.Units) == 4 && slices.Equal(p.states(), []string{"running"})
}

// TestEachRoleIsKilled runs intake, sentinel and web as processes of their own, kills
// each with SIGKILL, and sees the others go on and the pages say what is lost.
func TestEachRoleIsKilled(t *testing.T) {
	if testing.Short() {
		t.Skip("starts a factory")
	}
	t.Parallel()
	dir := filepath.Join(place(t), "lab")
	if err := os.Mkdir(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	f, err := factory.Start(t.Context(), factory.Options{Dir: dir, Bin: bin, Split: true, Cells: []factory.Cell{
		{Name: "cell-01", Dynos: factory.Dynos{Stations: 2, First: 1, Rate: 2, Programme: 20 * time.Minute}},
		{Name: "cell-02", Dynos: factory.Dynos{Stations: 2, First: 3, Rate: 2, Programme: 20 * time.Minute}},
	}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := f.Close(false); err != nil {
			t.Error(err)
		}
	})
	s := &split{t: t, f: f, pages: f.Status(t.Context()).Pages}
	s.says("that all is well", whole)
	for _, step := range []struct {
		name string
		run  func(*testing.T)
	}{
		{"intake", s.intakeIsKilled},
		{"sentinel", s.sentinelIsKilled},
		{"web", s.webIsKilled},
	} {
		if !t.Run(step.name, func(t *testing.T) { s.t = t; step.run(t) }) {
			break // each stands on the one before
		}
	}
}

// intakeIsKilled: for longer than the agents' watchdog waits, nothing but the storing stops.
func (s *split) intakeIsKilled(t *testing.T) {
	s.kill(factory.Intake)
	stored := rows(t, s.f.DSN(), "cell-01")
	s.says("that nothing is stored", func(p *plant) bool { return p.lost("INTAKE AWAY since ") })
	s.restart(factory.Sentinel) // which asks for births, and is not the intake
	s.keepsSaying("that the machines run", 20*time.Second, func(p *plant) bool {
		return slices.Equal(p.states(), []string{"running"}) && len(p.Alarms) == 0
	})
	s.says("that only the intake is away", func(p *plant) bool { return p.lost("INTAKE AWAY since ") })
	s.overload("dyno-01")
	s.says("that dyno-01 is in danger", func(p *plant) bool { return p.alarm("dyno-01") == "unacknowledged" })
	if n := rows(t, s.f.DSN(), "cell-01"); n != stored {
		t.Errorf("%d readings are stored without an intake, %d were", n, stored)
	}
	s.restart(factory.Intake)
	s.says("that all is well", whole)
	expectMoreRows(t, s.f.DSN(), "cell-01")
	eventually(t, "what the cells kept comes home", func() bool {
		n, err := s.f.Buffered(t.Context(), "cell-01")
		return err == nil && n < 10
	}, func() any { return s.last })
}

// sentinelIsKilled: the alarms stand as they were, and the pages give no all-clear.
func (s *split) sentinelIsKilled(t *testing.T) {
	s.kill(factory.Sentinel)
	s.says("that nobody watches", func(p *plant) bool { return p.lost("SENTINEL AWAY since ") && !p.AlarmsAsOf.IsZero() })
	s.overload("dyno-03")
	expectMoreRows(t, s.f.DSN(), "cell-02")
	s.restart(factory.Sentinel)
	s.says("that all is well, and dyno-03 in danger", func(p *plant) bool {
		return whole(p) && p.alarm("dyno-03") == "unacknowledged" && p.alarm("dyno-01") == "unacknowledged"
	})
}

// webIsKilled: a new one knows the alarms at once.
func (s *split) webIsKilled(t *testing.T) {
	s.kill(factory.Web)
	expectMoreRows(t, s.f.DSN(), "cell-01")
	s.restart(factory.Web)
	s.says("what it said before", func(p *plant) bool {
		if len(p.Units) == 4 && len(p.Lost) == 0 && p.alarm("dyno-01") == "" {
			t.Fatal("the pages say that nothing is lost and nothing wrong, and two machines are in danger")
		}
		return whole(p) && p.alarm("dyno-03") == "unacknowledged" && p.alarm("dyno-01") == "unacknowledged"
	})
}
