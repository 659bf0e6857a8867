package collector_test

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"andon.internal/collector"
	"andon.internal/collector/internal/edgetest"
	"andon.internal/shared/alarm"
	"andon.internal/shared/pgserver"
)

// fleet is what a page's data says, as far as these tests look.
type fleet struct {
	Source     string    `json:"source"`
	Lost       []string  `json:"lost"`
	AlarmsAsOf time.Time `json:"alarms_as_of"`
	Units      []struct {
		Unit  string `json:"unit"`
		State string `json:"state"`
	} `json:"units"`
	Cells []struct {
		Node string `json:"node"`
		Link string `json:"link"`
	} `json:"cells"`
	Alarms []struct {
		ID      string      `json:"id"`
		Rule    string      `json:"rule"`
		State   alarm.State `json:"state"`
		AckedBy string      `json:"acked_by"`
	} `json:"alarms"`
}

// alarm returns the state of a rule's alarm, and its id.
func (f *fleet) alarm(rule string) (state alarm.State, id string) {
	for _, a := range f.Alarms {
		if a.Rule == rule {
			return a.State, a.ID
		}
	}
	return "", ""
}

// fleet asks the pages' API for everything.
func (r *running) fleet() (f fleet) {
	r.t.Helper()
	response, err := http.Get("http://" + r.col.PagesAddr() + "/api/v1/fleet")
	if err != nil {
		r.t.Fatal(err)
	}
	defer response.Body.Close()
	if err := json.NewDecoder(response.Body).Decode(&f); err != nil {
		r.t.Fatal(err)
	}
	return f
}

// lacks reports whether one of the lines about what is lost begins so.
func (f *fleet) lacks(prefix string) bool {
	return slices.ContainsFunc(f.Lost, func(line string) bool { return strings.HasPrefix(line, prefix) })
}

// lost reports whether one of the lines about what is lost begins so.
func (r *running) lost(prefix string) bool {
	r.t.Helper()
	f := r.fleet()
	return f.lacks(prefix)
}

// series asks for a unit's history from the database and returns how many points came.
func (r *running) series(from, to time.Time) (source string, points int) {
	r.t.Helper()
	response, err := http.Get("http://" + r.col.PagesAddr() + "/api/v1/units/" + group + "/" + unit + "/series?from=" +
		from.UTC().Format(time.RFC3339) + "&to=" + to.UTC().Format(time.RFC3339))
	if err != nil {
		r.t.Fatal(err)
	}
	defer response.Body.Close()
	var s struct {
		Source string  `json:"source"`
		Times  []int64 `json:"t"`
	}
	if err := json.NewDecoder(response.Body).Decode(&s); err != nil {
		r.t.Fatal(err)
	}
	return s.Source, len(s.Times)
}

func (r *running) acknowledge(id, by string) int {
	r.t.Helper()
	response, err := http.Post("http://"+r.col.PagesAddr()+"/api/v1/alarms/"+id+"/ack", "application/json",
		strings.NewReader(`{"by":"`+by+`","note":"seen"}`))
	if err != nil {
		r.t.Fatal(err)
	}
	response.Body.Close()
	return response.StatusCode
}

