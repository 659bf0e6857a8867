package agent_test

import (
	"math/rand/v2"
	"path/filepath"
	"strconv"
	"testing"
	"time"

	"andon.internal/agent"
	"andon.internal/agent/buffer"
	"andon.internal/agent/record"
	"andon.internal/shared/config"
	"andon.internal/shared/profiles"
	"andon.internal/shared/telemetry"
)

const pressureRule = `apiVersion: andon/v1
rules:
- alarm: pressure
  profile: dyno
  features: {p: {signal: hydraulic_pressure_psi, fn: last}}
  when: p > 350
  priority: high
`

// TestWhatLiesAroundAnAlarm: the cable is out, one machine has an alarm and the others none,
// and then so much comes that the files are full several times. When the cable is back, the
// plant gets every reading around the alarm, those before it too, and of all others it gets
// each, or is told that it is lost.
func TestWhatLiesAroundAnAlarm(t *testing.T) {
	address := freeAddress(t)
	cfg := agent.DefaultConfig()
	cfg.Group, cfg.Node = cell.Group, cell.ID
	cfg.Data = config.Path(filepath.Join(t.TempDir(), "data"))
	cfg.MQTT.URL = "tcp://" + address
	cfg.Buffer.MaxDisk, cfg.Buffer.Quota = agent.MinDisk, buffer.MinQuota
	cfg.Rules = []config.Path{writeFile(t, t.TempDir(), "rules.yaml", pressureRule)}
	cfg.Sources = []agent.SourceConfig{{Name: "line1", Driver: "simulated", Simulated: &agent.SimulatedConfig{
		Stations: 4, Prefix: "dyno-", First: 1, Rate: 50, Seed: 1, Programme: time.Hour, Idle: time.Second,
		Faults: []agent.FaultConfig{{Station: 2, Fault: "overpressure", After: time.Second}},
	}}}

	a := start(t, cfg)
	eventually(t, "the alarm is some readings old", func() bool {
		n, _ := strconv.Atoi(a.metric("andon_buffer_rows"))
		return n > 4*50*3
	})
	a.stop()
	taken, hot := overflow(t, &cfg)

	cfg.Sources = nil // what was on test ends
	startBroker(t, address)
	p := startPlant(t, address, cell)
	a = start(t, cfg)
	eventually(t, "all has come", func() bool {
		return len(p.ended()) == 4 && a.metric("andon_buffer_rows") == "0" && a.metric("andon_buffer_records") == "0"
	})
	p.mu.Lock()
	defer p.mu.Unlock()
	came, lost := map[string]uint64{}, uint64(0)
	for unit, of := range p.runs {
		for _, u := range of {
			came[unit] += uint64(len(u.rows))
			if unit != hot {
				continue
			}
			for i, r := range u.rows {
				if r.count != uint64(i) {
					t.Fatalf("reading %d of %s is the unit's %d.", i, unit, r.count)
				}
			}
		}
	}
	for _, l := range p.lost {
		lost += l.Readings
		if l.Reason != telemetry.LossOverflow {
			t.Errorf("loss %+v", l)
		}
	}
	total := uint64(0)
	for unit, n := range taken {
		total += n
		lost += came[unit]
		if whole := came[unit] == n; whole != (unit == hot) {
			t.Errorf("of %s came %d of %d readings", unit, came[unit], n)
		}
	}
	if lost != total || len(taken) != 5 {
		t.Errorf("%d readings came or are told lost, of %d; taken were %v", lost, total, taken)
	}
}

// overflow fills the buffer of a stopped agent several times over with readings of another
// unit, and returns how many readings were taken of each, and which unit has the alarm.
func overflow(t *testing.T, cfg *agent.Config) (taken map[string]uint64, hot string) {
	t.Helper()
	policy, _ := buffer.ParsePolicy(cfg.Buffer.Policy)
	b, err := buffer.Open(buffer.Options{
		Dir: filepath.Join(string(cfg.Data), "buffer"), MaxDisk: int64(cfg.Buffer.MaxDisk),
		Quota: cfg.Buffer.Quota, Policy: policy,
	})
	if err != nil {
		t.Fatal(err)
	}
	taken = map[string]uint64{}
	bulk := map[string]uint64{}
	for at := (*buffer.Key)(nil); ; {
		s, ok, err := b.Next(buffer.Backlog, at)
		if err != nil {
			t.Fatal(err)
		}
		if !ok {
			break
		}
		at = &s.Key
		taken[s.Label] += uint64(s.Rows)
		if s.Class == buffer.Alarm {
			hot = s.Label
		} else {
			bulk[s.Label]++
		}
	}
	if bulk[hot] == 0 || len(bulk) != 4 {
		t.Fatalf("the alarm is of unit %q; records before it, and of the others: %v", hot, bulk)
	}
	const rows, records = 1000, 400
	r := &telemetry.Record{Unit: "filler", Profile: profiles.Find(profiles.Builtin(), "dyno"), Born: 1e18}
	noise := rand.New(rand.NewPCG(1, 2))
	for i := range rows {
		values := make([]telemetry.Value, len(r.Profile.Signals))
		for s := range 3 { // which cannot be compressed
			values[s] = telemetry.DoubleValue(noise.Float64())
		}
		r.Append(1e18+int64(i)*1e6, telemetry.QualityMissing, values)
	}
	for i := range records {
		r.Count = uint64(i * rows)
		it := buffer.Item{Data: record.Append(nil, r), Label: r.Unit, Rows: rows, First: r.Times[0], Last: r.Times[rows-1]}
		if _, err := b.Append([]buffer.Item{it}, nil); err != nil {
			t.Fatal(err)
		}
		taken[r.Unit] += rows
		if i%16 == 0 {
			eventually(t, "the disk has it", func() bool { return b.Stats().Unwritten == 0 })
		}
	}
	if err := b.Close(); err != nil {
		t.Fatal(err)
	}
	return taken, hot
}
