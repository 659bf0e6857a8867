// Package verify proves that nothing is lost or doubled: it sends a whole file
// through agent, broker and collector, breaks all of them on the way where it is
// asked to, and compares every line with what PostgreSQL then holds.
package verify

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"strconv"
	"time"

	"andon.internal/lab/checker"
	"andon.internal/lab/cmapss"
	"andon.internal/lab/factory"
	"andon.internal/shared/telemetry"
)

// Options of a verification. Replay is required.
type Options struct {
	Replay string        // a file in C-MAPSS form
	Speed  string        // a factor or "max"; see Run for what it is when empty
	Faults bool          // break things on the way
	Seed   uint64        // of the faults
	Within time.Duration // how long everything may take beyond the file's own pace; 3 min when 0
	Keep   bool          // keep the lab's folder
	Bin    string        // see factory.FindBinaries
	PgBin  string
	// Mosquitto is a program that takes andon-broker's place; none.
	Mosquitto string
	Logger    *slog.Logger // hears of faults and of processes that exit by themselves; default: none
}

// Report is what a verification found.
type Report struct {
	File      string  `json:"file"`
	Speed     string  `json:"speed"`
	Seconds   float64 `json:"seconds"` // from the start of the cell to the last acknowledgement
	Lines     int     `json:"lines"`
	Malformed int     `json:"malformed"`
	checker.Report
	Seed   uint64    `json:"seed,omitempty"`
	Faults []Applied `json:"faults,omitempty"`
	// Problems are whatever else makes the run worth nothing, such as a run that did
	// not end, or a fault that came too late to matter.
	Problems []string `json:"problems,omitempty"`
	Data     string   `json:"data,omitempty"` // the folder, where it is kept
	Passed   bool     `json:"ok"`
}

const (
	cell   = "cell-01"
	prefix = "engine-"
	period = time.Second
	// slowest is how long a file should last when faults need time to strike.
	slowest = 25 * time.Second
	// narrow is what the cable lets through a second at full speed with faults, as a
	// share of the file's size, for the same reason.
	narrow = 1.0 / 8
)

// Run verifies one file in a lab of its own. Without a speed it goes as fast as can
// be; with faults at a pace at which the file takes 25 s. At speed "max" with faults
// the cable is narrowed instead, so that the faults meet a cell with a backlog.
func Run(ctx context.Context, o Options) (_ *Report, err error) {
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	file, size, err := readFile(o.Replay)
	if err != nil {
		return nil, err
	}
	if len(file.Lines) == 0 {
		return nil, fmt.Errorf("%s has no valid line", o.Replay)
	}
	start := time.Now().Truncate(time.Millisecond)
	speed := o.speed(file)
	dir, err := os.MkdirTemp("", "andon-verify-")
	if err != nil {
		return nil, fmt.Errorf("make the folder of the lab: %w", err)
	}
	f, err := factory.Start(ctx, factory.Options{
		Dir: dir, Bin: factory.FindBinaries(o.Bin), PgBin: o.PgBin, Mosquitto: o.Mosquitto, Logger: o.Logger,
		Cells: []factory.Cell{{Name: cell, Replay: factory.Replay{
			File: o.Replay, UnitPrefix: prefix, Period: period, Speed: speed, Start: start,
		}}},
	})
	if err != nil {
		return nil, errors.Join(err, os.RemoveAll(dir))
	}
	defer func() { err = errors.Join(err, f.Close(o.Keep)) }()
	begun := time.Now()

	r := &Report{File: o.Replay, Speed: speed, Lines: file.Read, Malformed: len(file.Malformed)}
	if o.Keep {
		r.Data = dir
	}
	if o.Faults {
		r.Seed = o.Seed
		if speed == "max" {
			if err := f.Limit(cell, max(1, int(float64(size)*narrow/1000))); err != nil {
				return nil, err
			}
		}
	}
	limit := cmp.Or(o.Within, 3*time.Minute) + o.paced(file, speed)
	if err := r.await(ctx, f, o, file, limit); err != nil {
		return nil, err
	}
	r.Seconds = time.Since(begun).Seconds()
	return r, r.compare(ctx, f.DSN(), Declared(file, start))
}

func readFile(path string) (*cmapss.File, int64, error) {
	in, err := os.Open(path)
	if err != nil {
		return nil, 0, err
	}
	defer in.Close()
	file, err := cmapss.Read(in)
	if err != nil {
		return nil, 0, fmt.Errorf("%s: %w", path, err)
	}
	size, err := in.Seek(0, io.SeekCurrent)
	return file, size, err
}

// speed chooses one when none is given.
func (o *Options) speed(file *cmapss.File) string {
	switch {
	case o.Speed != "":
		return o.Speed
	case o.Faults:
		return strconv.FormatFloat(max(1, float64(file.Cycles())*period.Seconds()/slowest.Seconds()), 'f', 1, 64)
	}
	return "max"
}

// paced is how long the file lasts at its speed.
func (o *Options) paced(file *cmapss.File, speed string) time.Duration {
	factor, err := strconv.ParseFloat(speed, 64)
	if err != nil || factor <= 0 {
		return 0 // "max"; what else is wrong, the agent says
	}
	return time.Duration(float64(file.Cycles()) * float64(period) / factor)
}

// Declared is what the file says should be stored when it is replayed from start.
func Declared(file *cmapss.File, start time.Time) checker.Declared {
	d := checker.Declared{Group: factory.Group, Profile: "turbofan", Units: map[string][]checker.Reading{}}
	for _, name := range cmapss.Columns {
		d.Signals = append(d.Signals, telemetry.Signal{Name: name, Type: telemetry.Double})
	}
	for i := range file.Lines {
		l := &file.Lines[i]
		unit := prefix + strconv.Itoa(l.Engine)
		reading := checker.Reading{Time: start.Add(time.Duration(l.Cycle) * period).UnixMicro()}
		for _, v := range l.Values {
			reading.Values = append(reading.Values, telemetry.DoubleValue(v))
		}
		d.Units[unit] = append(d.Units[unit], reading)
	}
	return d
}

// compare fills in what the database holds and decides.
func (r *Report) compare(ctx context.Context, dsn string, d checker.Declared) error {
	found, err := checker.Check(ctx, dsn, d)
	if err != nil {
		return err
	}
	r.Report = *found
	if n := r.Ledger.Lost + r.Ledger.Quarantined; n > 0 {
		r.problem("%d positions are lost and %d quarantined, although a file can be read again", r.Ledger.Lost, r.Ledger.Quarantined)
	}
	r.Passed = r.OK() && len(r.Problems) == 0
	return nil
}

func (r *Report) problem(format string, args ...any) {
	r.Problems = append(r.Problems, fmt.Sprintf(format, args...))
}
