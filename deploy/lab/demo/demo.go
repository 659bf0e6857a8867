// Package demo runs a factory until somebody ends it, and says what to look at and
// what to try. It is what `andon-lab up` does.
package demo

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"time"

	"andon.internal/lab/cable"
	"andon.internal/lab/control"
	"andon.internal/lab/factory"
	"andon.internal/lab/registry"
)

// Options of a lab. The zero value is three cells on two lines, with twelve simulated
// dynamometers, in a temporary folder.
type Options struct {
	Name   string  // for others to find it by; the first free of lab1, lab2, ... when empty
	Cells  int     // with four dynamometers each; 3 when 0
	Rate   float64 // readings a second of each; 1 when 0
	Replay string  // a file in C-MAPSS form, replayed by one cell more
	Speed  string  // of the replay; "1" when empty
	Split  bool    // see factory.Options
	Data   string  // kept at the end; a temporary folder when empty
	Keep   bool    // keep also a temporary folder
	Bin    string  // see factory.FindBinaries
	PgBin  string

	BrokerPort, PgPort, PagesPort, HTTPPort int // see factory.Options

	Logger *slog.Logger // hears of what happens; default: none
}

// What a cell has.
const (
	stations  = 4
	perLine   = 2 // cells
	programme = 6 * time.Minute
	idle      = 12 * time.Second
)

// Run starts the lab, writes a guide to out and keeps it up until ctx ends or
// somebody says down. Nothing is left behind but data that is to be kept.
func Run(ctx context.Context, o Options, out io.Writer) (err error) {
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	if swept, err := registry.Sweep(); err != nil {
		o.Logger.Warn("remove what a killed lab left", "error", err)
	} else if len(swept) > 0 {
		o.Logger.Info("removed what a killed lab left", "labs", swept)
	}
	claim, err := registry.Take(o.Name)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, claim.Release()) }()

	entry, err := o.place(claim.Name())
	if err != nil {
		return err
	}
	// From here on a killed lab is swept, so the folder is published before it fills.
	if err := claim.Publish(entry); err != nil {
		return errors.Join(err, o.removeUnkept(entry))
	}
	fo := o.factory(entry.Data)
	fmt.Fprintf(out, "%s: starting PostgreSQL, broker, collector and %s ...\n", claim.Name(), count(len(fo.Cells), "cell"))
	begun := time.Now()
	f, err := factory.Start(ctx, fo)
	if err != nil {
		return errors.Join(err, o.removeUnkept(entry))
	}
	defer func() {
		fmt.Fprintf(out, "\n%s: stopping ...\n", claim.Name())
		err = errors.Join(err, f.Close(!entry.Temporary))
		if err == nil && !entry.Temporary {
			fmt.Fprintf(out, "%s: stopped; its data is in %s\n", claim.Name(), entry.Data)
		} else if err == nil {
			fmt.Fprintf(out, "%s: stopped; nothing is left behind\n", claim.Name())
		}
	}()

	ctx, down := context.WithCancel(ctx)
	defer down()
	server, err := control.Listen(claim.Socket(), told{f, o.Logger}, down)
	if err != nil {
		return err
	}
	guide(out, claim.Name(), time.Since(begun), entry, f.Status(ctx))
	return server.Run(ctx)
}

// place makes the lab's folder.
func (o *Options) place(name string) (registry.Entry, error) {
	if o.Data == "" {
		dir, err := os.MkdirTemp("", "andon-"+name+"-")
		if err != nil {
			return registry.Entry{}, fmt.Errorf("make the folder of the lab: %w", err)
		}
		return registry.Entry{Data: dir, Temporary: !o.Keep}, nil
	}
	dir, err := filepath.Abs(o.Data)
	if err != nil {
		return registry.Entry{}, fmt.Errorf("make the folder of the lab: %w", err)
	}
	running, err := registry.List()
	if err != nil {
		return registry.Entry{}, err
	}
	for _, e := range running {
		if e.Data == dir {
			return registry.Entry{}, fmt.Errorf("%s is in use by the running lab %s", dir, e.Name)
		}
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return registry.Entry{}, fmt.Errorf("make the folder of the lab: %w", err)
	}
	return registry.Entry{Data: dir}, nil
}

func (o *Options) removeUnkept(e registry.Entry) error {
	if !e.Temporary {
		return nil
	}
	return os.RemoveAll(e.Data)
}

// factory says what to start.
func (o *Options) factory(dir string) factory.Options {
	fo := factory.Options{
		Dir: dir, Bin: factory.FindBinaries(o.Bin), PgBin: o.PgBin, Split: o.Split,
		BrokerPort: o.BrokerPort, PgPort: o.PgPort, PagesPort: o.PagesPort, HTTPPort: o.HTTPPort,
		Logger: o.Logger,
	}
	cells := cmp.Or(o.Cells, 3)
	for i := range cells {
		fo.Cells = append(fo.Cells, factory.Cell{
			Name: fmt.Sprintf("cell-%02d", i+1), Group: fmt.Sprintf("austin-line%d", 1+i/perLine),
			Dynos: factory.Dynos{
				// Stations are numbered through the plant, so that a unit's name says where it is.
				Stations: stations, First: 1 + i*stations, Rate: o.Rate, Seed: uint64(i + 1),
				Programme: programme, Idle: idle,
			},
		})
	}
	if o.Replay != "" {
		fo.Cells = append(fo.Cells, factory.Cell{
			Name: fmt.Sprintf("cell-%02d", cells+1), Group: "austin-engines",
			Replay: factory.Replay{File: o.Replay, UnitPrefix: "engine-", Speed: cmp.Or(o.Speed, "1"), Loop: true},
		})
	}
	return fo
}

// told is a factory that says what it was told to do.
type told struct {
	*factory.Factory
	log *slog.Logger
}

func (t told) say(err error, what string, args ...any) error {
	if err == nil {
		t.log.Info(what, args...)
	}
	return err
}

func (t told) Cut(cell string, how cable.State) error {
	return t.say(t.Factory.Cut(cell, how), "cable cut", "cell", cell, "how", how)
}

func (t told) Heal(cell string) error {
	return t.say(t.Factory.Heal(cell), "cable healed", "cell", cell)
}

func (t told) Kill(process string) error {
	return t.say(t.Factory.Kill(process), "process killed", "process", process)
}

func (t told) Restart(ctx context.Context, process string) error {
	return t.say(t.Factory.Restart(ctx, process), "process restarted", "process", process)
}

func (t told) Inject(ctx context.Context, unit string, x factory.Fault) error {
	return t.say(t.Factory.Inject(ctx, unit, x), "fault begins", "unit", unit, "fault", x.Kind)
}

func (t told) Drive(ctx context.Context, unit string, run bool) error {
	return t.say(t.Factory.Drive(ctx, unit, run), "machine told", "unit", unit, "run", run)
}
