package agent_test

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"andon.internal/agent"
	"andon.internal/agent/internal/disktest"
	"andon.internal/shared/config"
)

// withDynos adds a live source to a configuration.
func withDynos(cfg agent.Config) agent.Config {
	cfg.Sources = append(cfg.Sources, agent.SourceConfig{
		Name: "dynos", Driver: "simulated", Simulated: &agent.SimulatedConfig{Stations: 2, Rate: 20},
	})
	return cfg
}

// of counts the readings that the plant has of units whose names begin so, and checks that
// each run has every one of its readings once.
func (p *plant) of(prefix string) (n int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for unit, runs := range p.runs {
		if !strings.HasPrefix(unit, prefix) {
			continue
		}
		for born, r := range runs {
			counts := make([]uint64, 0, len(r.rows))
			for _, row := range r.rows {
				counts = append(counts, row.count)
			}
			slices.Sort(counts)
			for i := 1; i < len(counts); i++ {
				if counts[i] == counts[i-1] {
					p.t.Errorf("%s born %d has reading %d twice", unit, born, counts[i])
				}
			}
			n += len(r.rows)
		}
	}
	return n
}

// complete checks that no reading is missing in the runs of units whose names begin so.
func (p *plant) complete(prefix string) {
	p.t.Helper()
	p.mu.Lock()
	defer p.mu.Unlock()
	for unit, runs := range p.runs {
		for born, r := range runs {
			if strings.HasPrefix(unit, prefix) && len(r.rows) > 0 {
				top := slices.MaxFunc(r.rows, func(a, b row) int { return int(a.count) - int(b.count) }).count
				if uint64(len(r.rows)) != top+1 {
					p.t.Errorf("%s born %d has %d readings of %d", unit, born, len(r.rows), top+1)
				}
			}
		}
	}
}

// TestItStartsWithoutADisk: whatever is wrong with the data folder, what is live flows, what
// can be read again waits, and it is told; and when the folder can be used, all comes, once.
func TestItStartsWithoutADisk(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		spoil func(t *testing.T, data string) (cure func())
		why   string
	}{
		"not a folder": {func(t *testing.T, data string) func() {
			away := data + ".away"
			moveTo(t, data, away)
			writeFile(t, filepath.Dir(data), filepath.Base(data), "")
			return func() {
				if err := os.Remove(data); err != nil {
					t.Fatal(err)
				}
				moveTo(t, away, data)
			}
		}, "not a directory"},
		"disk full of others' files": {func(t *testing.T, data string) func() {
			// The disk that was there is not mounted, and another one is, with room for nothing.
			if err := syscall.Mount("none", data, "tmpfs", 0, "size=64k"); err != nil {
				t.Fatalf("this test needs root: %v", err)
			}
			foreign := filepath.Join(data, "foreign")
			_ = os.WriteFile(foreign, make([]byte, 1<<20), 0o600) // as much as fits
			return func() {
				if err := syscall.Unmount(data, syscall.MNT_DETACH); err != nil {
					t.Error(err)
				}
			}
		}, "no space left"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			startsWithout(t, withDynos(cellConfig(t, freeAddress(t), csvOf(2, 500))), tc.why, func(data string) func() { return tc.spoil(t, data) })
		})
	}
	t.Run("read-only file system", func(t *testing.T) {
		t.Parallel()
		disk := disktest.Mount(t, 48<<20)
		cfg := withDynos(cellConfig(t, freeAddress(t), csvOf(2, 500)))
		cfg.Data = config.Path(filepath.Join(disk.Dir, "data"))
		startsWithout(t, cfg, "read-only file system", func(string) func() {
			disk.ReadOnly(true)
			return func() { disk.ReadOnly(false) }
		})
	})
}

func moveTo(t *testing.T, from, to string) {
	t.Helper()
	if err := os.Rename(from, to); err != nil {
		t.Fatal(err)
	}
}

