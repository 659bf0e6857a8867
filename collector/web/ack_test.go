package web_test

import (
	"net/http"
	"path"
	"strings"
	"testing"
	"time"

	"andon.internal/collector/web"
	"andon.internal/shared/sentinel"
)

const ackPath = "/api/v1/alarms/x1/ack"

func TestAcknowledge(t *testing.T) {
	const kind, jsonKind, formKind = "Content-Type", "application/json", "application/x-www-form-urlencoded"
	good := `{"by":" Ann ","note":"on my way"}`
	for _, tt := range []struct {
		name, path, body string
		header           []string
		fail             error
		want             int
		sent             int
	}{
		{"json", ackPath, good, []string{kind, jsonKind}, nil, 202, 1},
		{"same origin", ackPath, good, []string{kind, jsonKind, "Origin", "http://127.0.0.1:8080"}, nil, 202, 1},
		{"form", ackPath, "by=Ann&note=x&back=%2Funit%2Fa%2Fb", []string{kind, formKind, "Sec-Fetch-Site", "same-origin"}, nil, 303, 1},
		{"foreign origin", ackPath, good, []string{kind, jsonKind, "Origin", "http://evil.example"}, nil, 403, 0},
		{"foreign site", ackPath, good, []string{kind, jsonKind, "Sec-Fetch-Site", "cross-site"}, nil, 403, 0},
		{"unknown alarm", "/api/v1/alarms/nobody/ack", good, []string{kind, jsonKind}, nil, 404, 0},
		{"no name", ackPath, `{"by":"  "}`, []string{kind, jsonKind}, nil, 400, 0},
		{"long name", ackPath, `{"by":"` + strings.Repeat("a", 65) + `"}`, []string{kind, jsonKind}, nil, 400, 0},
		{"long note", ackPath, `{"by":"a","note":"` + strings.Repeat("a", 501) + `"}`, []string{kind, jsonKind}, nil, 400, 0},
		{"huge", ackPath, `{"by":"a","note":"` + strings.Repeat("a", 1<<16) + `"}`, []string{kind, jsonKind}, nil, 400, 0},
		{"no json", ackPath, `by`, []string{kind, jsonKind}, nil, 400, 0},
		{"another kind", ackPath, good, []string{kind, "text/plain"}, nil, 415, 0},
		{"cannot be sent", ackPath, good, []string{kind, jsonKind}, errAway, 503, 0},
	} {
		t.Run(tt.name, func(t *testing.T) {
			f := setUp(t)
			f.raise("x1", "dyno-0001", sentinel.Critical, time.Now())
			f.acks.fail = tt.fail
			rec := f.do(http.MethodPost, tt.path, tt.body, tt.header...)
			if rec.Code != tt.want {
				t.Fatalf("status %d, want %d: %s", rec.Code, tt.want, rec.Body)
			}
			if len(f.acks.got) != tt.sent {
				t.Fatalf("%d sent, want %d", len(f.acks.got), tt.sent)
			}
			f.wantNoted(tt.want, path.Base(strings.TrimSuffix(tt.path, "/ack")))
			if tt.sent > 0 && (f.acks.got[0].ID != "x1" || f.acks.got[0].By != "Ann" || f.acks.got[0].At.IsZero()) {
				t.Errorf("sent %+v", f.acks.got[0])
			}
			if tt.want == 303 && rec.Header().Get("Location") != "/unit/a/b" {
				t.Errorf("back to %q", rec.Header().Get("Location"))
			}
			if tt.sent == 1 {
				// Once is enough.
				if rec := f.do(http.MethodPost, ackPath, good, kind, jsonKind); rec.Code != http.StatusConflict {
					t.Errorf("a second time: %d", rec.Code)
				}
			}
		})
	}
}

// wantNoted wants one deed in the audit log, as the status of the answer says.
func (f *fixture) wantNoted(status int, id string) {
	f.tb.Helper()
	if len(f.audit.list) != 1 {
		f.tb.Fatalf("%d deeds are noted: %+v", len(f.audit.list), f.audit.list)
	}
	d, outcome := f.audit.list[0], web.Refused
	switch status {
	case http.StatusAccepted, http.StatusSeeOther:
		outcome = web.Done
	case http.StatusServiceUnavailable:
		outcome = web.Failed
	case http.StatusForbidden:
		if d.Action != "request page" || d.Result != web.Refused || d.Object != "POST "+ackPath {
			f.tb.Errorf("noted %+v", d)
		}
		return
	}
	if d.Action != "acknowledge alarm" || d.Object != id || d.Result != outcome || d.From != "192.0.2.1" ||
		(outcome == web.Done) != (d.Detail["why"] == nil) || outcome == web.Done && d.Who != "Ann" {
		f.tb.Errorf("noted %+v", d)
	}
}

// TestForeignHostIsNoted has a name point at us that is none of ours.
func TestForeignHostIsNoted(t *testing.T) {
	f := setUp(t)
	if rec := f.serve(newRequest(http.MethodGet, "/", "evil.example")); rec.Code != http.StatusMisdirectedRequest {
		t.Errorf("status %d", rec.Code)
	}
	if len(f.audit.list) != 1 || f.audit.list[0].Result != web.Refused || f.audit.list[0].Detail["host"] != "evil.example" {
		t.Errorf("noted %+v", f.audit.list)
	}
}

func TestFormsComeBackToUsOnly(t *testing.T) {
	for back, want := range map[string]string{
		"/unit/a/b?range=1h": "/unit/a/b?range=1h", "": "/", "//evil.example/x": "/", "http://evil.example": "/",
		`/\evil.example`: "/", "javascript:alert(1)": "/", "/\r\nSet-Cookie: a": "/", "unit": "/",
	} {
		f := setUp(t)
		f.raise("x1", "dyno-0001", sentinel.Critical, time.Now())
		r := newRequest(http.MethodPost, ackPath, "127.0.0.1")
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		r.Body = body("by=Ann&back=" + escape(back))
		if got := f.serve(r).Header().Get("Location"); got != want {
			t.Errorf("back %q leads to %q, want %q", back, got, want)
		}
	}
}

func TestReports(t *testing.T) {
	f := setUp(t)
	report := func(body string) int { return f.do(http.MethodPost, "/api/v1/report", body).Code }
	if got := report(`{"panel":"andon-fleet","message":"TypeError\nat x","page":"/"}`); got != http.StatusNoContent {
		t.Errorf("a report: %d", got)
	}
	for _, bad := range []string{"", "{}", "nonsense", `{"message":"` + strings.Repeat("a", 1<<16) + `"}`} {
		if got := report(bad); got != http.StatusBadRequest {
			t.Errorf("%.20q: %d", bad, got)
		}
	}
	got := 0
	for range 30 {
		got = report(`{"message":"again"}`)
	}
	if got != http.StatusTooManyRequests {
		t.Errorf("after 30 more: %d", got)
	}
}
