package agent_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"andon.internal/agent"
	"andon.internal/shared/config"
)

// found returns what a check says of each thing: its note, or its fault.
func found(t *testing.T, cfg agent.Config) (map[string]string, error) {
	t.Helper()
	all, err := agent.Check(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	out := map[string]string{}
	for _, f := range all {
		out[f.Name] = f.Note
		if f.Err != nil {
			out[f.Name] = "FAULT: " + f.Err.Error()
		}
	}
	return out, agent.Failed(all)
}

func TestCheckFindsAllWell(t *testing.T) {
	broker := freeAddress(t)
	startBroker(t, broker)
	cfg := cellConfig(t, broker, csvOf(1, 1))
	got, err := found(t, cfg)
	want := map[string]string{
		"profiles":     "dyno, turbofan, press",
		"data":         string(cfg.Data) + " (will be made)",
		"source line1": "opens (replay)",
		"broker":       cfg.MQTT.URL + " answers",
	}
	for name, note := range want {
		if got[name] != note {
			t.Errorf("%s: %s", name, got[name])
		}
	}
	if err != nil || len(got) != len(want) {
		t.Errorf("%v: %v", got, err)
	}
	if _, err := os.Stat(string(cfg.Data)); err == nil {
		t.Error("a check made the data folder")
	}
}

func TestCheckFindsFaults(t *testing.T) {
	cfg := cellConfig(t, freeAddress(t), csvOf(1, 1))
	cfg.Sources[0].Replay.File += "x"
	cfg.Data = cfg.Profiles[0]
	got, err := found(t, cfg)
	for name, want := range map[string]string{
		"data":         "press.yaml is not a folder",
		"source line1": "no such file",
		"broker":       "connection refused",
	} {
		if !strings.HasPrefix(got[name], "FAULT: ") || !strings.Contains(got[name], want) {
			t.Errorf("%s: %s", name, got[name])
		}
	}
	if err == nil || err.Error() != "3 of the checks failed" {
		t.Errorf("error is %v", err)
	}

	cfg = cellConfig(t, freeAddress(t), csvOf(1, 1))
	cfg.Profiles = append(cfg.Profiles, config.Path(filepath.Join(t.TempDir(), "none.yaml")))
	if got, _ := found(t, cfg); !strings.Contains(got["profiles"], "none.yaml: no such file") {
		t.Errorf("profiles: %s", got["profiles"])
	}
}

func TestCheckBesideARunningAgent(t *testing.T) {
	broker := freeAddress(t)
	startBroker(t, broker)
	cfg := cellConfig(t, broker, csvOf(1, 1))
	a := start(t, cfg)
	eventually(t, "connected", func() bool { return a.ready()["connected"] == "" })
	if got, err := found(t, cfg); err != nil {
		t.Errorf("%v: %v", got, err)
	}
	if a.ready()["connected"] != "" {
		t.Error("the check threw the agent off")
	}
}
