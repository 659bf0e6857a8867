package agent_test

import (
	"net"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"andon.internal/agent"
	"andon.internal/agent/local"
	"andon.internal/shared/ops/opstest"
)

// TestStopWhileTheNetworkHangs: what a live source gave is in memory only, the network has
// hung since, and a scraper and somebody at the socket hold connections at which they say
// nothing. Its parts have no more than five seconds for a stop, a busy machine may add to that,
// and every reading that was taken is there in the next life.
func TestStopWhileTheNetworkHangs(t *testing.T) {
	if promised := 5 * time.Second; agent.StopTakes >= promised {
		t.Errorf("the parts have %v to stop, of the %v that are promised", agent.StopTakes, promised)
	}
	broker := freeAddress(t)
	startBroker(t, broker)
	p := startPlant(t, broker, cell)
	way := startRelay(t, broker)
	cfg := cellConfig(t, way.Addr().String(), csvOf(1, 1))
	cfg.Buffer.Linger = time.Minute // nothing is written before the stop
	file := cfg.Sources
	cfg.Sources = []agent.SourceConfig{{Name: "dynos", Driver: "simulated", Simulated: &agent.SimulatedConfig{Stations: 2, Rate: 50}}}
	a := start(t, cfg)
	eventually(t, "readings arrive", func() bool { return p.rows() > 20 })
	way.hang(true)
	eventually(t, "readings are held", func() bool { return opstest.Metric(t, a.registry, "andon_buffer_rows") > 100 })
	for _, dial := range []func() (net.Conn, error){
		func() (net.Conn, error) { return net.Dial("tcp", a.HTTPAddr()) },
		func() (net.Conn, error) { return net.Dial("unix", filepath.Join(string(cfg.Data), local.Name)) },
	} {
		c, err := dial()
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
	}
	begin := time.Now()
	stopped := make(chan time.Duration)
	go func() { a.stop(); stopped <- time.Since(begin) }()
	eventually(t, "nobody is let in any more", func() bool {
		c, err := net.Dial("tcp", a.HTTPAddr())
		if err == nil {
			c.Close()
		}
		return err != nil
	})
	if strings.Contains(a.log.String(), "session ended") {
		t.Error("HTTP ended behind the uplink and not beside it")
	}
	took := <-stopped
	t.Logf("stopped after %v", took)
	if busy := 10 * time.Second; took > 5*time.Second+busy {
		t.Errorf("a stop took %v", took)
	}

	taken := uint64(opstest.Metric(t, a.registry, "andon_sampler_readings_total"))
	way.hang(false)
	cfg.Sources, cfg.Buffer.Linger = file, 100*time.Millisecond
	b := start(t, cfg)
	eventually(t, "the next life has sent all", func() bool { return opstest.Metric(t, b.registry, "andon_buffer_rows") == 0 && len(b.ready()) == 0 })
	if got := p.whole(t, "dyno-"); got != taken || taken < 100 {
		t.Errorf("%d readings have come of %d that were taken", got, taken)
	}
}

// whole returns how many readings of some units the plant has, and checks that none is
// missing in a run or came twice, and that none was told as lost.
func (p *plant) whole(t *testing.T, prefix string) (n uint64) {
	t.Helper()
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(p.lost) > 0 {
		t.Errorf("told as lost: %+v", p.lost)
	}
	for unit, runs := range p.runs {
		for _, r := range runs {
			if !strings.HasPrefix(unit, prefix) {
				continue
			}
			come := map[uint64]bool{}
			for _, got := range r.rows {
				come[got.count] = true
			}
			for i := range uint64(len(r.rows)) {
				if !come[i] {
					t.Errorf("%s: reading %d of %d is missing", unit, i, len(r.rows))
				}
			}
			n += uint64(len(r.rows))
		}
	}
	return n
}
