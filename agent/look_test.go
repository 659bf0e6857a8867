package agent_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"andon.internal/agent"
	"andon.internal/agent/inspect"
	"andon.internal/agent/local"
)

func look(t *testing.T, cfg agent.Config) *agent.Look {
	t.Helper()
	l, err := agent.NewLook(&cfg, "")
	if err != nil {
		t.Fatal(err)
	}
	return l
}

func noDamage(t *testing.T) func(inspect.Damage) error {
	return func(d inspect.Damage) error {
		t.Error(d.Text())
		return nil
	}
}

// TestStatusOfAWellAgent: nothing is to be looked at, and the figures are those of the
// plant.
func TestStatusOfAWellAgent(t *testing.T) {
	broker := freeAddress(t)
	startBroker(t, broker)
	p := startPlant(t, broker, cell)
	cfg := cellConfig(t, broker, csvOf(2, 100))
	a := start(t, cfg)
	eventually(t, "all has arrived", func() bool { return p.rows() == 200 })
	var s *inspect.Status
	eventually(t, "it is well", func() bool {
		var err error
		if s, _, err = look(t, cfg).Status(t.Context()); err != nil {
			t.Fatal(err)
		}
		return len(s.Troubles) == 0 && s.Buffer.Records == 0
	})
	if !s.Link.Connected || s.Link.Session == 0 || s.Link.CreditRecords == 0 || s.Link.Broker != cfg.MQTT.URL || s.Epoch == "" ||
		len(s.Sources) != 1 || s.Sources[0].Readings != 200 || s.Sources[0].State != "ended" || s.Sources[0].Latest.IsZero() ||
		s.Card.ReadingBytes == 0 || s.Card.DeviceBytes == 0 || s.Card.DeviceBytes != s.Card.StartBytes {
		t.Errorf("status is %+v", s)
	}
	// It is told when the database is away.
	p.setDown(true)
	eventually(t, "the hold is told", func() bool {
		s, _, err := look(t, cfg).Status(t.Context())
		return err == nil && s.Link.Hold && strings.Contains(strings.Join(s.Troubles, "\n"), "database: the database is away")
	})
	a.stop()
	if s, held, err := look(t, cfg).Status(t.Context()); s != nil || held == nil || err != nil {
		t.Errorf("stopped: %v, %v, %v", s, held, err)
	}
}

// TestASocketThatCouldNotBeOpenedIsOpenedLater: as when the disk was full at the start.
func TestASocketThatCouldNotBeOpenedIsOpenedLater(t *testing.T) {
	cfg := cellConfig(t, freeAddress(t), csvOf(1, 1))
	socket := filepath.Join(string(cfg.Data), local.Name)
	if err := os.MkdirAll(socket, 0o755); err != nil { // no socket, and in its place
		t.Fatal(err)
	}
	a := start(t, cfg)
	answers := func() bool {
		s, _, err := look(t, cfg).Status(t.Context())
		return err == nil && s != nil
	}
	eventually(t, "it answers without a file", answers)
	if err := os.Remove(socket); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the socket is there", func() bool {
		info, err := os.Stat(socket)
		return err == nil && info.Mode().Type() == os.ModeSocket
	})
	eventually(t, "it answers there", answers)
	a.stop()
}

// TestAnAgentWhoseDiskIsGoneAnswers: it is asked although its files cannot be read.
func TestAnAgentWhoseDiskIsGoneAnswers(t *testing.T) {
	cfg := cellConfig(t, freeAddress(t), csvOf(1, 1))
	a := start(t, cfg)
	defer a.stop()
	chain := filepath.Join(string(cfg.Data), "buffer", "chain.db")
	if err := os.Rename(chain, chain+".away"); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink("chain.db", chain); err != nil { // which nobody can open
		t.Fatal(err)
	}
	eventually(t, "it answers", func() bool {
		s, _, err := look(t, cfg).Status(t.Context())
		return err == nil && s != nil && s.Epoch != ""
	})
	if err := errors.Join(os.Remove(chain), os.Rename(chain+".away", chain)); err != nil {
		t.Fatal(err)
	}
}

