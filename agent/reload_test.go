package agent_test

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"andon.internal/agent"
	"andon.internal/agent/inspect"
)

// served is an agent that runs from a file.
type served struct {
	t      testing.TB
	dir    string
	broker string
	log    *logBuffer
	again  chan struct{}
	stop   func() error
}

// file writes agent.yaml of the cell with a profile of some signals.
func (s *served) file(more string) string {
	s.t.Helper()
	text := fmt.Sprintf("group: %s\nnode: %s\ndata: data\nmqtt: {url: 'tcp://%s'}\nprofiles: [press.yaml]\n", cell.Group, cell.ID, s.broker)
	return string(writeFile(s.t, s.dir, "agent.yaml", text+more))
}

const replayed = `sources:
- {name: line1, driver: replay, replay: {file: data.csv, format: csv, profile: press, unit_prefix: press-, speed: max, start: 2026-01-02T03:04:05Z}}
`

func serveCell(t testing.TB, broker string) *served {
	t.Helper()
	return &served{t: t, dir: t.TempDir(), broker: broker, log: &logBuffer{}, again: make(chan struct{})}
}

func (s *served) start() {
	s.t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() {
		done <- agent.Serve(ctx, filepath.Join(s.dir, "agent.yaml"), s.again, func(c *agent.Config) {
			c.Logger = slog.New(slog.NewTextHandler(s.log, nil))
		})
	}()
	s.stop = sync.OnceValue(func() error {
		cancel()
		return <-done
	})
	s.t.Cleanup(func() {
		_ = s.stop() // the test has looked at its error, or has failed
		if s.t.Failed() {
			s.t.Log(s.log.String())
		}
	})
}

// says waits until the log has a text so often.
func (s *served) says(text string, times int) {
	s.t.Helper()
	eventually(s.t, text, func() bool { return strings.Count(s.log.String(), text) >= times })
}

// held is what the buffer holds, as JSON lines.
func (s *served) held() string {
	s.t.Helper()
	look, err := agent.NewLook(nil, filepath.Join(s.dir, "data"))
	if err != nil {
		s.t.Fatal(err)
	}
	var out bytes.Buffer
	_, err = look.Export(s.t.Context(), "json", inspect.Filter{}, &out, func(d inspect.Damage) error {
		s.t.Errorf("damage: %+v", d)
		return nil
	})
	if err != nil {
		s.t.Fatal(err)
	}
	return out.String()
}

// TestAChangedConfigurationTouchesNothing that is buffered: neither one with faults, nor a
// good one with another profile, and all of it is delivered under the layout that it was
// taken with.
func TestAChangedConfigurationTouchesNothing(t *testing.T) {
	broker := freeAddress(t) // nobody listens yet
	s := serveCell(t, broker)
	writeFile(t, s.dir, "press.yaml", pressProfile)
	writeFile(t, s.dir, "data.csv", csvOf(3, 50))
	s.file(replayed)
	s.start()
	s.says("all sources have ended", 1)
	var before string
	eventually(t, "150 readings are held", func() bool {
		before = s.held()
		return strings.Count(before, "\n") == 150
	})

	s.file("bufer: {linger: 1s}\n" + replayed + "- {name: x, driver: none}\n")
	s.again <- struct{}{}
	for _, fault := range []string{"agent.yaml:6:1", "agent.yaml:9:21"} {
		s.says(fault, 1)
	}
	text := strings.ReplaceAll(mustRead(t, s.file(replayed)), "data: data", "data: elsewhere")
	writeFile(t, s.dir, "agent.yaml", strings.ReplaceAll(text, "node: ", "node: other-"))
	s.again <- struct{}{}
	s.says("cannot be left for", 1)
	s.says("a cell cannot become another", 1)
	writeFile(t, s.dir, "press.yaml", strings.ReplaceAll(pressProfile, "strokes", "force_kn")) // twice
	s.file(replayed)
	s.again <- struct{}{}
	s.says("press.yaml:", 1)
	if got := s.held(); got != before || strings.Contains(s.log.String(), "agent stops") {
		t.Errorf("a faulty configuration changed something: held before\n%s\nand then\n%s", before, got)
	}

	// A signal goes, one comes, one has another name.
	writeFile(t, s.dir, "press.yaml", `
profile: press
version: 2
signals:
- {name: ram_force_kn, unit: kN}
- {name: oil_c, unit: degC}
`)
	s.file("")
	s.again <- struct{}{}
	s.says("the configuration was taken over", 1)
	if got := s.held(); !strings.HasPrefix(got, before) {
		t.Errorf("after a good configuration the buffer holds\n%s\nwant first\n%s", got, before)
	}
	if err := s.stop(); err != nil {
		t.Fatal(err)
	}
	if got := s.held(); !strings.HasPrefix(got, before) {
		t.Error("after a stop something else is held")
	}
	s.start() // a restart
	startBroker(t, broker)
	p := startPlant(t, broker, cell)
	eventually(t, "all readings are there", func() bool { return p.rows() == 150 })
	p.checkRows(3, 50, time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC))
	if err := s.stop(); err != nil {
		t.Fatal(err)
	}
}

// TestAConfigurationThatDoesNotStart lets the one before come back.
func TestAConfigurationThatDoesNotStart(t *testing.T) {
	s := serveCell(t, freeAddress(t))
	writeFile(t, s.dir, "press.yaml", pressProfile)
	s.file("")
	s.start()
	s.says("agent starts", 1)
	taken, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	s.file(fmt.Sprintf("http: {listen: '%s'}\n", taken.Addr()))
	s.again <- struct{}{}
	s.says("does not start; the one before comes back", 1)
	s.says("agent starts", 2)
	if err := s.stop(); err != nil {
		t.Error(err)
	}
}

// TestADataFolderBelongsToOneCell: under another name the agent does not start.
func TestADataFolderBelongsToOneCell(t *testing.T) {
	cfg := cellConfig(t, freeAddress(t), csvOf(1, 1))
	start(t, cfg).stop()
	cfg.Node = "another"
	a, err := agent.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	if err := a.Open(); err == nil || !strings.Contains(err.Error(), "is that of the cell "+cell.Group+"/"+cell.ID) {
		t.Errorf("error %v", err)
	}
	cfg.Node = cell.ID
	start(t, cfg).stop()
}

func mustRead(t testing.TB, path string) string {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}
