package bench

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strconv"
	"time"

	"andon.internal/lab/factory"
	"andon.internal/lab/loopdisk"
)

// FlashTarget is the most that may be written to the disk for a byte of readings while the
// link is healthy.
const FlashTarget = 0.01

// FlashReport is what agents have their disks write while the link is healthy.
type FlashReport struct {
	Machine Machine `json:"machine"`
	Short   bool    `json:"short"`
	Loads   []Flash `json:"loads"`
}

// Flash is the writing of one agent in a while. All agents run at the same time.
type Flash struct {
	Load
	Seconds  float64 `json:"seconds"`
	Readings int64   `json:"readings"`
	Bytes    int64   `json:"reading_bytes"` // of the readings, in the form of the buffer before it compresses
	Device   int64   `json:"device_bytes"`  // what reached the disk, of which it alone has the use
	Process  int64   `json:"process_bytes"` // write_bytes of /proc/PID/io: what became dirty, pages of the file system too
	Pages    int64   `json:"page_bytes"`    // what the agent itself counts
	Part     float64 `json:"part"`          // Device / Bytes
}

// Met reports whether the target is met.
func (f *Flash) Met() bool { return f.Part <= FlashTarget }

// Healthy measures what is written while everything is acknowledged in time, from five minutes
// after the start on, for longer than the half an hour in which an agent writes its counts
// down: it does so first 35 minutes after its start. It needs root: each cell has a disk of its own, a file system on a loop device.
func Healthy(ctx context.Context, o Options) (_ *FlashReport, err error) {
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	r := &FlashReport{Short: o.Short, Loads: []Flash{{Load: Load{Units: 20, Hz: 1}}, {Load: Load{Units: 200, Hz: 10}}}}
	r.Machine.read()
	wait, lasts := 5*time.Minute, 31*time.Minute
	if o.Short {
		wait, lasts = 2*time.Second, 4*time.Second
	}
	dir, err := os.MkdirTemp("", "andon-bench-")
	if err != nil {
		return nil, err
	}
	disks := make([]*loopdisk.Disk, 0, len(r.Loads))
	defer func() {
		var left error
		for _, d := range disks {
			left = errors.Join(left, d.Detach(context.WithoutCancel(ctx)))
		}
		if left == nil { // it would reach into a disk that is there still
			left = os.RemoveAll(dir)
		}
		err = errors.Join(err, left)
	}()
	data := filepath.Join(dir, "lab")
	cells, sites := make([]factory.Cell, len(r.Loads)), map[string]factory.Site{}
	for i := range r.Loads {
		l := &r.Loads[i]
		// One programme lasts longer than the measurement: no unit comes or goes.
		name := "cell-" + strconv.Itoa(i+1)
		cells[i] = factory.Cell{Name: name, Buffer: factory.Buffer{MaxDisk: "128MiB"}, Dynos: factory.Dynos{
			Stations: l.Units, First: 1 + 1000*i, Rate: float64(l.Hz), Programme: 2 * time.Hour,
		}}
		d, err := loopdisk.Make(ctx, dir, name, "ext4")
		if err != nil {
			return nil, err
		}
		disks = append(disks, d)
		sites[name] = factory.Site{Data: filepath.Join(d.Mount, "data")}
	}
	if err := os.Mkdir(data, 0o755); err != nil {
		return nil, err
	}
	f, err := start(ctx, o, factory.Options{Dir: data, Cells: cells, Sites: sites}, &r.Machine)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, f.Close(false)) }()
	// The stations begin one after the other.
	sleep(ctx, wait+time.Duration(r.Loads[1].Units)*200*time.Millisecond)
	o.Logger.Info("measuring what is written", "for", lasts)
	before, begun := make([]Flash, len(cells)), time.Now()
	for i := range cells {
		if before[i], err = writtenBy(ctx, f, cells[i].Name, disks[i]); err != nil {
			return nil, err
		}
	}
	sleep(ctx, lasts)
	for i := range cells {
		now, err := writtenBy(ctx, f, cells[i].Name, disks[i])
		if err != nil {
			return nil, err
		}
		l := &r.Loads[i]
		l.Seconds = time.Since(begun).Seconds()
		l.Readings, l.Bytes = now.Readings-before[i].Readings, now.Bytes-before[i].Bytes
		l.Device = now.Device - before[i].Device
		l.Process, l.Pages = now.Process-before[i].Process, now.Pages-before[i].Pages
		if l.Bytes == 0 {
			return nil, fmt.Errorf("%s took no readings", cells[i].Name)
		}
		l.Part = float64(l.Device) / float64(l.Bytes)
	}
	return r, nil
}

// writtenBy is what an agent has taken and written since it was started, and what its disk has.
func writtenBy(ctx context.Context, f *factory.Factory, name string, d *loopdisk.Disk) (w Flash, err error) {
	if w.Device, err = d.Written(); err != nil {
		return w, err
	}
	m, err := f.Metrics(ctx, name)
	if err != nil {
		return w, err
	}
	w.Readings = int64(m["andon_sampler_readings_total"])
	w.Bytes, w.Pages = int64(m["andon_card_reading_bytes_total"]), int64(m["andon_card_written_bytes_total"])
	_, err = fmt.Sscan(field(filepath.Join("/proc", strconv.Itoa(f.PID(name)), "io"), "write_bytes"), &w.Process)
	if err != nil {
		return w, fmt.Errorf("what %s has written: %w", name, err)
	}
	return w, nil
}
