package factory_test

import (
	"testing"
	"time"

	"andon.internal/lab/factory"
)

func TestAgentYAML(t *testing.T) {
	got, err := factory.AgentYAML(factory.Cell{Name: "cell-01", Replay: factory.Replay{
		File: `/data/a: "b" #c.txt`, UnitPrefix: "engine-", Period: 100 * time.Millisecond, Speed: "2.5", Loop: true,
		Start: time.Date(2026, 1, 2, 3, 4, 5, 600, time.UTC),
	}}, "/data/cell-01", "127.0.0.1:1883", "127.0.0.1:9100")
	if err != nil {
		t.Fatal(err)
	}
	const want = `group: austin-line1
node: cell-01
data: /data/cell-01
mqtt:
    url: tcp://127.0.0.1:1883
sources:
    - name: replay
      driver: replay
      replay:
        file: '/data/a: "b" #c.txt'
        format: cmapss
        profile: turbofan
        unit_prefix: engine-
        period: 100ms
        speed: 2.5
        loop: true
        start: 2026-01-02T03:04:05.0000006Z
http:
    listen: 127.0.0.1:9100
`
	if got != want {
		t.Errorf("got:\n%s\nwant:\n%s", got, want)
	}
}

func TestParseMetrics(t *testing.T) {
	got := factory.ParseMetrics(`# HELP a_total help
# TYPE a_total counter
a_total 3
b{x="1"} 2.5
b{x="2"} 1e3
broken
c{x="a b"} NaN

d x
`)
	for name, want := range map[string]float64{"a_total": 3, `b{x="1"}`: 2.5, "b": 1002.5} {
		if got[name] != want {
			t.Errorf("%s is %v, want %v", name, got[name], want)
		}
	}
	if _, ok := got["d"]; ok || len(got) != 6 {
		t.Errorf("parsed %v", got)
	}
}
