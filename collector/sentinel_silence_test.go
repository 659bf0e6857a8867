package collector_test

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"andon.internal/collector"
	"andon.internal/collector/internal/edgetest"
	"andon.internal/shared/alarm"
	"andon.internal/shared/sparkplug"
)

func quick(t testing.TB) func(*collector.Config) {
	t.Helper()
	return ownRules(t, `
- {alarm: node-offline, features: {age: {fn: silence, of: node}}, when: age > 0.7, priority: high}
- {alarm: data-silence, features: {age: {fn: silence, of: unit}}, when: age > 1, suppressed_by: [node-offline], priority: high}
- {alarm: not-a-word, features: {age: {fn: silence, of: unit}}, when: age > 1.3, priority: low}
`)
}

func TestSilenceOfAUnit(t *testing.T) {
	broker, dsn := edgetest.StartBroker(t), newDatabase(t)
	start(t, broker, dsn, ownRules(t, `
- {alarm: node-offline, features: {age: {fn: silence, of: node}}, when: age > 20, priority: high}
- {alarm: data-silence, features: {age: {fn: silence, of: unit}}, when: age > 1, suppressed_by: [node-offline], priority: high}
`)).waitReady()
	heard := listen(t, broker)
	d := dialDyno(t, broker, "cell")
	sent := d.measure(60, 400)
	beat := func() { d.Send(d.Node.Heartbeat(sparkplug.Heartbeat{})) }
	var silence alarm.Alarm
	var at time.Time
	for told := false; !told; told = heard.rules()["data-silence"] {
		beat()
		time.Sleep(50 * time.Millisecond) // what beats between is the script's
		if time.Since(sent) > patience {
			t.Fatal("the silence of the unit is not told")
		}
	}
	silence, at = heard.until("data-silence", alarm.Unacknowledged)
	if took := at.Sub(sent.Add(time.Second)); took < 0 {
		t.Errorf("silence of the unit was told %v before its time", -took)
	}
	if silence.Unit != unit || heard.rules()["node-offline"] {
		t.Errorf("silence %+v, heard of %v", silence, heard.rules())
	}
	d.measure(60, 400)
	heard.until("data-silence", alarm.ReturnedUnacknowledged)
	wantFirst(t, dsn, "data-silence 1 raised", "data-silence 2 cleared")
}

func wantFirst(t testing.TB, dsn string, want ...string) {
	t.Helper()
	eventually(t, fmt.Sprintf("journal %q", want), func() bool {
		got := journal(t, dsn)
		return len(got) >= len(want) && slices.Equal(got[:len(want)], want)
	})
}

func TestSilenceOfANode(t *testing.T) {
	broker, dsn := edgetest.StartBroker(t), newDatabase(t)
	start(t, broker, dsn, quick(t)).waitReady()
	heard := listen(t, broker)
	d := dialDyno(t, broker, "cell")
	d.measure(60, 400)
	offline, _ := heard.until("node-offline", alarm.Unacknowledged)
	if offline.Unit != "" || offline.Node != "cell" {
		t.Errorf("offline %+v", offline)
	}
	heard.until("not-a-word", alarm.Unacknowledged) // the silence of the unit was due before
	d.measure(60, 400)
	heard.until("node-offline", alarm.ReturnedUnacknowledged)
	wantFirst(t, dsn, "node-offline 1 raised", "node-offline 2 cleared")
	if heard.rules()["data-silence"] {
		t.Error("the silence of the unit was told beside that of its node")
	}
}

func TestNoSilenceIsToldWithoutBroker(t *testing.T) {
	broker, dsn := edgetest.StartBroker(t), newDatabase(t)
	r := start(t, broker, dsn, only(collector.RoleSentinel))
	r.waitReady()
	d := dialDyno(t, broker, "cell")
	d.measure(60, 400)
	eventually(t, "evaluation", func() bool { return r.metric("andon_sentry_readings_total") == "1" })
	d.Close() // its own end, so that the broker's does not tell its death
	eventually(t, "end of the session", func() bool { return !broker.Connected("edge-cell") })
	broker.Stop()
	time.Sleep(6 * time.Second) // how long the broker is away is the test's
	offline := `andon_sentry_raised_total{rule="node-offline"}`
	if got := r.metric(offline); got != "absent" {
		t.Errorf("without a broker node-offline was raised %s times", got)
	}
	back := time.Now()
	broker.Start()
	eventually(t, "connection", func() bool { return r.metric("andon_host_connected") == "1" })
	d.Reconnect(broker.URL())
	births(d.Client)
	d.measure(60, 400)
	eventually(t, "evaluation again", func() bool { return r.metric("andon_sentry_readings_total") == "2" })
	eventually(t, "the silence that follows", func() bool { return r.metric(offline) != "absent" })
	if took := time.Since(back); took < 4*time.Second {
		t.Errorf("node-offline was raised %v after the broker was back", took)
	}
}
