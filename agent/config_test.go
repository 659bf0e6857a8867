package agent_test

import (
	"errors"
	"strings"
	"testing"
	"time"

	"andon.internal/agent"
)

func asHint(err error, to *interface{ Hint() string }) bool { return errors.As(err, to) }

func asUsage(err error, to *interface{ Usage() bool }) bool {
	return errors.As(err, to) && (*to).Usage()
}

func TestLoad(t *testing.T) {
	dir := t.TempDir()
	cfg, err := agent.Load(string(writeFile(t, dir, "agent.yaml", `
group: austin-line1
node: cell-07
data: data
mqtt:
  url: tcp://127.0.0.1:1883
  primary_host: andon
buffer: {linger: 50ms, write: ahead, retain: 2h, max_disk: 2GiB, policy: thin, thin_keep: 4}
profiles: [press.yaml]
sources:
- name: line1
  driver: replay
  replay: {file: train.txt, unit_prefix: engine-, speed: max, start: 2026-01-02T03:04:05Z}
- name: line2
  driver: replay
  replay: {file: /data/x.csv, format: csv, profile: dyno, speed: 2.5, period: 100ms, loop: true}
http: {listen: ""}
log: {level: debug, format: json}
`)))
	if err != nil {
		t.Fatal(err)
	}
	if string(cfg.Data) != dir+"/data" || string(cfg.Profiles[0]) != dir+"/press.yaml" || cfg.MQTT.PrimaryHost != "andon" {
		t.Errorf("%+v", cfg)
	}
	if cfg.Buffer.Linger != 50*time.Millisecond || cfg.Buffer.MaxDisk != 2<<30 || cfg.Buffer.MaxMemory != 16<<20 ||
		cfg.Buffer.Policy != "thin" || cfg.Buffer.ThinKeep != 4 || cfg.Buffer.Quota != 0.85 {
		t.Errorf("%+v", cfg.Buffer)
	}
	one, two := cfg.Sources[0].Replay, cfg.Sources[1].Replay
	if string(one.File) != dir+"/train.txt" || one.Speed != agent.MaxSpeed || one.Start.Year() != 2026 {
		t.Errorf("%+v", one)
	}
	if string(two.File) != "/data/x.csv" || two.Speed != 2.5 || two.Period != 100*time.Millisecond || !two.Loop {
		t.Errorf("%+v", two)
	}
	if _, err := agent.New(cfg); err != nil {
		t.Error(err)
	}
}

func TestShareAndRate(t *testing.T) {
	for text, want := range map[string]string{
		`backlog_share: 0.05`: "", `backlog_share: 0.95, max_rate: 8KiB`: "",
		`backlog_share: 0`: "mqtt.backlog_share: must be from 0.05 to 0.95", `max_rate: 100B`: "mqtt.max_rate: must be 4KiB a second",
	} {
		file := writeFile(t, t.TempDir(), "agent.yaml", "group: line1\nnode: cell-07\ndata: data\nmqtt: {url: 'tcp://127.0.0.1:1883', "+text+"}\n")
		_, err := agent.Load(string(file))
		if (err == nil) != (want == "") || err != nil && !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q", text, err, want)
		}
	}
}

// Beyond loopback there is TLS, or somebody has said otherwise.
func TestBrokerBeyondLoopback(t *testing.T) {
	for text, want := range map[string]string{
		`mqtt: {url: "tcp://127.0.0.1:1883"}`:                                        "",
		`mqtt: {url: "tcp://localhost:1883"}`:                                        "",
		`mqtt: {url: "tcp://broker.plant.example:1883"}`:                             "mqtt.url: \"broker.plant.example\" is beyond this machine",
		`mqtt: {url: "tcp://broker:1883", plaintext: true}`:                          "",
		`mqtt: {url: "mqtts://broker:1883", tls: {ca: a, cert: b, key: c}}`:          "",
		`mqtt: {url: "mqtts://b:1", plaintext: true, tls: {ca: a, cert: b, key: c}}`: "contradicts",
	} {
		file := writeFile(t, t.TempDir(), "agent.yaml", "group: line1\nnode: cell-07\ndata: data\nsources: [{name: a, driver: simulated}]\n"+text+"\n")
		_, err := agent.Load(string(file))
		if (err == nil) != (want == "") || err != nil && !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q", text, err, want)
		}
	}
}

func TestLoadReportsAllFaults(t *testing.T) {
	dir := t.TempDir()
	path := string(writeFile(t, dir, "agent.yaml", `group: austin line
data: ""
mqtt: {url: 127.0.0.1, primary_host: a/b}
buffer: {linger: 0s, write: never, retain: -1s, max_disk: 1KiB, endurance: 0, policy: drop-all, thin_keep: 1, quota: 1}
sources:
- {name: line1, driver: opcua}
- {name: line1, driver: replay}
- name: line 2
  driver: replay
  replay: {format: csv, speed: fast, period: -1s}
`))
	_, err := agent.Load(path)
	if err == nil {
		t.Fatal("no fault was found")
	}
	want := []string{
		`:1:1: node: is required`,
		`:1:8: group: group id "austin line" must be`,
		`:2:7: data: must name a folder`,
		`:3:13: mqtt.url: "127.0.0.1" must be like tcp://127.0.0.1:1883`,
		`:3:38: mqtt.primary_host: host id "a/b" must be`,
		`:4:18: buffer.linger: must be above 0s`,
		`:4:29: buffer.write: "never" is none of behind, ahead`,
		`:4:44: buffer.retain: must not be negative`,
		`:4:59: buffer.max_disk: must be 8MiB or more`,
		`:4:76: buffer.endurance: must be above 0`,
		`:4:87: buffer.policy: "drop-all" is none of drop-oldest, drop-newest, thin`,
		`:4:108: buffer.thin_keep: must be 2 or more`,
		`:4:118: buffer.quota: must be from 0.5 to 0.9`,
		`:6:25: sources[0].driver: "opcua" is not known; there are: replay`,
		`:7:3: sources[1].replay: is required by the driver replay`,
		`:7:10: sources[1].name: "line1" is also the name of sources[0]`,
		`:8:9: sources[2].name: source id "line 2" must be`,
		`:10:11: sources[2].replay.file: is required`,
		`:10:11: sources[2].replay.profile: is required for csv`,
		`:10:32: sources[2].replay.speed: must be a factor above 0, or max`,
		`:10:46: sources[2].replay.period: must be above 0s`,
	}
	got := strings.Split(err.Error(), "\n")
	if len(got) != len(want) {
		t.Errorf("%d faults, want %d:\n%v", len(got), len(want), err)
	}
	for i := range min(len(got), len(want)) {
		if !strings.HasPrefix(got[i], path+want[i]) {
			t.Errorf("got  %s\nwant %s", got[i], want[i])
		}
	}
}

func TestNewChecksWhatWasNotLoaded(t *testing.T) {
	cfg := agent.DefaultConfig()
	cfg.Sources = []agent.SourceConfig{{Name: "a", Driver: "none"}}
	_, err := agent.New(cfg)
	for _, want := range []string{"group", "data", "url", "driver"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v does not speak of %s", err, want)
		}
	}
}
