package collector_test

import (
	"net/http"
	"slices"
	"strings"
	"testing"

	"andon.internal/collector"
	"andon.internal/collector/internal/edgetest"
	"andon.internal/shared/alarm"
)

// TestWhoDidWhatIsNoted acknowledges an alarm, and one that there is not.
func TestWhoDidWhatIsNoted(t *testing.T) {
	broker, dsn := edgetest.StartBroker(t), newDatabase(t)
	r := start(t, broker, dsn)
	r.waitReady()
	d := dialDyno(t, broker, "cell")
	d.overheat()
	id := ""
	eventually(t, "the alarm on the page", func() bool {
		f := r.fleet()
		var state alarm.State
		state, id = f.alarm("thermal-runaway")
		return state == alarm.Unacknowledged
	})
	if code := r.acknowledge("nothing", "Mallory"); code != http.StatusNotFound {
		t.Errorf("an alarm that there is not: %d", code)
	}
	if code := r.acknowledge(id, "Ann"); code != http.StatusAccepted {
		t.Errorf("the alarm: %d", code)
	}
	r.stop()
	got := query(t, dsn, `SELECT who, action, object, result, coalesce(detail->>'note', '') FROM audit_log
 WHERE action NOT IN ('migrate database', 'begin audit log') ORDER BY seq`)
	want := []string{
		"andon-collector start collector intake,sentinel,web ok",
		"Mallory acknowledge alarm nothing refused seen",
		"Ann acknowledge alarm " + id + " ok seen",
		"andon-collector stop collector intake,sentinel,web ok",
	}
	if !slices.Equal(got, want) {
		t.Errorf("noted is\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
	c := collector.DefaultConfig()
	c.Database.DSN = dsn
	if sum, err := collector.VerifyAuditLog(t.Context(), c, nil, discard); err != nil || sum.Entries < 8 {
		t.Errorf("%+v, %v", sum, err)
	}
}
