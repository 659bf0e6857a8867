package web_test

import (
	"fmt"
	"net/http"
	"regexp"
	"strings"
	"testing"
	"time"

	"andon.internal/collector/web"
	"andon.internal/shared/sentinel"
	"andon.internal/shared/telemetry"
)

// text is a page without its tags, spaces made one.
func text(body string) string {
	body = regexp.MustCompile(`(?s)<svg class="sprite".*?</svg>`).ReplaceAllString(body, "")
	body = regexp.MustCompile(`<[^>]*>`).ReplaceAllString(body, " ")
	return strings.Join(strings.Fields(body), " ")
}

func TestFleetIsReadableWithoutJavaScript(t *testing.T) {
	f := setUp(t)
	now := time.Now()
	f.read("dyno-0001", now, 0, values(61.25, 412, true))
	f.read("dyno-0002", now, telemetry.QualitySimulated, values(118.2, 300, false))
	f.raise("x1", "dyno-0002", sentinel.Critical, now)
	for i := range 4 {
		f.p.Heartbeat(now.Add(time.Duration(i-3)*2*time.Second), cell, heartbeat(18234+uint64(3-i)*200, 27*time.Minute))
	}
	got := text(f.do(http.MethodGet, "/", "").Body.String())
	for _, want := range []string{
		"andon austin", "live SIM 1/2", "1 unacknowledged",
		"Running 1 Idle 1 Stopped 0 Stale 0", "Worst dyno-0002 critical thermal-runaway Winding 118.2 °C",
		"dyno-0001 Running 61.2 412.0 31.0 2400", "dyno-0002 SIM Idle critical thermal-runaway 118.2 300.0",
		"hot 118.2 °C", "check the coolant &lt;now&gt;", "cell-07 austin-line1 online 3 min 02 s to catch up 2 18 234 27 min 00 s",
	} {
		if !strings.Contains(got, want) {
			t.Errorf("the page lacks %q:\n%s", want, got)
		}
	}
	if strings.Index(got, "dyno-0002 SIM Idle") > strings.Index(got, "dyno-0001 Running") {
		t.Error("the worst does not come first")
	}
}

func TestWorstIsTheValueBeyondItsLimit(t *testing.T) {
	f := setUp(t)
	f.read("dyno-0001", time.Now(), 0, values(61.2, 545, true))
	f.raise("x1", "dyno-0001", sentinel.High, time.Now())
	const want = "Worst dyno-0001 high thermal-runaway Pressure 545.0 psi"
	if got := text(f.do(http.MethodGet, "/", "").Body.String()); !strings.Contains(got, want) {
		t.Errorf("the page lacks %q:\n%s", want, got)
	}
}

func TestManyUnitsBecomeTiles(t *testing.T) {
	f := setUp(t)
	now := time.Now()
	for i := range 40 {
		f.read(fmt.Sprintf("dyno-%04d", i), now, 0, values(60, 400, true))
	}
	for _, tt := range []struct {
		path        string
		rows, tiles int
	}{
		{"/", 8, 32},
		{"/?view=rows", 40, 0},
		{"/?view=tiles", 0, 40},
		{"/?wall=1", 0, 40},
	} {
		body := f.do(http.MethodGet, tt.path, "").Body.String()
		rows, tiles := strings.Count(body, `<tr class="unit`), strings.Count(body, `<li class="tile`)
		if rows != tt.rows || tiles != tt.tiles {
			t.Errorf("%s: %d rows and %d tiles, want %d and %d", tt.path, rows, tiles, tt.rows, tt.tiles)
		}
	}
}

