package bench

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"

	"andon.internal/lab/factory"
)

// What the agent takes of a cell's memory should stay within.
const (
	AnonTarget   = 40 // MB that no file is behind
	MappedTarget = 3  // record files mapped at once
)

// filling is the phase that makes the backlog.
const filling = "filling"

// MemoryReport is what an agent takes while it has a large backlog.
type MemoryReport struct {
	Machine Machine `json:"machine"`
	Short   bool    `json:"short"`
	Load    Load    `json:"load"` // of the fresh readings
	Rows    int     `json:"rows"` // of the backlog
	// Filling the buffer from a file as fast as it goes; then, of an agent that was started
	// anew, holding the backlog behind a cut cable, draining it, and at rest.
	Phases []Footprint `json:"phases"`
}

// Footprint is the most that was seen of a process in a while.
type Footprint struct {
	Phase      string  `json:"phase"`
	Seconds    float64 `json:"seconds"`
	Looks      int     `json:"looks"`
	AnonMB     float64 `json:"rss_anon_mb"`  // RssAnon of /proc/PID/status, in 10^6 bytes
	ResidentMB float64 `json:"rss_mb"`       // VmRSS: the pages of mapped files that are in memory with it
	Mapped     int     `json:"files_mapped"` // record files in /proc/PID/maps
	Open       int     `json:"descriptors"`
	Goroutines int     `json:"goroutines"`
}

// Met reports whether both targets are met.
func (f *Footprint) Met() bool { return f.AnonMB <= AnonTarget && f.Mapped <= MappedTarget }

// Memory lets a cell buffer ten million readings behind a cut cable beside 200 x 10 Hz fresh
// ones, starts its agent anew, holds them, mends the cable, and looks at the agent ten times a second meanwhile.
func Memory(ctx context.Context, o Options) (_ *MemoryReport, err error) {
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	r := &MemoryReport{Short: o.Short, Load: Load{Units: 200, Hz: 10}}
	r.Machine.read()
	cycles, hold := 50_000, time.Minute
	if o.Short {
		cycles, hold = 250, 2*time.Second
	}
	r.Rows = r.Load.Units * cycles
	f, end, err := behindCable(ctx, o, r.Load, cycles, 20*60, &r.Machine)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, end()) }()
	conn, err := pgx.Connect(ctx, f.DSN())
	if err != nil {
		return nil, err
	}
	defer conn.Close(context.WithoutCancel(ctx))
	for _, p := range []struct {
		name string
		do   func() error
	}{
		{filling, func() error { return fillBuffer(ctx, f, r.Rows, 15*time.Minute) }},
		{"holding", func() error { sleep(ctx, hold); return ctx.Err() }},
		{"draining", func() error {
			return errors.Join(f.Heal(cell), awaitBacklog(ctx, conn, r.Rows, 15*time.Minute))
		}},
		{"at rest", func() error { sleep(ctx, hold); return ctx.Err() }},
	} {
		o.Logger.Info("looking at the agent", "phase", p.name, "readings", r.Rows)
		seen, err := watched(ctx, f, p.name, p.do)
		if err != nil {
			return nil, err
		}
		r.Phases = append(r.Phases, seen)
		o.Logger.Info("looked", "phase", p.name, "anonymous_mb", seen.AnonMB, "files_mapped", seen.Mapped, "seconds", seen.Seconds)
		if p.name == filling {
			// Who reads a file as fast as it goes holds other things than a cell that runs.
			if err := f.Restart(ctx, cell); err != nil {
				return nil, err
			}
			sleep(ctx, liveAge) // what the file still had
		}
	}
	return r, nil
}

// watched looks at the cell's agent while something is done, and once behind it.
func watched(ctx context.Context, f *factory.Factory, phase string, do func() error) (Footprint, error) {
	most := Footprint{Phase: phase}
	look := func() {
		// Before it is started, and of a process that ends, there is nothing to see.
		if pid := f.PID(cell); pid > 0 {
			if now, err := FootprintOf(pid); err == nil {
				most.take(now)
			}
		}
		if m, err := f.Metrics(ctx, cell); err == nil {
			most.Goroutines = max(most.Goroutines, int(m["go_goroutines"]))
		}
	}
	begun, stop := time.Now(), make(chan struct{})
	var watching sync.WaitGroup
	watching.Go(func() {
		tick := time.NewTicker(100 * time.Millisecond)
		defer tick.Stop()
		for {
			look()
			select {
			case <-stop:
				return
			case <-tick.C:
			}
		}
	})
	err := do()
	close(stop)
	watching.Wait()
	if most.Seconds = time.Since(begun).Seconds(); err == nil && most.Looks == 0 {
		err = fmt.Errorf("the agent was not seen while %s", phase)
	}
	return most, err
}

func (f *Footprint) take(now Footprint) {
	f.Looks++
	f.AnonMB, f.ResidentMB = max(f.AnonMB, now.AnonMB), max(f.ResidentMB, now.ResidentMB)
	f.Mapped, f.Open = max(f.Mapped, now.Mapped), max(f.Open, now.Open)
}

// FootprintOf asks the kernel what a process takes now. It does not know the goroutines.
func FootprintOf(pid int) (f Footprint, err error) {
	proc := filepath.Join("/proc", strconv.Itoa(pid))
	for name, to := range map[string]*float64{"RssAnon": &f.AnonMB, "VmRSS": &f.ResidentMB} {
		var kib float64
		if _, err := fmt.Sscan(field(filepath.Join(proc, "status"), name), &kib); err != nil {
			return f, fmt.Errorf("%s of process %d: %w", name, pid, err)
		}
		*to = kib * 1024 / 1e6
	}
	maps, err := os.ReadFile(filepath.Join(proc, "maps"))
	if err != nil {
		return f, err
	}
	f.Mapped = recordFiles(string(maps))
	open, err := os.ReadDir(filepath.Join(proc, "fd"))
	f.Open = len(open)
	return f, err
}

// recordFiles counts the record files of a buffer that are mapped. They are those of its
// folder that are named by a ULID; the chain, which is small, is none.
func recordFiles(maps string) int {
	files := map[string]bool{}
	for line := range strings.Lines(maps) {
		if f := strings.Fields(line); len(f) > 5 && filepath.Base(filepath.Dir(f[5])) == "buffer" {
			if name, _, _ := strings.Cut(filepath.Base(f[5]), "."); len(name) == 26 {
				files[f[5]] = true
			}
		}
	}
	return len(files)
}
