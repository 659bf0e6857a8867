package agent_test

import (
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"andon.internal/agent"
	"andon.internal/shared/telemetry"
)

var cell = telemetry.Node{Group: "line1", ID: "cell-07"}

// A whole file goes from the source to the plant, exactly, although the broker, the
// collector and the database come late and the agent is restarted on the way.
func TestEveryReadingArrivesOnce(t *testing.T) {
	const units, cycles = 3, 4000
	broker := freeAddress(t)
	cfg := cellConfig(t, broker, csvOf(units, cycles))

	// Without a broker it starts, reads and keeps.
	a := start(t, cfg)
	eventually(t, "all is buffered", func() bool { return a.metric("andon_buffer_rows") == fmt.Sprint(units*cycles) })
	eventually(t, "told that sources have ended", func() bool { return strings.Contains(a.log.String(), "all sources have ended") })
	if reasons := a.ready(); reasons["connected"] == "" || reasons["acknowledged"] == "" || reasons["buffer"] != "" {
		t.Errorf("without a broker it is not ready for: %v", reasons)
	}
	a.stop()

	// With a database that is away it keeps what it sends.
	startBroker(t, broker)
	p := startPlant(t, broker, cell)
	p.setDown(true)
	a = start(t, cfg)
	eventually(t, "it holds", func() bool { return a.ready()["database"] != "" })
	if rows := a.metric("andon_buffer_rows"); rows != fmt.Sprint(units*cycles) {
		t.Errorf("holds %s rows", rows)
	}
	p.setDown(false)
	eventually(t, "all has arrived", func() bool { return p.rows() == units*cycles })
	eventually(t, "the buffer is empty", func() bool { return a.metric("andon_buffer_rows") == "0" })
	eventually(t, "it is ready", func() bool { return len(a.ready()) == 0 })
	a.stop()

	// The next start sends nothing again.
	a = start(t, cfg)
	eventually(t, "it is ready", func() bool { return len(a.ready()) == 0 })
	a.stop()
	if p.rows() != units*cycles || len(p.lost) > 0 {
		t.Errorf("%d rows, %d losses", p.rows(), len(p.lost))
	}
	p.checkRows(units, cycles, cfg.Sources[0].Replay.Start)
}

// A batch of more engines than a small disk takes at once goes in parts.
func TestASmallDiskTakesALargeBatchInParts(t *testing.T) {
	const units, cycles = 3000, 2
	broker := freeAddress(t)
	startBroker(t, broker)
	p := startPlant(t, broker, cell)
	cfg := cellConfig(t, broker, csvOf(units, cycles))
	cfg.Buffer.MaxDisk, cfg.Buffer.MaxMemory = 16<<20, 2<<20
	a := start(t, cfg)
	eventually(t, "all has arrived", func() bool { return p.rows() == units*cycles })
	a.stop()
	if strings.Contains(a.log.String(), "level=ERROR") {
		t.Error("the log has errors")
	}
	p.checkRows(units, cycles, cfg.Sources[0].Replay.Start)
}

// checkRows compares what the plant has with what csvOf wrote.
func (p *plant) checkRows(units, cycles int, begin time.Time) {
	p.t.Helper()
	p.mu.Lock()
	defer p.mu.Unlock()
	for u := range units {
		unit := fmt.Sprintf("press-%d", u+1)
		if len(p.runs[unit]) != 1 {
			p.t.Errorf("%s has %d runs", unit, len(p.runs[unit]))
			continue
		}
		for _, r := range p.runs[unit] {
			slices.SortFunc(r.rows, func(a, b row) int { return int(a.count) - int(b.count) })
			if len(r.rows) != cycles || r.end == nil || r.end.Reason != "finished" {
				p.t.Errorf("%s has %d rows and ended %v", unit, len(r.rows), r.end)
				continue
			}
			for c, got := range r.rows {
				want := row{
					time: begin.Add(time.Duration(c+1) * time.Second).UnixNano(), count: uint64(c),
					values: []telemetry.Value{telemetry.DoubleValue(float64(c%90) + .5), telemetry.IntegerValue(int64(u*1000 + c))},
				}
				if got.time != want.time || got.count != want.count || !slices.Equal(got.values, want.values) {
					p.t.Fatalf("%s row %d is %v, want %v", unit, c, got, want)
				}
			}
		}
	}
}

