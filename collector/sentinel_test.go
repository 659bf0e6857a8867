package collector_test

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"andon.internal/collector"
	"andon.internal/collector/internal/edgetest"
	"andon.internal/shared/alarm"
	"andon.internal/shared/config"
	"andon.internal/shared/telemetry"
)

// dyno is a scripted cell with one dyno, whose readings are a second apart in their own
// time and as fast as they are sent in arrival.
type dyno struct {
	*edgetest.Client
	t        testing.TB
	readings uint64
}

func dialDyno(t testing.TB, broker *edgetest.Broker, id string) *dyno {
	t.Helper()
	return &dyno{Client: dial(t, broker, newNode(id)), t: t}
}

// measure sends one record of one reading and returns when.
func (d *dyno) measure(temp, psi float64) time.Time {
	d.t.Helper()
	p := d.Node.Profile
	values := make([]telemetry.Value, len(p.Signals))
	values[p.Index("winding_temp_c")] = telemetry.DoubleValue(temp)
	values[p.Index("hydraulic_pressure_psi")] = telemetry.DoubleValue(psi)
	values[p.Index("running")] = telemetry.BooleanValue(true)
	r := &telemetry.Record{Unit: unit, Profile: p, Born: born, Count: d.readings}
	r.Append(born+int64(d.readings)*1e9, telemetry.QualitySimulated, values)
	d.readings++
	m, now := d.Node.Data(r), time.Now()
	d.Send(m)
	return now
}

// overheat sends what makes a thermal runaway, and returns when the reading was sent
// that begins its delay of one second.
func (d *dyno) overheat() (begun time.Time) {
	d.t.Helper()
	for n := range 10 {
		d.measure(60+float64(n), 400)
	}
	return d.measure(400, 400)
}

// alarms hears the states of alarms.
type alarms struct {
	*edgetest.Listener
	t testing.TB
}

func listen(t testing.TB, broker *edgetest.Broker) *alarms {
	t.Helper()
	return &alarms{edgetest.Listen(t, broker.URL(), alarm.StateFilter), t}
}

// until waits for an alarm of a rule in a state.
func (a *alarms) until(rule string, state alarm.State) (alarm.Alarm, time.Time) {
	a.t.Helper()
	var found alarm.Alarm
	h := a.Until(rule+" "+string(state), func(h edgetest.Heard) bool {
		got, err := alarm.ParseAlarm(h.Topic, h.Payload)
		if err != nil {
			a.t.Errorf("%s: %v", h.Topic, err)
		}
		found = got
		return got.Rule == rule && got.State() == state
	})
	return found, h.At
}

// rules returns the names of the rules of which an alarm was heard, each once.
func (a *alarms) rules() map[string]bool {
	names := map[string]bool{}
	for _, h := range a.Heard() {
		if got, err := alarm.ParseAlarm(h.Topic, h.Payload); err == nil {
			names[got.Rule] = true
		}
	}
	return names
}

// journal returns the events of all alarms, as "rule sequence kind actor".
func journal(t testing.TB, dsn string) []string {
	t.Helper()
	return query(t, dsn, `SELECT rule, e.sequence, kind, actor FROM alarm_event e JOIN alarm USING (alarm_id) ORDER BY rule, raised_at, 2`)
}

// wantJournal waits for the events of units; scripted cells say nothing for long.
func wantJournal(t testing.TB, dsn string, want ...string) {
	t.Helper()
	var got []string
	eventually(t, fmt.Sprintf("journal %q", want), func() bool {
		got = slices.DeleteFunc(journal(t, dsn), func(line string) bool { return strings.HasPrefix(line, "node-offline ") })
		return len(got) >= len(want)
	})
	if fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("journal %q, want %q", got, want)
	}
}

func only(roles ...string) func(*collector.Config) {
	return func(c *collector.Config) { c.Roles = roles }
}

// ownRules are rules of the operator's own, beside the shipped ones.
func ownRules(t testing.TB, list string) func(*collector.Config) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "rules.yaml")
	if err := os.WriteFile(path, []byte("apiVersion: andon/v1\nrules:\n"+list), 0o600); err != nil {
		t.Fatal(err)
	}
	return func(c *collector.Config) { c.Rules = []config.Path{config.Path(path)} }
}