// TestPagesMeetTheOthersThroughBrokerAndDatabase has each role in a collector of its own.
func TestPagesMeetTheOthersThroughBrokerAndDatabase(t *testing.T) {
	broker, dsn := edgetest.StartBroker(t), newDatabase(t)
	in := start(t, broker, dsn, only(collector.RoleIntake))
	guard := start(t, broker, dsn, only(collector.RoleSentinel))
	pages := start(t, broker, dsn, only(collector.RoleWeb))
	for _, r := range []*running{in, guard, pages} {
		r.waitReady()
	}
	if in.col.PagesAddr() != "" {
		t.Errorf("the intake serves pages at %s", in.col.PagesAddr())
	}
	d := dialDyno(t, broker, "cell")
	d.overheat()
	id := ""
	eventually(t, "the alarm on the page", func() bool {
		var state alarm.State
		f := pages.fleet()
		state, id = f.alarm("thermal-runaway")
		return state == alarm.Unacknowledged && len(f.Units) == 1 && f.Units[0].Unit == unit && f.Units[0].State == "running"
	})
	d.WaitAcked(11)
	first := time.Unix(0, born).Add(-time.Minute)
	if source, n := pages.series(first, first.Add(time.Hour)); source == "memory" || n != 11 {
		t.Errorf("%d stored readings from %s, want 11", n, source)
	}
	if code := pages.acknowledge(id, "Ann"); code != http.StatusAccepted {
		t.Fatalf("the acknowledgement is answered with %d", code)
	}
	eventually(t, "the acknowledgement on the page", func() bool {
		f := pages.fleet()
		state, _ := f.alarm("thermal-runaway")
		return state == alarm.Acknowledged
	})
	wantJournal(t, dsn, "thermal-runaway 1 raised", "thermal-runaway 2 acknowledged Ann")

	pages.stop() // and a new one knows the alarm, because it is said again
	asked := d.Rebirths()
	pages = start(t, broker, dsn, only(collector.RoleWeb))
	eventually(t, "the alarm on the new page", func() bool {
		f := pages.fleet()
		state, _ := f.alarm("thermal-runaway")
		return state == alarm.Acknowledged
	})
	eventually(t, "nothing lost", func() bool { f := pages.fleet(); return len(f.Lost) == 0 })
	in.stop()
	eventually(t, "the page to tell that nothing is stored", func() bool { return pages.lost("INTAKE AWAY since ") })
	guard.stop()
	eventually(t, "the page to tell that nobody raises alarms", func() bool { return pages.lost("SENTINEL AWAY since ") })
	in, guard = start(t, broker, dsn, only(collector.RoleIntake)), start(t, broker, dsn, only(collector.RoleSentinel))
	eventually(t, "nothing lost again", func() bool { f := pages.fleet(); return len(f.Lost) == 0 })
	in.stop()
	guard.stop()
	d.measure(70, 400) // of a cell that the new page does not know
	d.WaitRebirth(asked)
	births(d.Client)
	d.measure(70, 400)
	eventually(t, "readings without intake and sentinel", func() bool {
		f := pages.fleet()
		return len(f.Units) == 1 && f.Units[0].State == "running" && len(f.Cells) == 1
	})
}

// TestPagesSayThatTheDatabaseIsAway stops PostgreSQL under them, and starts it again.
func TestPagesSayThatTheDatabaseIsAway(t *testing.T) {
	ctx := context.Background()
	pg, err := pgserver.Start(ctx, pgserver.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := pg.Remove(); err != nil {
			t.Error(err)
		}
	}()
	broker := edgetest.StartBroker(t)
	r := start(t, broker, pg.DSN())
	r.waitReady()
	d := dialDyno(t, broker, "cell")
	d.WaitSync()
	d.measure(60, 400)
	d.WaitAcked(1)
	whole := func() bool {
		f := r.fleet()
		return len(f.Units) == 1 && f.Source != "memory" && len(f.Lost) == 0
	}
	eventually(t, "the unit on the page, and nothing lost", whole)
	if err := pg.Stop(); err != nil {
		t.Fatal(err)
	}
	d.measure(61, 400)
	eventually(t, "the page to tell that the database is away", func() bool {
		f := r.fleet()
		return f.Source == "memory" && len(f.Lost) > 0 && len(f.Units) == 1
	})
	if source, n := r.series(time.Now().Add(-time.Hour), time.Now()); source != "memory" {
		t.Errorf("%d readings are told to be %s", n, source)
	}
	if err := pg.Start(ctx); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the page to recover by itself", whole)
}

// ownDatabase is a PostgreSQL of a test's own, to be stopped and started.
func ownDatabase(t *testing.T) *pgserver.Server {
	t.Helper()
	pg, err := pgserver.Start(context.Background(), pgserver.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := pg.Remove(); err != nil {
			t.Error(err)
		}
	})
	return pg
}

// throughout looks at something again and again for a time, and is never wrong.
func throughout(t *testing.T, d time.Duration, what string, ok func() bool) {
	t.Helper()
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	for limit := time.Now().Add(d); time.Now().Before(limit); <-tick.C {
		if !ok() {
			t.Fatalf("not always: %s", what)
		}
	}
}