func TestStopIsAFarewell(t *testing.T) {
	broker := freeAddress(t)
	startBroker(t, broker)
	p := startPlant(t, broker, cell)
	cfg := cellConfig(t, broker, csvOf(2, 10))
	cfg.Sources[0].Replay.Speed = 0 // 1: the units stay on test
	a := start(t, cfg)
	eventually(t, "it is ready", func() bool { return len(a.ready()) == 0 })
	begin := time.Now()
	a.stop()
	if took := time.Since(begin); took > 30*time.Second {
		t.Errorf("took %v", took)
	}
	eventually(t, "it said farewell", func() bool { p.mu.Lock(); defer p.mu.Unlock(); return p.deaths == 1 })
	if ended := p.ended(); len(ended) > 0 {
		t.Errorf("a stop of the agent ended runs: %v", ended)
	}
}

func TestASourceThatLeftTheConfigurationEndsItsRuns(t *testing.T) {
	broker := freeAddress(t)
	startBroker(t, broker)
	p := startPlant(t, broker, cell)
	cfg := cellConfig(t, broker, csvOf(2, 100))
	cfg.Sources[0].Replay.Speed = 0
	a := start(t, cfg)
	eventually(t, "readings have arrived", func() bool { return p.rows() > 0 })
	a.stop()
	cfg.Sources = nil
	a = start(t, cfg)
	eventually(t, "the runs have ended", func() bool {
		ended := p.ended()
		return ended["press-1"] == "source removed" && ended["press-2"] == "source removed"
	})
	eventually(t, "it is ready", func() bool { return len(a.ready()) == 0 })
}

func TestTwoAgentsOfOneFolder(t *testing.T) {
	cfg := cellConfig(t, freeAddress(t), csvOf(1, 1))
	start(t, cfg)
	second, err := agent.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	err = second.Open()
	var hint interface{ Hint() string }
	if err == nil || !strings.Contains(err.Error(), "in use by another process") {
		t.Fatalf("error is %v", err)
	}
	if !asHint(err, &hint) || !strings.Contains(hint.Hint(), "another andon-agent runs with the data folder") {
		t.Errorf("no hint in %v", err)
	}
	if second.HTTPAddr() != "" {
		if resp, err := http.Get("http://" + second.HTTPAddr() + "/healthz"); err == nil {
			resp.Body.Close()
			t.Error("its port is still open")
		}
	}
}

func TestFaultsOfSourcesShowAtOpen(t *testing.T) {
	cfg := cellConfig(t, freeAddress(t), csvOf(1, 1))
	cfg.Sources[0].Replay.Profile = "presss"
	a, err := agent.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	err = a.Open()
	var usage interface{ Usage() bool }
	if err == nil || !strings.Contains(err.Error(), `source line1: profile "presss" is not known; there are: dyno, turbofan, press`) ||
		!asUsage(err, &usage) {
		t.Errorf("error is %v", err)
	}
}

// A damaged state costs the knowledge of who is on test, but no reading.
func TestADamagedStateIsSetAside(t *testing.T) {
	broker := freeAddress(t)
	cfg := cellConfig(t, broker, csvOf(2, 100))
	a := start(t, cfg)
	eventually(t, "all is buffered", func() bool { return a.metric("andon_buffer_rows") == "200" })
	a.stop()
	path := filepath.Join(string(cfg.Data), "state.db")
	if err := os.WriteFile(path, []byte(strings.Repeat("damage ", 10000)), 0o600); err != nil {
		t.Fatal(err)
	}
	startBroker(t, broker)
	p := startPlant(t, broker, cell)
	a = start(t, cfg)
	eventually(t, "all has arrived", func() bool { return p.rows() == 200 })
	p.checkRows(2, 100, cfg.Sources[0].Replay.Start)
	if !strings.Contains(a.log.String(), "the state is damaged and set aside") {
		t.Error("it was not told")
	}
	if aside, _ := filepath.Glob(path + ".damaged-*"); len(aside) != 1 {
		t.Errorf("set aside: %v", aside)
	}
}