// quick has silence after less than a second, so that tests need not wait; not-a-word is
// data-silence a little later, and nothing stands above it.
func TestAlarmsAreRaisedOnArrival(t *testing.T) {
	broker, dsn := edgetest.StartBroker(t), newDatabase(t)
	start(t, broker, dsn).waitReady()
	heard := listen(t, broker)
	d := dialDyno(t, broker, "cell")
	begun := d.overheat()
	runaway, at := heard.until("thermal-runaway", alarm.Unacknowledged)
	if took := at.Sub(begun.Add(time.Second)); took < 0 {
		t.Errorf("thermal runaway was told %v before its delay was over", -took)
	}
	if runaway.Quality != alarm.Simulated || runaway.Unit != unit || runaway.Node != "cell" || len(runaway.Figures) != 2 ||
		runaway.OnsetAt.UnixNano() != born+10e9 || runaway.Response == "" {
		t.Errorf("alarm %+v", runaway)
	}
	for range 10 {
		d.measure(60, 600)
	}
	heard.until("sustained-overpressure", alarm.Unacknowledged)

	k := alarm.Acknowledgement{ID: runaway.ID, By: "kim", Note: "on my way", At: time.Now()}
	b, err := k.Append(nil)
	if err != nil {
		t.Fatal(err)
	}
	for range 2 { // the second changes nothing
		heard.Publish(k.Topic(), b)
	}
	if seen, _ := heard.until("thermal-runaway", alarm.Acknowledged); seen.AckedBy != "kim" || seen.Note != "on my way" {
		t.Errorf("acknowledged as %+v", seen)
	}
	d.Send(d.Node.UnitDeath(unit))
	heard.until("thermal-runaway", alarm.Closed)
	heard.until("sustained-overpressure", alarm.ReturnedUnacknowledged)
	wantJournal(t, dsn, "sustained-overpressure 1 raised", "sustained-overpressure 2 ended",
		"thermal-runaway 1 raised", "thermal-runaway 2 acknowledged kim", "thermal-runaway 3 ended")
	if got := query(t, dsn, `SELECT acked_by, condition, quality, sequence FROM alarm WHERE rule = 'thermal-runaway'`); got[0] != "kim normal simulated 3" {
		t.Errorf("alarm in the database: %v", got)
	}
}

// wantFirst waits for the first events of the journal. More may follow: a scripted cell
// falls silent again.
// TestSilenceOfANode: there is one alarm for it, and none for its unit.
func TestDeathOfNodeIsToldAtOnce(t *testing.T) {
	broker, dsn := edgetest.StartBroker(t), newDatabase(t)
	// As silence it would be told later than anybody waits for it here.
	start(t, broker, dsn, ownRules(t, `
- {alarm: node-offline, features: {age: {fn: silence, of: node}}, when: age > 300, priority: high}
`)).waitReady()
	heard := listen(t, broker)
	d := dialDyno(t, broker, "cell")
	d.measure(60, 400)
	d.WaitAcked(1)
	d.Send(d.Node.Death())
	heard.until("node-offline", alarm.Unacknowledged)
}

func TestRolesGoOnWithoutEachOther(t *testing.T) {
	broker, dsn := edgetest.StartBroker(t), newDatabase(t)
	in := start(t, broker, dsn, only(collector.RoleIntake))
	guard := start(t, broker, dsn, only(collector.RoleSentinel))
	in.waitReady()
	guard.waitReady()
	heard := listen(t, broker)
	d := dialDyno(t, broker, "cell")
	d.overheat()
	heard.until("thermal-runaway", alarm.Unacknowledged)
	d.WaitAcked(11)

	in.stop() // alarms go on
	for range 10 {
		d.measure(60, 600)
	}
	heard.until("sustained-overpressure", alarm.Unacknowledged)
	wantJournal(t, dsn, "sustained-overpressure 1 raised", "thermal-runaway 1 raised")

	guard.stop() // storing goes on
	in = start(t, broker, dsn, only(collector.RoleIntake))
	in.waitReady()
	asked := d.Rebirths()
	d.measure(60, 600)
	d.WaitRebirth(asked)
	births(d.Client)
	d.measure(60, 600)
	d.Until("acknowledgement of the last", func() bool { return d.Acked().Contains(d.Node.Next - 1) })

	guard = start(t, broker, dsn, only(collector.RoleSentinel))
	guard.waitReady()
	d.Send(d.Node.Birth())
	heard.until("sustained-overpressure", alarm.ReturnedUnacknowledged) // the unit is gone
}

// Who hears nobody says of nobody that he is silent.