// open reports whether the thermal runaway is open on a page.
func (f *fleet) open() bool {
	state, _ := f.alarm("thermal-runaway")
	return state != "" && state != alarm.Closed
}

// TestPagesGiveNoAllClearWithoutJournal: a collector that begins without it knows nothing of the
// alarms before, and no time makes that an all-clear.
func TestPagesGiveNoAllClearWithoutJournal(t *testing.T) {
	t.Parallel()
	pg, broker := ownDatabase(t), edgetest.StartBroker(t)
	r := start(t, broker, pg.DSN())
	r.waitReady()
	d := dialDyno(t, broker, "cell")
	d.overheat()
	eventually(t, "the alarm in the journal", func() bool {
		return slices.Contains(journal(t, pg.DSN()), "thermal-runaway 1 raised")
	})
	if err := pg.Stop(); err != nil {
		t.Fatal(err)
	}
	r.stop()
	r = start(t, broker, pg.DSN())
	eventually(t, "the page to tell that the sentinel is without its journal", func() bool { return r.lost("ALARMS MAY BE MISSING since ") })
	throughout(t, 15*time.Second, "the page tells that alarms are not known", func() bool {
		f := r.fleet()
		return f.lacks("DATABASE DOWN") && f.lacks("ALARMS NOT KNOWN YET") && !f.AlarmsAsOf.IsZero()
	})
	if err := pg.Start(context.Background()); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the alarm, and nothing lost", func() bool {
		f := r.fleet()
		return f.open() && len(f.Lost) == 0 && f.AlarmsAsOf.IsZero()
	})
}

// TestPagesKeepAlarmsWhileTheSentinelIsWithoutJournal: a sentinel that began without it
// does not repeat the alarms of before, and they are not over for that.
func TestPagesKeepAlarmsWhileTheSentinelIsWithoutJournal(t *testing.T) {
	t.Parallel()
	pg, broker := ownDatabase(t), edgetest.StartBroker(t)
	in := start(t, broker, pg.DSN(), only(collector.RoleIntake))
	guard := start(t, broker, pg.DSN(), only(collector.RoleSentinel))
	pages := start(t, broker, pg.DSN(), only(collector.RoleWeb))
	for _, r := range []*running{in, guard, pages} {
		r.waitReady()
	}
	d := dialDyno(t, broker, "cell")
	d.overheat()
	eventually(t, "the alarm on the page", func() bool { f := pages.fleet(); return f.open() })
	eventually(t, "the alarm in the journal", func() bool {
		return slices.Contains(journal(t, pg.DSN()), "thermal-runaway 1 raised")
	})
	if err := pg.Stop(); err != nil {
		t.Fatal(err)
	}
	guard.stop()
	start(t, broker, pg.DSN(), only(collector.RoleSentinel))
	eventually(t, "the page to tell that the sentinel is without its journal", func() bool { return pages.lost("ALARMS MAY BE MISSING since ") })
	throughout(t, 40*time.Second, "the alarm is open", func() bool {
		f := pages.fleet()
		if !f.open() || f.AlarmsAsOf.IsZero() {
			t.Logf("the page has %v as of %v, lost %q", f.Alarms, f.AlarmsAsOf, f.Lost)
			return false
		}
		return true
	})
	if err := pg.Start(context.Background()); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the alarm, and nothing lost", func() bool {
		f := pages.fleet()
		return f.open() && len(f.Lost) == 0 && f.AlarmsAsOf.IsZero()
	})
}

// TestRolesThatNeedTheBrokerAreUnreadyWithoutIt: the pages say that it is away.
func TestRolesThatNeedTheBrokerAreUnreadyWithoutIt(t *testing.T) {
	broker, dsn := edgetest.StartBroker(t), newDatabase(t)
	broker.Stop()
	for role, want := range map[string]int{
		collector.RoleWeb:      http.StatusOK,
		collector.RoleIntake:   http.StatusServiceUnavailable,
		collector.RoleSentinel: http.StatusServiceUnavailable,
	} {
		r := start(t, broker, dsn, only(role))
		eventually(t, fmt.Sprintf("status %d of %s alone", want, role), func() bool {
			code, body := r.get("/readyz")
			return code == want && contains(body, `"broker"`) == (want != http.StatusOK)
		})
	}
}
