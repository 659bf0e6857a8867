package bench

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"time"

	"andon.internal/lab/cable"
	"andon.internal/lab/factory"
	"andon.internal/lab/loopdisk"
)

// SlowIOPS is how many writes a second the slow disk takes.
const SlowIOPS = 20

// JitterReport is how late an agent reads its sources while its disk or its network is ill.
type JitterReport struct {
	Machine Machine  `json:"machine"`
	Short   bool     `json:"short"`
	Load    Load     `json:"load"`
	Disk    string   `json:"disk"` // of the cell: its file system and where that lies
	Phases  []Jitter `json:"phases"`
}

// Jitter is what was seen in one phase. All of them are of one agent, one after the other.
type Jitter struct {
	Phase   string  `json:"phase"`
	Seconds float64 `json:"seconds"`

	Due    int64 `json:"due"`    // readings that the period makes of that time
	Taken  int64 `json:"taken"`  // readings that machines were asked for
	Missed int64 `json:"missed"` // of these, how many found the sampler too slow
	Kept   int64 `json:"kept"`   // readings in records that were given to the buffer

	Late  Bound `json:"late"`  // from when a reading was due until it was taken
	Store Bound `json:"store"` // from when a batch was read until the buffer had it

	// What the disk did meanwhile.
	Commits  int64   `json:"commits"`   // transactions of the buffer
	CommitMS float64 `json:"commit_ms"` // one of them, on average
	Failed   int64   `json:"failed"`    // transactions that did not reach the disk
	Lost     int64   `json:"lost"`      // readings that no room was left for
}

// Bound is the distribution of durations as the buckets of a histogram tell it: each is the
// upper bound, in milliseconds, of the bucket that it is in. Beyond the last it is 1e6.
type Bound struct {
	N   int64   `json:"n"`
	P50 float64 `json:"p50_ms"`
	P99 float64 `json:"p99_ms"`
	Max float64 `json:"max_ms"`
}

// Met reports whether the sources' period was kept: every reading was taken before the next
// was due, and nothing was missed for a sampler that waited.
func (j *Jitter) Met(l Load) bool {
	period := 1000 / float64(l.Hz)
	return j.Missed == 0 && j.Taken >= j.Due*99/100 && j.Late.Max <= period && j.Store.Max <= period
}

// SamplerJitter watches the sampler of a live source while its cell is ill. It needs root, for
// the disk: a file system on a loop device, and the block controller of the control groups.
func SamplerJitter(ctx context.Context, o Options) (_ *JitterReport, err error) {
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	r := &JitterReport{Short: o.Short, Load: Load{Units: 200, Hz: 10}}
	lasts := 30 * time.Second
	if o.Short {
		r.Load.Units, lasts = 10, 2*time.Second
	}
	r.Machine.read()
	dir, err := os.MkdirTemp("", "andon-bench-")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(dir)
	if err := loopdisk.Throttles(); err != nil {
		return nil, err
	}
	disk, err := loopdisk.Make(ctx, dir, cell, "ext4")
	if err != nil {
		return nil, err
	}
	defer func() {
		err = errors.Join(err, disk.Lift(), disk.Detach(context.WithoutCancel(ctx)))
	}()
	r.Disk = diskOf(disk.Mount)
	lab := filepath.Join(dir, "lab")
	if err := os.Mkdir(lab, 0o755); err != nil {
		return nil, err
	}
	f, err := launch(ctx, o, factory.Options{
		Dir: lab, Sites: map[string]factory.Site{cell: {Data: filepath.Join(disk.Mount, "data")}},
		Cells: []factory.Cell{{Name: cell, Buffer: factory.Buffer{MaxDisk: "128MiB"}, Dynos: factory.Dynos{
			// One programme lasts longer than the measurement: no unit comes or goes.
			Stations: r.Load.Units, First: 1, Rate: float64(r.Load.Hz), Programme: 2 * time.Hour,
		}}},
	}, &r.Machine)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, f.Close(false)) }()
	// The stations begin one after the other.
	sleep(ctx, settle+time.Duration(r.Load.Units)*200*time.Millisecond)
	return r, r.measure(ctx, f, disk, lasts, o.Logger)
}

// ills are what is done to the cell, each for a while; then it is well again, and its buffer
// empty. Behind a healthy link nothing would be written.
func ills(d *loopdisk.Disk) []ill {
	var free func() error
	full := func() (err error) {
		free, err = d.Fill()
		return err
	}
	return []ill{
		{"idle", nil, nil},
		{"disk full", full, func() error { return free() }},
		{fmt.Sprintf("disk of %d writes/s", SlowIOPS), func() error { return d.Throttle(SlowIOPS) }, d.Lift},
		{"network stuck", nil, nil},
		{"idle again", nil, nil},
	}
}

type ill struct {
	name        string
	begin, cure func() error
}

func (r *JitterReport) measure(ctx context.Context, f *factory.Factory, d *loopdisk.Disk, lasts time.Duration, log *slog.Logger) error {
	for _, ill := range ills(d) {
		log.Info("watching the sampler", "phase", ill.name, "for", lasts)
		well := ill.name == "idle" || ill.name == "idle again"
		if ill.begin != nil {
			if err := ill.begin(); err != nil {
				return err
			}
		}
		if !well {
			if err := f.Cut(cell, cable.Silent); err != nil {
				return err
			}
		}
		seen, err := watchSampler(ctx, f, r.Load, lasts)
		if ill.cure != nil {
			err = errors.Join(err, ill.cure())
		}
		if err != nil {
			return fmt.Errorf("%s: %w", ill.name, err)
		}
		seen.Phase = ill.name
		r.Phases = append(r.Phases, seen)
		if well {
			continue
		}
		if err := f.Heal(cell); err != nil {
			return err
		}
		if err := poll(ctx, 5*time.Minute, func() (bool, error) {
			n, err := f.Buffered(ctx, cell)
			return n < uint64(r.Load.Units*r.Load.Hz), err
		}); err != nil {
			return fmt.Errorf("wait for the backlog behind %s: %w", ill.name, err)
		}
		sleep(ctx, settle)
	}
	return nil
}

// watchSampler compares the agent's metrics of before and after a while.
func watchSampler(ctx context.Context, f *factory.Factory, l Load, lasts time.Duration) (j Jitter, err error) {
	before, err := f.Metrics(ctx, cell)
	if err != nil {
		return j, err
	}
	begun := time.Now()
	sleep(ctx, lasts)
	after, err := f.Metrics(ctx, cell)
	if err != nil {
		return j, err
	}
	j.Seconds = time.Since(begun).Seconds()
	grown := func(name string) int64 { return int64(after[name] - before[name]) }
	j.Due = int64(j.Seconds*float64(l.Hz)) * int64(l.Units)
	j.Taken, j.Missed = grown("andon_simulated_readings_total"), grown("andon_simulated_missed_total")
	j.Kept = grown("andon_sampler_readings_total")
	j.Late = boundOf(before, after, "andon_sampler_late_seconds")
	j.Store = boundOf(before, after, "andon_sampler_store_seconds")
	j.Failed, j.Lost = grown("andon_buffer_write_failures_total"), grown("andon_buffer_lost_rows_total")
	if j.Commits = grown("andon_buffer_commit_seconds_count"); j.Commits > 0 {
		sum := after["andon_buffer_commit_seconds_sum"] - before["andon_buffer_commit_seconds_sum"]
		j.CommitMS = 1000 * sum / float64(j.Commits)
	}
	if j.Late.N == 0 || j.Store.N == 0 {
		return j, errors.New("the sampler took nothing")
	}
	return j, nil
}