func TestPagesHaveNothingInline(t *testing.T) {
	f := setUp(t)
	now := time.Now()
	f.read("dyno-0001", now, telemetry.QualitySimulated, values(61, 412, true))
	f.raise("x1", "dyno-0001", sentinel.Critical, now)
	inline := regexp.MustCompile(`(?i)<script(>|[^>]*[^"]>[^<])|<style|\sstyle=|\son[a-z]+=|javascript:|https?://`)
	for _, path := range []string{"/", "/?wall=1", "/?view=tiles", "/unit/austin-line1/dyno-0001", "/unit/austin-line1/nobody", "/nothing"} {
		rec := f.do(http.MethodGet, path, "")
		if m := inline.FindString(rec.Body.String()); m != "" {
			t.Errorf("%s has %q", path, m)
		}
		policy := rec.Header().Get("Content-Security-Policy")
		if !strings.Contains(policy, "default-src 'none'") || strings.Contains(policy, "unsafe") {
			t.Errorf("%s: content policy %q", path, policy)
		}
		if got := rec.Header().Get("X-Content-Type-Options"); got != "nosniff" {
			t.Errorf("%s: X-Content-Type-Options %q", path, got)
		}
	}
}

func TestUnitPage(t *testing.T) {
	f := setUp(t)
	now := time.Now()
	for i := range 60 {
		f.read("dyno-0001", now.Add(time.Duration(i-59)*time.Second), telemetry.QualitySimulated, values(60+float64(i)/10, 412, true))
	}
	f.history.runs = []web.Run{{Node: "cell-07", Profile: "dyno", Born: now.Add(-48 * time.Hour), Died: now.Add(-47 * time.Hour), Reason: "finished", Stored: 3590, Expected: 3600}}
	rec := f.do(http.MethodGet, "/unit/austin-line1/dyno-0001", "")
	got := text(rec.Body.String())
	for _, want := range []string{
		"SIM dyno-0001 · andon", "Fleet / austin-line1 / dyno-0001", "dyno-0001 SIM Running", "−60 60", "Winding 65.9 °C", "max 110", "Efficiency 91.0 %", "Running yes",
		"15 min 1 h 8 h 24 h 7 d", "Steps of 30", "finished cell-07 3 590 10",
	} {
		if !strings.Contains(got, want) {
			t.Errorf("the page lacks %q:\n%s", want, got)
		}
	}
	f.history.setDown(errAway)
	if rec := f.do(http.MethodGet, "/unit/austin-line1/dyno-0001?range=8h", ""); !strings.Contains(text(rec.Body.String()), "only the run under way is known") {
		t.Error("the page does not say that the database is away")
	}
	f.history.runs = nil
	if rec := f.do(http.MethodGet, "/unit/austin-line1/nobody", ""); rec.Code != http.StatusNotFound {
		t.Errorf("unknown unit: %d", rec.Code)
	}
}

func TestEmptyPlant(t *testing.T) {
	f := setUp(t)
	got := text(f.do(http.MethodGet, "/", "").Body.String())
	for _, want := range []string{"No unit is on test", "No active alarm", "No cell has been heard yet", "No unit in alarm"} {
		if !strings.Contains(got, want) {
			t.Errorf("the page lacks %q:\n%s", want, got)
		}
	}
}

func TestThemeFollowsTheCookie(t *testing.T) {
	f := setUp(t)
	for cookie, want := range map[string]string{"theme=dark": `<html lang="en" data-theme="dark">`, "theme=\"><script>": `<html lang="en">`, "": `<html lang="en">`} {
		if body := f.do(http.MethodGet, "/", "", "Cookie", cookie).Body.String(); !strings.Contains(body, want) {
			t.Errorf("cookie %q: the page lacks %s", cookie, want)
		}
	}
}

func TestForeignNamesAreRefused(t *testing.T) {
	f, _ := setUpDoor(t, func(c *web.Config) { c.Hosts = []string{"andon.plant.example"} })
	for host, want := range map[string]int{
		"127.0.0.1:8080": 303, "[::1]:8080": 303, "localhost:8080": 303, "10.1.2.3": 403, "andon.plant.example": 403,
		"evil.example": 421, "evil.example:8080": 421, "127.0.0.1.evil.example": 421, "": 421,
	} {
		r := newRequest(http.MethodGet, "/", host)
		rec := f.serve(r)
		if rec.Code != want {
			t.Errorf("host %q: %d, want %d", host, rec.Code, want)
		}
	}
}
