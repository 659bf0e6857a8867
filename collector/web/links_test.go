package web_test

import (
	"errors"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"andon.internal/collector/web"
	"andon.internal/shared/sentinel"
)

// TestRolesAway: the pages say what is lost with the sentinel and the intake, and tell
// once what has one cause.
func TestRolesAway(t *testing.T) {
	const stored = "READINGS NOT STORED since 17:59:50: the cells keep them"
	for _, tt := range []struct {
		name             string
		absent           web.Absence
		broker, database error
		lost             string // joined with |
		asOf             string // of the alarms
	}{
		{"sentinel silent", web.Absence{Role: "sentinel"}, nil, nil, "SENTINEL AWAY since 17:59:50: no new alarms", "17:59:50"},
		{"sentinel without its journal", web.Absence{Role: "sentinel", Fault: "no lease"}, nil, nil, "ALARMS NOT JOURNALLED since 17:59:50: new", "17:59:50"},
		{
			"sentinel without its database",
			web.Absence{Role: "sentinel", Fault: "no lease"},
			nil, errAway,
			"DATABASE DOWN|ALARMS MAY BE MISSING since 17:59:50: the sentinel is without its journal", "17:59:50",
		},
		{"intake silent", web.Absence{Role: "intake"}, nil, nil, "INTAKE AWAY since 17:59:50: readings are not stored", ""},
		{"intake without its lease", web.Absence{Role: "intake", Fault: "no lease"}, nil, nil, stored, ""},
		{"intake without its database", web.Absence{Role: "intake", Fault: "no lease"}, nil, errAway, "DATABASE DOWN", ""},
		{"intake silent, database away", web.Absence{Role: "intake"}, nil, errAway, "DATABASE DOWN|INTAKE AWAY", ""},
		{"broker away", web.Absence{Role: "sentinel"}, errAway, nil, "BROKER AWAY", "18:00:00"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f := setUp(t) // the bubble begins at midnight UTC, 18:00 in the plant
				f.setBroker(tt.broker)
				f.history.setDown(tt.database)
				tt.absent.Since = time.Now().Add(-10 * time.Second)
				f.setAbsent(tt.absent)
				stop := f.watch()
				defer stop()
				time.Sleep(1500 * time.Millisecond)
				lost, _ := f.get("/api/v1/fleet", http.StatusOK)["lost"].([]any)
				want := strings.Split(tt.lost, "|")
				for i := range want {
					if len(lost) != len(want) || !strings.HasPrefix(lost[i].(string), want[i]) {
						t.Fatalf("lost %q, want %q", lost, want)
					}
				}
				got, calm := text(f.do(http.MethodGet, "/", "").Body.String()), "No active alarm"
				if tt.asOf != "" {
					calm = "No alarm was known at " + tt.asOf
				}
				for _, want := range []string{lost[0].(string), calm} {
					if !strings.Contains(got, want) {
						t.Errorf("the page lacks %q:\n%s", want, got)
					}
				}
				f.setAbsent()
				f.setBroker(nil)
				f.history.setDown(nil)
				time.Sleep(1500 * time.Millisecond)
				if lost := f.get("/api/v1/fleet", http.StatusOK)["lost"]; lost != nil {
					t.Errorf("all are back, lost %v", lost)
				}
			})
		})
	}
}

// TestNoAnswerNamesWhatIsBehind: an error of the database names user and address, and an
// answer is for everybody who sees the page.
func TestNoAnswerNamesWhatIsBehind(t *testing.T) {
	const secret = "user=andon database=plant 10.1.2.3:5432"
	behind := errors.New("failed to connect to `" + secret + "`")
	synctest.Test(t, func(t *testing.T) {
		f := setUpWith(t, &fakeJournal{err: behind})
		f.read("dyno-0001", time.Now(), 0, values(80, 400, true))
		f.raise("x1", "dyno-0001", sentinel.High, time.Now())
		f.acks.fail = behind
		look := func(when string) {
			unit := "/api/v1/units/" + cell.Group + "/dyno-0001"
			for _, target := range []string{
				"/", "/unit/" + cell.Group + "/dyno-0001?range=1d", "/api/v1/fleet", "/api/v1/alarms", "/api/v1/cells", unit,
				unit + "/series?range=1d", unit + "/series?range=1d&format=csv", "/api/v1/units/" + cell.Group + "/gone/series?range=1d",
				"/unit/" + cell.Group + "/gone?range=1d",
			} {
				if got := f.do(http.MethodGet, target, "").Body.String(); strings.Contains(got, "user=") || strings.Contains(got, "10.1.2.3") {
					t.Errorf("%s, %s: %s", when, target, got)
				}
			}
			got := f.do(http.MethodPost, "/api/v1/alarms/x1/ack", `{"by":"kim"}`, "Content-Type", "application/json").Body.String()
			if strings.Contains(got, "user=") {
				t.Errorf("%s, acknowledgement: %s", when, got)
			}
		}
		f.history.setDown(behind)
		look("before the outage is known")
		f.setAbsent(web.Absence{Role: "intake", Since: time.Now(), Fault: secret}, web.Absence{Role: "sentinel", Since: time.Now(), Fault: secret})
		stop := f.watch()
		defer stop()
		time.Sleep(1500 * time.Millisecond)
		look("the database is away")
		f.history.setDown(nil)
		time.Sleep(1500 * time.Millisecond)
		look("only the roles are without it")
		f.setBroker(behind)
		time.Sleep(1500 * time.Millisecond)
		look("the broker is away")
	})
}