func startsWithout(t *testing.T, cfg agent.Config, why string, spoil func(data string) (cure func())) {
	t.Helper()
	broker := strings.TrimPrefix(cfg.MQTT.URL, "tcp://")
	live := cfg.Sources[1:]

	// An earlier start leaves readings, a cursor, and runs on disk.
	before := cfg
	before.Sources = cfg.Sources[:1]
	a := start(t, before)
	eventually(t, "the file is buffered", func() bool { return a.metric("andon_buffer_rows") == "1000" })
	a.stop()

	cure := spoil(string(cfg.Data))
	startBroker(t, broker)
	p := startPlant(t, broker, cell)
	a = start(t, cfg)
	eventually(t, "live readings arrive without a disk", func() bool { return p.of("dyno-") > 20 })
	if reason := a.ready()["buffer"]; !strings.Contains(reason, "no usable disk since") || !strings.Contains(reason, why) {
		t.Errorf("its health is %q", reason)
	}
	eventually(t, "the file's source waits", func() bool {
		return strings.Contains(a.ready()["source "+cfg.Sources[0].Name], "the buffer has no disk")
	})
	if reason := a.ready()["source "+live[0].Name]; reason != "" {
		t.Errorf("the live source: %s", reason)
	}
	if a.metric("andon_buffer_detached") != "1" {
		t.Error("no metric tells")
	}
	s, _, err := look(t, cfg).Status(t.Context())
	if err != nil || s == nil || !strings.Contains(strings.Join(s.Troubles, "\n"), why) {
		t.Errorf("status is %+v, %v", s, err)
	}
	if n := p.of("press-"); n > 0 {
		t.Errorf("%d readings of the file, from a disk that cannot be read", n)
	}

	cure()
	eventually(t, "the disk is in use", func() bool { return a.metric("andon_buffer_detached") == "0" })
	eventually(t, "a birth lists what was on it", func() bool { p.mu.Lock(); defer p.mu.Unlock(); return p.listed > 1 })
	eventually(t, "what was on it arrives", func() bool { return p.of("press-") == 1000 })
	eventually(t, "it is ready", func() bool { return len(a.ready()) == 0 })
	n := p.of("dyno-")
	eventually(t, "live readings go on", func() bool { return p.of("dyno-") > n+20 })
	a.stop()

	// The next start goes on behind all that, with the runs that are under way.
	a = start(t, cfg)
	eventually(t, "it is ready", func() bool { return len(a.ready()) == 0 })
	n = p.of("dyno-")
	eventually(t, "live readings go on", func() bool { return p.of("dyno-") > n+20 })
	eventually(t, "all is stored", func() bool { return a.metric("andon_buffer_records") == "0" })
	a.stop()
	p.complete("dyno-")
	p.complete("press-")
	p.of("dyno-")
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(p.lost) > 0 || len(p.runs["dyno-01-0001"]) != 1 {
		t.Errorf("lost: %v; runs of a unit: %d", p.lost, len(p.runs["dyno-01-0001"]))
	}
}

// TestAFolderOfAnotherCellIsNotTakenLater: a disk that comes back must be the cell's own.
func TestAFolderOfAnotherCellIsNotTakenLater(t *testing.T) {
	t.Parallel()
	cfg := cellConfig(t, freeAddress(t), csvOf(1, 10))
	other := cfg
	other.Node, other.Sources = "cell-08", nil
	start(t, other).stop()
	data := string(cfg.Data)
	moveTo(t, data, data+".away")
	writeFile(t, filepath.Dir(data), filepath.Base(data), "")
	a := start(t, cfg)
	if err := os.Remove(data); err != nil {
		t.Fatal(err)
	}
	moveTo(t, data+".away", data)
	eventually(t, "it says whose it is", func() bool { return strings.Contains(a.ready()["buffer"], "is that of the cell line1/cell-08") })
	if a.metric("andon_buffer_detached") != "1" {
		t.Error("it took the folder")
	}
	a.stop()
	start(t, other).stop() // nothing in it has changed
}

