package ops_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"andon.internal/shared/ops"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

type usage struct{ error }

func (usage) Usage() bool { return true }

func TestMainReportsErrors(t *testing.T) {
	cause := errors.New("open buffer: disk on fire")
	tests := []struct {
		name string
		err  error
		code int
		want string
	}{
		{"none", nil, 0, ""},
		{"cause", cause, 1, "andon-agent: open buffer: disk on fire\n"},
		{"hint", fmt.Errorf("start: %w", ops.Hint(cause, "extinguish it")), 1, "andon-agent: start: open buffer: disk on fire\nhint: extinguish it\n"},
		{"usage", ops.UsageError(errors.New("no such flag"), "see --help"), 2, "andon-agent: no such flag\nhint: see --help\n"},
		{"several lines", usage{errors.New("a.yaml:1:1: x\na.yaml:2:1: y")}, 2, "andon-agent: a.yaml:1:1: x\nandon-agent: a.yaml:2:1: y\n"},
		{"hint on usage", ops.Hint(usage{errors.New("x")}, "y"), 2, "andon-agent: x\nhint: y\n"},
		{"hint of nothing", ops.Hint(nil, "y"), 0, ""},
		{"usage of nothing", ops.UsageError(nil, "y"), 0, ""},
		{"cancelled without a signal", context.Canceled, 1, "andon-agent: context canceled\n"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			var out bytes.Buffer
			code := ops.Main("andon-agent", &out, func(context.Context) error { return tt.err })
			if code != tt.code || out.String() != tt.want {
				t.Errorf("code %d, said %q; want %d, %q", code, out.String(), tt.code, tt.want)
			}
		})
	}
}

func TestLogger(t *testing.T) {
	var out bytes.Buffer
	log := ops.NewLogger(&out, ops.LogConfig{Level: "warn", Format: "json"})
	log.Info("quiet")
	log.Warn("loud", "rows", 3)
	var line map[string]any
	if err := json.Unmarshal(out.Bytes(), &line); err != nil || line["msg"] != "loud" || line["rows"] != 3.0 {
		t.Errorf("%s: %v", out.String(), err)
	}
	out.Reset()
	ops.NewLogger(&out, ops.LogConfig{}).Info("text")
	if !strings.Contains(out.String(), "msg=text") {
		t.Error(out.String())
	}
	bad := ops.LogConfig{Level: "loud", Format: "xml"}
	if err := bad.Check(); err == nil || !strings.Contains(err.Error(), "loud") || !strings.Contains(err.Error(), "xml") {
		t.Errorf("check: %v", err)
	}
	for _, level := range []string{"", "debug", "info", "warn", "error"} {
		if err := (&ops.LogConfig{Level: level}).Check(); err != nil {
			t.Error(err)
		}
	}
}

func TestVersion(t *testing.T) {
	b := ops.BuildInfo()
	if b.Version == "" || b.Go == "" || ops.Version() != b.Version || !strings.HasPrefix(b.String(), b.Version+" ") {
		t.Errorf("%+v", b)
	}
}

func TestNowIsNotBeforeTheBuild(t *testing.T) {
	commit := time.Date(2026, 11, 2, 3, 4, 5, 0, time.UTC)
	for _, texts := range [][]string{{"2026-11-02T03:04:05Z", "2020-01-01T00:00:00Z"}, {"", "2026-11-02T05:04:05+02:00"}, {"yesterday", "2026-11-02T03:04:05Z"}} {
		if got := ops.FirstTime(texts...); !got.Equal(commit) {
			t.Errorf("%q is built at %v", texts, got)
		}
	}
	if got := ops.FirstTime("", ""); !got.IsZero() {
		t.Errorf("nobody said when it was built, and it is %v", got)
	}
	if got := ops.NotBefore(commit, time.Unix(0, 0), time.Minute); got != commit.Add(time.Minute) {
		t.Errorf("a clock in 1970 reads %v a minute after the start", got)
	}
	if got := ops.NotBefore(commit, commit.Add(time.Hour), time.Minute); got != commit.Add(time.Hour) {
		t.Errorf("a clock that runs reads %v", got)
	}
	if now := ops.Now(); time.Since(now) > time.Minute {
		t.Errorf("now is %v", now)
	}
}

