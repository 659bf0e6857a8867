package agent_test

import (
	"io"
	"net/http"
	"strings"
	"testing"

	"andon.internal/agent"
	"andon.internal/shared/config"
)

func TestTwinsTakeOrders(t *testing.T) {
	cfg := agent.DefaultConfig()
	cfg.Group, cfg.Node, cfg.Data = "plant", "cell-01", config.Path(t.TempDir())
	cfg.MQTT.URL = "tcp://127.0.0.1:1"
	cfg.Sources = []agent.SourceConfig{
		{Name: "east", Driver: "simulated", Simulated: &agent.SimulatedConfig{Stations: 1, Rate: 50}},
		{Name: "west", Driver: "simulated", Simulated: &agent.SimulatedConfig{Stations: 1, First: 2, Rate: 50}},
	}
	a := start(t, cfg)
	send := func(path, kind, body string) (int, string) {
		resp, err := http.Post("http://"+a.HTTPAddr()+"/simulated/"+path, kind, strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		text, err := io.ReadAll(resp.Body)
		if err != nil {
			t.Fatal(err)
		}
		return resp.StatusCode, string(text)
	}
	post := func(kind, body string) (int, string) { return send("inject", kind, body) }
	// Units are put on their stations when the sources have opened.
	for _, unit := range []string{"dyno-01-0001", "dyno-02-0001"} {
		eventually(t, unit+" takes a fault", func() bool {
			status, _ := post("application/json", `{"unit":"`+unit+`","fault":"overpressure","seconds":5}`)
			return status == http.StatusNoContent
		})
	}
	for _, c := range []struct {
		name, kind, body string
		status           int
	}{
		{"no such unit", "application/json", `{"unit":"dyno-09-0001","fault":"spike"}`, http.StatusNotFound},
		{"no such fault", "application/json", `{"unit":"dyno-01-0001","fault":"gremlins"}`, http.StatusBadRequest},
		{"unknown key", "application/json", `{"unit":"dyno-01-0001","fault":"spike","x":1}`, http.StatusBadRequest},
		{"from a form", "text/plain", `{"unit":"dyno-01-0001","fault":"spike"}`, http.StatusBadRequest},
		{"huge", "application/json", `{"unit":"` + strings.Repeat("x", 8192) + `"}`, http.StatusBadRequest},
	} {
		if status, text := post(c.kind, c.body); status != c.status {
			t.Errorf("%s: %d %s, want %d", c.name, status, text, c.status)
		}
	}
	for _, path := range []string{"stop", "release"} {
		for unit, want := range map[string]int{"dyno-02": http.StatusNoContent, "dyno-09": http.StatusNotFound} {
			if status, text := send(path, "application/json", `{"unit":"`+unit+`"}`); status != want {
				t.Errorf("%s %s: %d %s, want %d", path, unit, status, text, want)
			}
		}
	}
}