// TestAStuckDiskStopsNothing: while every write hangs, sessions begin and readings flow.
func TestAStuckDiskStopsNothing(t *testing.T) {
	t.Parallel()
	disk := disktest.Mount(t, 48<<20)
	broker := freeAddress(t)
	cfg := withDynos(cellConfig(t, broker, csvOf(1, 1)))
	cfg.Sources = cfg.Sources[1:]
	cfg.Data = config.Path(filepath.Join(disk.Dir, "data"))
	a := start(t, cfg)
	eventually(t, "readings are buffered", func() bool { return a.figure("andon_buffer_rows") > 0 })
	disk.Freeze()
	startBroker(t, broker)
	p := startPlant(t, broker, cell)
	eventually(t, "a session begins, and readings arrive", func() bool { return p.of("dyno-") > 20 })
	eventually(t, "it is told", func() bool { return strings.Contains(a.ready()["buffer"], "the disk does not answer") })
	disk.Thaw()
	eventually(t, "it is ready", func() bool { return len(a.ready()) == 0 })
	a.stop()
	p.complete("dyno-")
}

// TestADiskThatIsStuckAtTheStart: the line does not wait for it, and has it when it answers.
func TestADiskThatIsStuckAtTheStart(t *testing.T) {
	t.Parallel()
	disk := disktest.Mount(t, 48<<20)
	broker := freeAddress(t)
	cfg := withDynos(cellConfig(t, broker, csvOf(2, 500)))
	cfg.Data = config.Path(filepath.Join(disk.Dir, "data"))
	before := cfg
	before.Sources = cfg.Sources[:1]
	a := start(t, before)
	eventually(t, "the file is buffered", func() bool { return a.metric("andon_buffer_rows") == "1000" })
	a.stop()
	disk.Freeze()
	startBroker(t, broker)
	p := startPlant(t, broker, cell)
	cfg.SetDiskPatience(200 * time.Millisecond)
	a = start(t, cfg)
	eventually(t, "live readings arrive", func() bool { return p.of("dyno-") > 20 })
	if reason := a.ready()["buffer"]; !strings.Contains(reason, "the disk does not answer") {
		t.Errorf("its health is %q", reason)
	}
	disk.Thaw()
	eventually(t, "what was on it arrives", func() bool { return p.of("press-") == 1000 })
	eventually(t, "it is ready", func() bool { return len(a.ready()) == 0 })
	if n := a.metric("andon_buffer_disk_limit_bytes"); n == "0" || n == "" || a.metric("andon_buffer_detached") != "0" {
		t.Errorf("the buffer's figures are gone: limit %q, detached %q", n, a.metric("andon_buffer_detached"))
	}
	a.stop()
	p.complete("dyno-")
	p.complete("press-")
}

// TestAReloadWaitsForTheDisk: it would end the agent that has the readings in memory.
func TestAReloadWaitsForTheDisk(t *testing.T) {
	t.Parallel()
	s := serveCell(t, freeAddress(t))
	writeFile(t, s.dir, "press.yaml", pressProfile)
	writeFile(t, s.dir, "data.csv", csvOf(1, 10))
	s.file(replayed)
	writeFile(t, s.dir, "data", "")
	s.start()
	s.says("no usable disk", 1)
	s.again <- struct{}{}
	s.says("not taken over while the disk has a fault", 1)
	if err := os.Remove(filepath.Join(s.dir, "data")); err != nil {
		t.Fatal(err)
	}
	s.says("the data folder is in use now", 1)
	s.again <- struct{}{}
	s.says("the configuration was taken over", 1)
	if err := s.stop(); err != nil {
		t.Error(err)
	}
}

// TestAReloadWaitsForADiskThatFails: nor is an agent ended whose disk failed later.
func TestAReloadWaitsForADiskThatFails(t *testing.T) {
	t.Parallel()
	s := serveCell(t, freeAddress(t))
	if err := os.Mkdir(filepath.Join(s.dir, "data"), 0o700); err != nil {
		t.Fatal(err)
	}
	disk := disktest.MountAt(t, filepath.Join(s.dir, "data"), 48<<20)
	writeFile(t, s.dir, "press.yaml", pressProfile)
	s.file("sources:\n- {name: dynos, driver: simulated, simulated: {stations: 2, rate: 20}}\n")
	s.start()
	s.says("agent starts", 1)
	if err := disk.Cut(); err != nil {
		t.Fatal(err)
	}
	s.says("cannot write to disk", 1)
	s.again <- struct{}{}
	s.says("not taken over while the disk has a fault", 1)
	_ = s.stop()
}
