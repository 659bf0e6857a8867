// Package bench measures the paths from a reading to its committed row ([Path]) and to
// the alarm on the page ([Alarms]), on the real binaries and a real PostgreSQL, and puts
// the figures beside their targets. [Drain] measures a backlog that comes home; [Buffer],
// [Healthy], [Memory] and [SamplerJitter] what an agent does to its disk, how much memory it
// takes and how late it is; [Attacks] what honest cells notice of attacks on the broker.
package bench

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"runtime"
	"strings"

	"github.com/jackc/pgx/v5"

	"andon.internal/lab/factory"
)

// Options of a benchmark.
type Options struct {
	Short  bool // a tenth of the work: to see that it runs, not to quote
	Only   []string
	Bin    string // see factory.FindBinaries
	PgBin  string
	Logger *slog.Logger // hears of progress; default: none
}

// The parts of the benchmark, by which Options.Only chooses.
const (
	PartLatency    = "latency"
	PartThroughput = "throughput"
	PartLatest     = "latest"
)

// Parts lists them all.
var Parts = []string{PartLatency, PartThroughput, PartLatest}

// Report holds the figures.
type Report struct {
	Machine    Machine     `json:"machine"`
	Short      bool        `json:"short"`
	Latency    []Latency   `json:"latency,omitempty"`
	Throughput *Throughput `json:"throughput,omitempty"`
	Latest     *Latest     `json:"latest,omitempty"`
}

// Machine is what the figures were measured on.
type Machine struct {
	Cores      int     `json:"cores"`
	CPU        string  `json:"cpu"`
	MemoryGiB  float64 `json:"memory_gib"`
	Kernel     string  `json:"kernel"`
	Go         string  `json:"go"`
	PostgreSQL string  `json:"postgresql"`
	Load       string  `json:"load"` // the load averages of 1, 5 and 15 minutes before the start
}

// Path runs the parts one after the other, each in a factory of its own.
func Path(ctx context.Context, o Options) (*Report, error) {
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	wanted := map[string]bool{}
	for _, p := range o.Only {
		wanted[p] = true
	}
	want := func(part string) bool { return len(wanted) == 0 || wanted[part] }
	r := &Report{Short: o.Short}
	r.Machine.read()
	if want(PartLatency) {
		for _, load := range loads(o.Short) {
			o.Logger.Info("measuring latency", "units", load.Units, "hz", load.Hz, "seconds", load.seconds)
			l, err := measureLatency(ctx, o, load, &r.Machine)
			if err != nil {
				return nil, fmt.Errorf("measure latency: %w", err)
			}
			r.Latency = append(r.Latency, *l)
		}
	}
	if want(PartThroughput) {
		o.Logger.Info("measuring throughput")
		t, err := measureThroughput(ctx, o, &r.Machine)
		if err != nil {
			return nil, fmt.Errorf("measure throughput: %w", err)
		}
		r.Throughput = t
	}
	if want(PartLatest) {
		o.Logger.Info("measuring the latest reading")
		l, err := measureLatest(ctx, o, &r.Machine)
		if err != nil {
			return nil, fmt.Errorf("measure the latest reading: %w", err)
		}
		r.Latest = l
	}
	return r, nil
}

// start starts a factory in a temporary folder, without cables: these are the lab's,
// not the product's.
func start(ctx context.Context, o Options, fo factory.Options, m *Machine) (*factory.Factory, error) {
	fo.Direct = true
	return launch(ctx, o, fo, m)
}

// launch is start with the cables that fo wants.
func launch(ctx context.Context, o Options, fo factory.Options, m *Machine) (*factory.Factory, error) {
	fo.Bin, fo.PgBin, fo.Logger = factory.FindBinaries(o.Bin), o.PgBin, o.Logger
	f, err := factory.Start(ctx, fo)
	if err != nil {
		return nil, err
	}
	conn, err := pgx.Connect(ctx, f.DSN())
	if err == nil {
		err = conn.QueryRow(ctx, "show server_version").Scan(&m.PostgreSQL)
		conn.Close(context.WithoutCancel(ctx))
	}
	if err != nil {
		_ = f.Close(false)
		return nil, fmt.Errorf("ask for the version of postgres: %w", err)
	}
	return f, nil
}

// read fills in what the system says of itself; what it does not say stays empty.
func (m *Machine) read() {
	m.Cores, m.Go = runtime.NumCPU(), runtime.Version()
	m.CPU = field("/proc/cpuinfo", "model name")
	var kib float64
	if _, err := fmt.Sscan(field("/proc/meminfo", "MemTotal"), &kib); err == nil {
		m.MemoryGiB = float64(int(kib/(1<<20)*10)) / 10
	}
	if b, err := os.ReadFile("/proc/loadavg"); err == nil {
		if f := strings.Fields(string(b)); len(f) > 3 {
			m.Load = strings.Join(f[:3], " ")
		}
	}
	if b, err := os.ReadFile("/proc/sys/kernel/osrelease"); err == nil {
		m.Kernel = strings.TrimSpace(string(b))
	}
}

// field returns what follows "name:" in a file.
func field(path, name string) string {
	b, err := os.ReadFile(path)
	if err != nil {
		return ""
	}
	for line := range strings.Lines(string(b)) {
		if key, value, ok := strings.Cut(line, ":"); ok && strings.TrimSpace(key) == name {
			return strings.TrimSpace(value)
		}
	}
	return ""
}
