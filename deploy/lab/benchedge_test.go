package lab_test

import (
	"encoding/json"
	"os"
	"strings"
	"testing"

	"andon.internal/lab/bench"
	"andon.internal/lab/loopdisk"
)

// needBoundDisks ends a test where no disk can be made whose writes are bounded, or leaves
// it out where somebody has said that there are none.
func needBoundDisks(t *testing.T) {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Fatal("this test needs root: it makes a loop device and bounds its writes")
	}
	if err := loopdisk.Throttles(); err != nil {
		if os.Getenv("ANDON_WITHOUT_BLKIO") == "1" {
			t.Skip(err)
		}
		t.Fatalf("%v; ANDON_WITHOUT_BLKIO=1 leaves this test out", err)
	}
}

// The short form of the benchmark of the buffer: the agent's figures come through, and
// nothing is left on the disk. How fast is for make bench to say.
func TestBenchBuffer(t *testing.T) {
	t.Parallel()
	dir, disk := place(t), t.TempDir()
	measure := func(t *testing.T, more ...string) bench.BufferReport {
		t.Helper()
		var r bench.BufferReport
		args := append([]string{"bench", "buffer", "--short", "--json", "--dir", disk}, more...)
		if err := json.Unmarshal([]byte(mustLab(t, dir, args...)), &r); err != nil {
			t.Fatal(err)
		}
		var figures struct {
			Speeds, Wears []json.RawMessage
		}
		if err := json.Unmarshal(r.Figures, &figures); err != nil || len(figures.Speeds) != 6 || len(figures.Wears) != 8 || r.Disk == "" || r.Machine.Cores == 0 {
			t.Errorf("%v: %+v", err, r)
		}
		return r
	}
	as := measure(t)
	t.Run("a slow disk", func(t *testing.T) {
		needBoundDisks(t)
		r := measure(t, "--mbps", "400")
		if r.MBps != 400 || !strings.HasSuffix(r.Disk, " on "+as.Disk) || r.Dir != as.Dir {
			t.Errorf("it measured %+v, and before %+v", r, as)
		}
	})
	if left, err := os.ReadDir(disk); err != nil || len(left) > 0 {
		t.Errorf("left behind: %v, %v", left, err)
	}
}

// The short form of the benchmark of memory: the agent is seen in every phase, and maps few
// files. How much it takes of ten million readings is for make bench to say.
func TestBenchMemory(t *testing.T) {
	if testing.Short() {
		t.Skip("starts a factory")
	}
	t.Parallel()
	dir := place(t)
	var r bench.MemoryReport
	if err := json.Unmarshal([]byte(mustLab(t, dir, "bench", "memory", "--short", "--json")), &r); err != nil {
		t.Fatal(err)
	}
	if r.Rows != 50_000 || len(r.Phases) != 4 || r.Machine.PostgreSQL == "" {
		t.Fatalf("%+v", r)
	}
	for i := range r.Phases {
		p := &r.Phases[i]
		if p.Looks == 0 || p.AnonMB <= 1 || p.AnonMB > 200 || p.Open < 5 || p.Goroutines < 5 || p.Mapped > bench.MappedTarget {
			t.Errorf("%+v", p)
		}
	}
	if p := r.Phases[1]; p.Mapped == 0 {
		t.Errorf("nothing is mapped with a backlog: %+v", p)
	}
	expectNothingLeft(t, dir)
}

// The short form of the benchmark of what is written: both agents took readings, and what
// they wrote was seen. How little it is for make bench to say.
func TestBenchFlash(t *testing.T) {
	if testing.Short() {
		t.Skip("waits until 200 units are on test")
	}
	if os.Geteuid() != 0 {
		t.Fatal("this test needs root: it makes file systems on loop devices")
	}
	t.Parallel()
	dir := place(t)
	var r bench.FlashReport
	if err := json.Unmarshal([]byte(mustLab(t, dir, "bench", "flash", "--short", "--json")), &r); err != nil {
		t.Fatal(err)
	}
	if len(r.Loads) != 2 {
		t.Fatalf("%+v", r)
	}
	for i := range r.Loads {
		l := &r.Loads[i]
		if most := int64(l.Seconds+1) * int64(l.Units*l.Hz); l.Readings < most/4 || l.Readings > most || l.Bytes < l.Readings || l.Process < 0 || l.Device < 0 || l.Part != float64(l.Device)/float64(l.Bytes) {
			t.Errorf("%+v", l)
		}
	}
	expectNothingLeft(t, dir)
}

// The short form of the benchmark of the sampler: the cell's disk was full, and slow, and its
// network stuck, and the agent took readings in all of that. How late is for bench jitter
// to say.
func TestBenchJitter(t *testing.T) {
	if testing.Short() {
		t.Skip("starts a factory")
	}
	needBoundDisks(t)
	t.Parallel()
	dir := place(t)
	var r bench.JitterReport
	if err := json.Unmarshal([]byte(mustLab(t, dir, "bench", "jitter", "--short", "--json")), &r); err != nil {
		t.Fatal(err)
	}
	if len(r.Phases) != 5 || r.Disk == "" {
		t.Fatalf("%+v", r)
	}
	for i := range r.Phases {
		if p := &r.Phases[i]; p.Taken == 0 || p.Late.N == 0 || p.Store.N == 0 || p.Late.Max < p.Late.P99 || p.Store.P99 < p.Store.P50 {
			t.Errorf("%+v", p)
		}
	}
	if full, slow, stuck := &r.Phases[1], &r.Phases[2], &r.Phases[3]; full.Failed == 0 || slow.Commits == 0 || slow.CommitMS < 40 || stuck.Commits == 0 {
		t.Errorf("nothing ailed the cell: %+v, %+v, %+v", full, slow, stuck)
	}
	expectNothingLeft(t, dir)
}
