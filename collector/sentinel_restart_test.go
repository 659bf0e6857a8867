package collector_test

import (
	"fmt"
	"strings"
	"testing"

	"andon.internal/collector"
	"andon.internal/collector/internal/edgetest"
	"andon.internal/shared/alarm"
)

func TestRestartTellsNothingTwice(t *testing.T) {
	broker, dsn := edgetest.StartBroker(t), newDatabase(t)
	r := start(t, broker, dsn)
	r.waitReady()
	heard := listen(t, broker)
	d := dialDyno(t, broker, "cell")
	d.overheat()
	before, _ := heard.until("thermal-runaway", alarm.Unacknowledged)
	wantJournal(t, dsn, "thermal-runaway 1 raised")
	r.stop()

	again := listen(t, broker)
	r = start(t, broker, dsn)
	r.waitReady()
	asked := d.Rebirths()
	d.measure(400, 400) // of a node that nobody knows yet
	d.WaitRebirth(asked)
	births(d.Client)
	for range 10 {
		d.measure(401, 400)
	}
	eventually(t, "evaluation", func() bool { return r.metric("andon_sentry_readings_total") == "10" })
	after, _ := again.until("thermal-runaway", alarm.Unacknowledged) // it stands, as it was
	if fmt.Sprint(after) != fmt.Sprint(before) {
		t.Errorf("after the restart %+v, before %+v", after, before)
	}
	if got := r.metric(`andon_sentry_raised_total{rule="thermal-runaway"}`); got != "absent" {
		t.Errorf("raised %s times after the restart", got)
	}
	d.Send(d.Node.UnitDeath(unit))
	again.until("thermal-runaway", alarm.ReturnedUnacknowledged)
	wantJournal(t, dsn, "thermal-runaway 1 raised", "thermal-runaway 2 ended")
}

// A unit that left the test while nobody listened does not stay on test.
func TestUnitGoneDuringRestart(t *testing.T) {
	broker, dsn := edgetest.StartBroker(t), newDatabase(t)
	r := start(t, broker, dsn)
	r.waitReady()
	heard := listen(t, broker)
	d := dialDyno(t, broker, "cell")
	d.overheat()
	heard.until("thermal-runaway", alarm.Unacknowledged)
	wantJournal(t, dsn, "thermal-runaway 1 raised")
	r.stop()
	start(t, broker, dsn).waitReady()
	d.Send(d.Node.Birth()) // and not of the unit
	heard.until("thermal-runaway", alarm.ReturnedUnacknowledged)
	wantJournal(t, dsn, "thermal-runaway 1 raised", "thermal-runaway 2 ended")
}

func TestAlarmsWithoutDatabase(t *testing.T) {
	broker, pg := edgetest.StartBroker(t), ownServer(t)
	r := start(t, broker, pg.DSN())
	r.waitReady()
	heard := listen(t, broker)
	d := dialDyno(t, broker, "cell")
	d.measure(60, 400)
	d.WaitAcked(1)
	if err := pg.Kill(); err != nil {
		t.Fatal(err)
	}
	d.overheat()
	heard.until("thermal-runaway", alarm.Unacknowledged) // while the database is away
	d.Send(d.Node.UnitDeath(unit))
	heard.until("thermal-runaway", alarm.ReturnedUnacknowledged)
	eventually(t, "notice of the journal", func() bool {
		_, body := r.get("/readyz")
		return contains(strings.Join(strings.Fields(body), ""), `"alarms","ok":false`)
	})
	restart(t, pg)
	wantJournal(t, pg.DSN(), "thermal-runaway 1 raised", "thermal-runaway 2 ended")
	r.waitReady()
}

// The database is away from the start: alarms are told, and are the ones that were open
// before, once it is back.
func TestAlarmsOfStartWithoutDatabase(t *testing.T) {
	broker, pg := edgetest.StartBroker(t), ownServer(t)
	r := start(t, broker, pg.DSN(), only(collector.RoleSentinel))
	r.waitReady()
	heard := listen(t, broker)
	d := dialDyno(t, broker, "cell")
	d.overheat()
	first, _ := heard.until("thermal-runaway", alarm.Unacknowledged)
	wantJournal(t, pg.DSN(), "thermal-runaway 1 raised")
	r.stop()
	if err := pg.Kill(); err != nil {
		t.Fatal(err)
	}
	again := listen(t, broker)
	r = start(t, broker, pg.DSN(), only(collector.RoleSentinel))
	eventually(t, "connection", func() bool { return r.metric("andon_host_connected") == "1" })
	births(d.Client)
	d.overheat()
	second, _ := again.until("thermal-runaway", alarm.Unacknowledged)
	if second.ID == first.ID {
		t.Fatal("the alarm was known without a database")
	}
	restart(t, pg)
	r.waitReady()
	again.Until("the first alarm again", func(h edgetest.Heard) bool {
		a, _ := alarm.ParseAlarm(h.Topic, h.Payload)
		return a.ID == first.ID && a.State() == alarm.Unacknowledged
	})
	again.Until("the end of the second", func(h edgetest.Heard) bool {
		a, _ := alarm.ParseAlarm(h.Topic, h.Payload)
		return a.ID == second.ID && a.State() == alarm.Closed
	})
	wantJournal(t, pg.DSN(), "thermal-runaway 1 raised")
}

func TestSecondSentinelTakesOver(t *testing.T) {
	broker, dsn := edgetest.StartBroker(t), newDatabase(t)
	first := start(t, broker, dsn, only(collector.RoleSentinel))
	first.waitReady()
	second := start(t, broker, dsn, only(collector.RoleSentinel))
	eventually(t, "the second to stand by", func() bool {
		_, body := second.get("/readyz")
		return contains(body, "another collector holds the sentinel lease") && second.metric("andon_host_connected") == "1"
	})
	heard := listen(t, broker)
	d := dialDyno(t, broker, "cell")
	d.overheat()
	a, _ := heard.until("thermal-runaway", alarm.Unacknowledged)
	wantJournal(t, dsn, "thermal-runaway 1 raised")
	if got := second.metric("andon_sentry_published_total"); got != "0" {
		t.Errorf("the standby published %s states", got)
	}
	first.stop()
	second.waitReady()
	for range 10 { // it knows the unit from before
		d.measure(400, 600)
	}
	heard.until("sustained-overpressure", alarm.Unacknowledged)
	wantJournal(t, dsn, "sustained-overpressure 1 raised", "thermal-runaway 1 raised")
	d.Send(d.Node.UnitDeath(unit))
	if b, _ := heard.until("thermal-runaway", alarm.ReturnedUnacknowledged); b.ID != a.ID || b.Sequence != 2 {
		t.Errorf("ended as %+v", b)
	}
}

// A cell that fell silent while nobody listened is told too.
func TestNodeGoneDuringRestart(t *testing.T) {
	broker, dsn := edgetest.StartBroker(t), newDatabase(t)
	r := start(t, broker, dsn)
	r.waitReady()
	d := dialDyno(t, broker, "cell")
	d.WaitSync()
	d.measure(60, 400)
	d.WaitAcked(1)
	r.stop()
	// Silence would clear an alarm that is told already; so there is to be none.
	exec(t, dsn, `TRUNCATE alarm_event, alarm; UPDATE unit_run SET last_ts = now()`)
	heard := listen(t, broker)
	start(t, broker, dsn, quick(t)).waitReady()
	heard.until("node-offline", alarm.Unacknowledged)
}