// serve runs a server until the test ends.
func serve(t *testing.T, h *ops.Health) string {
	t.Helper()
	s, err := ops.Listen("andon-test", ops.HTTPConfig{Listen: "127.0.0.1:0"}, h, ops.NewRegistry(), slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	var running sync.WaitGroup
	running.Go(func() {
		if err := s.Run(ctx); err != nil {
			t.Error(err)
		}
	})
	t.Cleanup(func() {
		cancel()
		running.Wait()
		http.DefaultClient.CloseIdleConnections()
	})
	return "http://" + s.Addr()
}

func get(t *testing.T, url string) (int, string) {
	t.Helper()
	resp, err := http.Get(url)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, string(body)
}

func TestHealth(t *testing.T) {
	var h ops.Health
	url := serve(t, &h)
	if code, body := get(t, url+"/healthz"); code != 200 || !strings.Contains(body, `"ok": true`) {
		t.Errorf("%d %s", code, body)
	}
	var mu sync.Mutex
	var broker error
	h.Ready("buffer", func() error { return nil })
	h.Ready("broker", func() error { mu.Lock(); defer mu.Unlock(); return broker })
	if code, _ := get(t, url+"/readyz"); code != 200 {
		t.Errorf("ready is %d", code)
	}
	mu.Lock()
	broker = errors.New("connection refused")
	mu.Unlock()
	code, body := get(t, url+"/readyz")
	var got struct {
		Program, Version string
		OK               bool
		Checks           []ops.Answer
	}
	if err := json.Unmarshal([]byte(body), &got); err != nil || code != 503 || got.OK || got.Program != "andon-test" {
		t.Fatalf("%d %s: %v", code, body, err)
	}
	want := []ops.Answer{{Name: "buffer", OK: true}, {Name: "broker", Reason: "connection refused"}}
	if len(got.Checks) != 2 || got.Checks[0] != want[0] || got.Checks[1] != want[1] {
		t.Errorf("checks %+v", got.Checks)
	}
	if code, _ := get(t, url+"/healthz"); code != 200 {
		t.Error("what is not ready is not alive")
	}
	if code, body := get(t, url+"/metrics"); code != 200 || !strings.Contains(body, "andon_build_info{") {
		t.Errorf("%d %s", code, body)
	}
	if code, _ := get(t, url+"/other"); code != 404 {
		t.Errorf("/other is %d", code)
	}
}

func TestServerOff(t *testing.T) {
	s, err := ops.Listen("x", ops.HTTPConfig{}, &ops.Health{}, ops.NewRegistry(), slog.New(slog.DiscardHandler))
	if err != nil || s.Addr() != "" {
		t.Fatalf("%v %q", err, s.Addr())
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := s.Run(ctx); err != nil {
		t.Error(err)
	}
	if err := s.Close(); err != nil {
		t.Error(err)
	}
}

func TestServerWithoutAPort(t *testing.T) {
	if err := (&ops.HTTPConfig{Listen: "9101"}).Check(); err == nil {
		t.Error("an address without a port passes")
	}
	first, err := ops.Listen("x", ops.HTTPConfig{Listen: "127.0.0.1:0"}, &ops.Health{}, ops.NewRegistry(), slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	defer first.Close()
	_, err = ops.Listen("x", ops.HTTPConfig{Listen: first.Addr()}, &ops.Health{}, ops.NewRegistry(), slog.New(slog.DiscardHandler))
	if err == nil || !strings.Contains(err.Error(), "listen for http") {
		t.Errorf("a taken port: %v", err)
	}
}

func TestPulse(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := ops.NewPulse(5 * time.Second)
		time.Sleep(4 * time.Second)
		if err := p.Check(); err != nil {
			t.Error(err)
		}
		time.Sleep(2 * time.Second)
		if err := p.Check(); err == nil || err.Error() != "has not moved for 6s" {
			t.Errorf("got %v", err)
		}
		p.Beat()
		if err := p.Check(); err != nil {
			t.Error(err)
		}
	})
}