// TestLookingDoesNotHinder: while one reads the records slowly, and others send what is no
// request, the source's readings go into the buffer, a second reader is told to wait, and
// the agent stops in time.
func TestLookingDoesNotHinder(t *testing.T) {
	cfg := cellConfig(t, freeAddress(t), csvOf(20, 2000))
	cfg.Sources = append(cfg.Sources, cfg.Sources[0])
	cfg.Sources[1].Name = "line2"
	cfg.Sources[1].Replay = &agent.ReplayConfig{}
	*cfg.Sources[1].Replay = *cfg.Sources[0].Replay
	cfg.Sources[1].Replay.UnitPrefix, cfg.Sources[1].Replay.Speed = "slow-", 100
	a := start(t, cfg)
	eventually(t, "much is buffered", func() bool { n := 0; _, _ = fmt.Sscan(a.metric("andon_buffer_rows"), &n); return n >= 40_000 })
	eventually(t, "records are given", func() bool { // those of a file are, once they are on disk
		resp, err := local.Client(string(cfg.Data)).Get("http://agent/v1/records")
		if err != nil {
			t.Fatal(err)
		}
		if _, err = io.ReadFull(resp.Body, make([]byte, 100)); err != nil {
			_ = resp.Body.Close() // the next one is looked at
			return false
		}
		t.Cleanup(func() { _ = resp.Body.Close() })
		return true
	})
	for _, what := range []string{"records", "none", "status", "profiles", "holdings"} {
		for _, method := range []string{http.MethodGet, http.MethodPost} {
			ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
			r, err := http.NewRequestWithContext(ctx, method, "http://agent/v1/"+what, bytes.NewReader(make([]byte, 1<<20)))
			if err != nil {
				t.Fatal(err)
			}
			if resp, err := local.Client(string(cfg.Data)).Do(r); err == nil {
				wrong := resp.StatusCode == http.StatusOK && (method == http.MethodPost || what == "none")
				if wrong || what == "records" && method == http.MethodGet && resp.StatusCode != http.StatusServiceUnavailable && resp.StatusCode != http.StatusOK {
					t.Errorf("%s %s: %s", method, what, resp.Status)
				}
				resp.Body.Close()
			}
			cancel()
		}
	}
	before := a.metric("andon_buffer_appended_rows_total")
	eventually(t, "readings go on", func() bool { return a.metric("andon_buffer_appended_rows_total") != before })
	begin := time.Now()
	a.stop()
	if took := time.Since(begin); took > 30*time.Second {
		t.Errorf("the stop took %v", took)
	}
}

// TestExportsAreTheReadings: live and stopped give the same, each reading once, as it was
// in the file.
func TestExportsAreTheReadings(t *testing.T) {
	const units, cycles = 3, 700
	cfg := cellConfig(t, freeAddress(t), csvOf(units, cycles))
	a := start(t, cfg)
	eventually(t, "all is buffered, and on disk", func() bool {
		return a.metric("andon_buffer_rows") == fmt.Sprint(units*cycles) && a.metric("andon_buffer_unwritten_records") == "0"
	})
	outputs := map[string]string{}
	for _, state := range []string{"live", "stopped"} {
		for _, format := range inspect.Formats {
			var out bytes.Buffer
			tally, err := look(t, cfg).Export(t.Context(), format, inspect.Filter{}, &out, noDamage(t))
			if err != nil || tally.Readings != units*cycles || tally.Unknown > 0 {
				t.Fatalf("%s %s: %+v, %v", state, format, tally, err)
			}
			if outputs[format] == "" {
				outputs[format] = out.String()
			} else if out.String() != outputs[format] {
				t.Errorf("%s differs between live and stopped", format)
			}
		}
		tally, err := look(t, cfg).Verify(t.Context(), noDamage(t))
		if err != nil || tally.Readings != units*cycles {
			t.Errorf("%s: verify %+v, %v", state, tally, err)
		}
		a.stop()
	}
	seen := map[string]bool{}
	for line := range strings.Lines(outputs["json"]) {
		var row struct {
			Unit    string
			Time    time.Time
			Quality string
			Profile string
			Values  map[string]float64
		}
		if err := json.Unmarshal([]byte(line), &row); err != nil {
			t.Fatal(err)
		}
		strokes := int(row.Values["strokes"])
		u, c := strokes/1000, strokes%1000
		want := cfg.Sources[0].Replay.Start.Add(time.Duration(c+1) * time.Second)
		if row.Unit != fmt.Sprintf("press-%d", u+1) || !row.Time.Equal(want) || row.Values["force_kn"] != float64(c%90)+.5 || row.Profile != "press" || seen[row.Unit+fmt.Sprint(c)] {
			t.Fatalf("reading is %+v", row)
		}
		seen[row.Unit+fmt.Sprint(c)] = true
	}
	if !strings.HasPrefix(outputs["csv"], "epoch,position,row,unit,born,time,quality,force_kn,strokes\n") || strings.Count(outputs["csv"], "\n") != units*cycles+1 {
		t.Errorf("csv begins with %.200s", outputs["csv"])
	}
	// Without its state the profiles of the configuration serve.
	for name, l := range map[string]*agent.Look{"with the configuration": look(t, cfg), "without": folder(t, cfg)} {
		if err := errors.Join(rename(filepath.Join(string(cfg.Data), "state.db"))); err != nil {
			t.Fatal(err)
		}
		tally, err := l.Export(t.Context(), "csv", inspect.Filter{Unit: "press-2"}, io.Discard, noDamage(t))
		if err != nil || (name == "without") != (tally.Readings == 0) || (name == "without") != (tally.Unknown > 0) {
			t.Errorf("%s: %+v, %v", name, tally, err)
		}
	}
}

func folder(t *testing.T, cfg agent.Config) *agent.Look {
	t.Helper()
	l, err := agent.NewLook(nil, string(cfg.Data))
	if err != nil {
		t.Fatal(err)
	}
	return l
}

// rename moves a file away, if it is there.
func rename(path string) error {
	err := os.Rename(path, path+".away")
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}
