package agent_test

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"andon.internal/agent"
	"andon.internal/shared/config"
	"andon.internal/shared/freeport"
	"andon.internal/shared/ops"
)

// eventually waits until f is true.
func eventually(t testing.TB, what string, f func() bool) {
	t.Helper()
	for deadline := time.Now().Add(time.Minute); !f(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("not within a minute: %s", what)
		}
	}
}

// freeAddress returns an address on which nobody listens.
func freeAddress(t testing.TB) string {
	t.Helper()
	port, err := freeport.Take()
	if err != nil {
		t.Fatal(err)
	}
	return fmt.Sprintf("127.0.0.1:%d", port)
}

// profile of the tests: two signals.
const pressProfile = `
profile: press
version: 1
signals:
- {name: force_kn, unit: kN, min: 0, max: 100}
- {name: strokes, type: integer}
`

// writeFile writes a file of the test.
func writeFile(t testing.TB, dir, name, text string) config.Path {
	t.Helper()
	path := filepath.Join(dir, name)
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return config.Path(path)
}

// cellConfig returns the configuration of a cell that replays the CSV text of a file.
func cellConfig(t testing.TB, broker, csv string) agent.Config {
	t.Helper()
	dir := t.TempDir()
	cfg := agent.DefaultConfig()
	cfg.Group, cfg.Node = cell.Group, cell.ID
	cfg.Data = config.Path(filepath.Join(dir, "data"))
	cfg.MQTT.URL = "tcp://" + broker
	cfg.Profiles = []config.Path{writeFile(t, dir, "press.yaml", pressProfile)}
	cfg.Sources = []agent.SourceConfig{{
		Name: "line1", Driver: "replay",
		Replay: &agent.ReplayConfig{
			File: writeFile(t, dir, "data.csv", csv), Format: "csv", Profile: "press",
			UnitPrefix: "press-", Speed: agent.MaxSpeed,
			Start: time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC),
		},
	}}
	return cfg
}

// csvOf makes a file of some units and cycles.
func csvOf(units, cycles int) string {
	var b strings.Builder
	b.WriteString("unit,cycle,force_kn,strokes\n")
	for u := range units {
		for c := range cycles {
			fmt.Fprintf(&b, "%d,%d,%d.5,%d\n", u+1, c+1, c%90, u*1000+c)
		}
	}
	return b.String()
}

// running is an agent under test.
type running struct {
	*agent.Agent
	t        testing.TB
	log      *logBuffer
	registry *prometheus.Registry
	stop     func()
}

// start runs an agent until it is stopped or the test ends.
func start(t testing.TB, cfg agent.Config) *running {
	t.Helper()
	r := &running{t: t, log: &logBuffer{}, registry: prometheus.NewRegistry()}
	cfg.Logger = slog.New(slog.NewTextHandler(r.log, nil))
	cfg.Registry = r.registry
	var err error
	if r.Agent, err = agent.New(cfg); err != nil {
		t.Fatal(err)
	}
	if err := r.Open(); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- r.Run(ctx) }()
	r.stop = sync.OnceFunc(func() {
		cancel()
		select {
		case err := <-done:
			if err != nil {
				t.Errorf("run: %v", err)
			}
		case <-time.After(time.Minute):
			t.Error("the agent does not stop")
		}
		http.DefaultClient.CloseIdleConnections()
	})
	t.Cleanup(func() {
		r.stop()
		if t.Failed() {
			t.Log(r.log.String())
		}
	})
	return r
}

// ready asks /readyz and returns the reasons why not, by check.
func (r *running) ready() map[string]string {
	r.t.Helper()
	resp, err := http.Get("http://" + r.HTTPAddr() + "/readyz")
	if err != nil {
		r.t.Fatal(err)
	}
	defer resp.Body.Close()
	var body struct{ Checks []ops.Answer }
	if err := json.NewDecoder(resp.Body).Decode(&body); err != nil {
		r.t.Fatal(err)
	}
	reasons := map[string]string{}
	for _, c := range body.Checks {
		if !c.OK {
			reasons[c.Name] = c.Reason
		}
	}
	if (len(reasons) == 0) != (resp.StatusCode == http.StatusOK) {
		r.t.Errorf("status %d with %v", resp.StatusCode, reasons)
	}
	return reasons
}

// metric returns the value of a line of /metrics.
func (r *running) metric(name string) string {
	r.t.Helper()
	resp, err := http.Get("http://" + r.HTTPAddr() + "/metrics")
	if err != nil {
		r.t.Fatal(err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		r.t.Fatal(err)
	}
	for line := range strings.SplitSeq(string(text), "\n") {
		if value, ok := strings.CutPrefix(line, name+" "); ok {
			return value
		}
	}
	return "none"
}

// figure returns the number of a line of /metrics, and 0 where there is none.
func (r *running) figure(name string) float64 {
	r.t.Helper()
	n, err := strconv.ParseFloat(r.metric(name), 64)
	if err != nil {
		return 0
	}
	return n
}

type logBuffer struct {
	mu   sync.Mutex
	text strings.Builder
}

func (l *logBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(p)
}

func (l *logBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.String()
}
