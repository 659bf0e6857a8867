package lab_test

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"andon.internal/lab/factory"
	"andon.internal/lab/process"
)

// plant is a factory whose collector is three processes, for one test.
type plant struct {
	*factory.Factory
	t *testing.T
}

func split(t *testing.T) *plant {
	t.Helper()
	if testing.Short() {
		t.Skip("starts a factory")
	}
	f, err := factory.Start(t.Context(), factory.Options{
		Dir: place(t), Bin: bin, Split: true,
		Cells: []factory.Cell{{Name: "cell-01", Dynos: factory.Dynos{Stations: 4, Rate: 10}}},
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := f.Close(false); err != nil {
			t.Error(err)
		}
	})
	return &plant{f, t}
}

// fleet is what the pages say, as far as this test looks; ok is false when they do not
// answer.
func (p *plant) fleet() (readings int, rules map[string]string, ok bool) {
	p.t.Helper()
	ctx, cancel := context.WithTimeout(p.t.Context(), 5*time.Second)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+p.Status(ctx).Pages+"/api/v1/fleet", nil)
	if err != nil {
		p.t.Fatal(err)
	}
	req.Close = true
	response, err := http.DefaultClient.Do(req)
	if err != nil {
		return 0, nil, false
	}
	defer response.Body.Close()
	var f struct {
		Readings int                                  `json:"readings"`
		Alarms   []struct{ Rule, Unit, State string } `json:"alarms"`
	}
	if err := json.NewDecoder(response.Body).Decode(&f); err != nil {
		return 0, nil, false
	}
	rules = map[string]string{}
	for _, a := range f.Alarms {
		rules[a.Rule+" "+a.Unit] = a.State
	}
	return f.Readings, rules, true
}

// expectAlarm waits until the pages show an alarm of a unit.
func (p *plant) expectAlarm(rule, unit string) {
	p.t.Helper()
	var rules map[string]string
	eventually(p.t, rule+" of "+unit+" is on the page", func() bool {
		_, rules, _ = p.fleet()
		return rules[rule+" "+unit] != ""
	}, func() any { return rules })
}

// expectJournal waits until the journal has that an alarm of a unit was raised.
func (p *plant) expectJournal(rule, unit string) {
	p.t.Helper()
	n := 0
	eventually(p.t, rule+" of "+unit+" is in the journal", func() bool {
		conn, err := pgx.Connect(p.t.Context(), p.DSN())
		if err != nil {
			p.t.Fatal(err)
		}
		defer conn.Close(context.Background())
		err = conn.QueryRow(p.t.Context(), `select count(*) from alarm join alarm_event using (alarm_id)
			where rule = $1 and unit_id = $2 and kind = 'raised'`, rule, unit).Scan(&n)
		if err != nil {
			p.t.Fatal(err)
		}
		return n == 1
	}, func() any { return n })
}

func (p *plant) inject(unit, fault string) {
	p.t.Helper()
	eventually(p.t, unit+" takes a fault", func() bool {
		return p.Inject(p.t.Context(), unit, factory.Fault{Kind: fault}) == nil
	}, func() any { return p.Inject(p.t.Context(), unit, factory.Fault{Kind: fault}) })
}

func (p *plant) kill(name string) {
	p.t.Helper()
	if err := p.Kill(name); err != nil {
		p.t.Fatal(err)
	}
	for _, x := range p.Status(p.t.Context()).Processes {
		if x.Name == name && x.State != process.Killed {
			p.t.Fatalf("%s is %s", name, x.State)
		}
	}
}

func (p *plant) restart(name string) {
	p.t.Helper()
	if err := p.Restart(p.t.Context(), name); err != nil {
		p.t.Fatal(err)
	}
}

// TestRolesAreKilledApart kills each role of the collector with SIGKILL: the others go
// on, and it finds its place again.
func TestRolesAreKilledApart(t *testing.T) {
	t.Parallel()
	p := split(t)
	expectMoreRows(t, p.DSN(), "cell-01")
	eventually(t, "readings are on the page", func() bool { n, _, _ := p.fleet(); return n > 0 }, func() any { return nil })

	p.kill(factory.Web)
	expectMoreRows(t, p.DSN(), "cell-01")
	p.inject("dyno-01", "overpressure")
	p.expectJournal("sustained-overpressure", "dyno-01-0001")
	p.restart(factory.Web)
	p.expectAlarm("sustained-overpressure", "dyno-01-0001")

	p.kill(factory.Intake)
	p.inject("dyno-02", "overpressure")
	p.expectAlarm("sustained-overpressure", "dyno-02-0001")
	p.expectJournal("sustained-overpressure", "dyno-02-0001")
	before, _, _ := p.fleet()
	var now int
	eventually(t, "live readings go on", func() bool { now, _, _ = p.fleet(); return now > before }, func() any { return now })
	had := rows(t, p.DSN(), "cell-01")
	p.restart(factory.Intake)
	expectMoreRows(t, p.DSN(), "cell-01")
	eventually(t, "the backlog comes home", func() bool {
		n, err := p.Buffered(t.Context(), "cell-01")
		return err == nil && n < 20 && rows(t, p.DSN(), "cell-01") > had+40
	}, func() any { return rows(t, p.DSN(), "cell-01") })

	p.kill(factory.Sentinel)
	expectMoreRows(t, p.DSN(), "cell-01")
	before, _, _ = p.fleet()
	eventually(t, "live readings go on", func() bool { now, _, _ = p.fleet(); return now > before }, func() any { return now })
	p.inject("dyno-03", "overpressure") // nobody sees it yet
	p.restart(factory.Sentinel)
	p.expectAlarm("sustained-overpressure", "dyno-03-0001")
	p.expectAlarm("sustained-overpressure", "dyno-01-0001") // as it was
}

// TestMosquittoSubSeesTheTopics has a client that is not ours listen at the broker, as
// the demo's guide says.
func TestMosquittoSubSeesTheTopics(t *testing.T) {
	t.Parallel()
	p := split(t)
	_, port, _ := strings.Cut(p.Status(t.Context()).Broker, ":")
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	out, err := exec.CommandContext(ctx, "mosquitto_sub", "-p", port, "-t", "spBv1.0/#", "-F", "%t %l", "-C", "40").CombinedOutput()
	if err != nil {
		t.Fatalf("mosquitto_sub (Debian: mosquitto-clients): %v\n%s", err, out)
	}
	for _, want := range []string{
		"spBv1.0/STATE/andon ", "spBv1.0/austin-line1/DDATA/cell-01/dyno-01-0001 ", "spBv1.0/austin-line1/NCMD/cell-01 ",
	} {
		if !strings.Contains(string(out), want) {
			t.Errorf("40 messages without %q:\n%s", want, out)
		}
	}
	if fmt.Sprint(len(strings.Split(strings.TrimSpace(string(out)), "\n"))) != "40" {
		t.Errorf("not 40 lines:\n%s", out)
	}
}
