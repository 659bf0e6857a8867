package health_test

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"andon.internal/collector/health"
)

const (
	ready   = `{"program": "andon-collector", "version": "v1", "ok": true, "checks": [{"name": "database", "ok": true}]}`
	standby = `{"program": "andon-collector", "version": "v1", "ok": false, "checks": [{"name": "database", "ok": true}, {"name": "lease", "ok": false, "reason": "another has it"}]}`
	noDB    = `{"program": "andon-collector", "version": "v1", "ok": false, "checks": [{"name": "database", "ok": false, "reason": "refused"}]}`
)

func TestAsk(t *testing.T) {
	tests := []struct {
		name   string
		status int
		body   string
		want   health.State
		reason string
	}{
		{"ready", 200, ready, health.Healthy, "andon-collector v1 answers"},
		{"standby", 503, standby, health.Degraded, "another has it"},
		{"no database", 503, noDB, health.Down, "refused"},
		{"token refused", 401, "", health.Down, "check the token"},
		{"proxy without collector", 502, ready, health.Down, "502"},
		{"page to log in", 302, "", health.Down, "302"},
		{"another page", 200, "<html>", health.Down, "not as a collector does"},
		{"another JSON", 200, `{"ok": true}`, health.Down, "not as a collector does"},
		{"nothing checked", 200, `{"program": "x", "ok": true, "checks": []}`, health.Down, "not as a collector does"},
		{"ready with an error", 503, ready, health.Down, "contradicts itself"},
		{"not ready, and well", 200, noDB, health.Down, "contradicts itself"},
		{"not ready without a reason", 503, strings.Replace(ready, "true,", "false,", 1), health.Down, "contradicts itself"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			var path, token string
			s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				path, token = r.URL.Path, r.Header.Get("Authorization")
				w.Header().Set("Location", "/elsewhere")
				w.WriteHeader(tt.status)
				_, _ = w.Write([]byte(tt.body))
			}))
			defer s.Close()
			r, err := health.Ask(t.Context(), s.URL+"/plant", "s3cret")
			if err != nil {
				t.Fatal(err)
			}
			var reasons []string
			for _, c := range r.Checks {
				reasons = append(reasons, c.Reason)
			}
			if all := strings.Join(reasons, "\n"); r.State != tt.want || !strings.Contains(all, tt.reason) || strings.Contains(all, "s3cret") {
				t.Errorf("%s: %s, want %s: %s", r.State, all, tt.want, tt.reason)
			}
			if path != "/plant/readyz" || token != "Bearer s3cret" {
				t.Errorf("asked %s with %q", path, token)
			}
		})
	}
}

func TestAskNobody(t *testing.T) {
	s := httptest.NewServer(http.NotFoundHandler())
	s.Close()
	r, err := health.Ask(t.Context(), s.URL, "")
	if err != nil || r.State != health.Down || r.ExitCode() != 2 {
		t.Errorf("%+v, %v", r, err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if r, err := health.Ask(ctx, s.URL, ""); !errors.Is(err, context.Canceled) {
		t.Errorf("%+v, %v", r, err)
	}
}

// TestAskChecksTheCertificate asks a server whose certificate nobody vouches for.
func TestAskChecksTheCertificate(t *testing.T) {
	s := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte(ready)) }))
	defer s.Close()
	r, err := health.Ask(t.Context(), s.URL, "")
	if err != nil || r.State != health.Down || !strings.Contains(r.Checks[0].Reason, "certificate") {
		t.Errorf("%+v, %v", r, err)
	}
}

func TestCheckURL(t *testing.T) {
	for address, ok := range map[string]bool{
		"https://andon.example.com":        true,
		"https://andon.example.com/readyz": true,
		"https://10.0.0.1:8443/plant/":     true,
		"http://127.0.0.1:9101":            true,
		"http://[::1]:9101":                true,
		"http://localhost:9101":            true,
		"http://andon.example.com":         false,
		"http://10.0.0.1":                  false,
		"https://u:p@andon.example.com":    false,
		"https://andon.example.com?token":  false,
		"andon.example.com":                false,
		"ftp://127.0.0.1":                  false,
		"":                                 false,
	} {
		if err := health.CheckURL(address); (err == nil) != ok {
			t.Errorf("%s: %v", address, err)
		}
	}
}
