// Package demo runs a factory until somebody ends it, and says what to look at and
// what to try. It is what `andon-lab up` does.
package demo

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"time"

	"andon.internal/lab/cable"
	"andon.internal/lab/cmapss"
	"andon.internal/lab/control"
	"andon.internal/lab/factory"
	"andon.internal/lab/registry"
)

// Options of a lab. The zero value is two cells of generated engines in real time,
// in a temporary folder.
type Options struct {
	Name   string // for others to find it by; the first free of lab1, lab2, ... when empty
	Cells  int    // 2 when 0
	Replay string // a file in C-MAPSS form, replayed by every cell; generated when empty
	Speed  string // "1" when empty
	Data   string // kept at the end; a temporary folder when empty
	Keep   bool   // keep also a temporary folder
	Bin    string // see factory.FindBinaries
	PgBin  string

	BrokerPort, PgPort, HTTPPort int // see factory.Options

	Logger *slog.Logger // hears of what happens; default: none
}

// What a cell replays when no file is given: engines that live about four minutes
// at one cycle a second.
const (
	engines = 20
	cycles  = 240
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
	fo, err := o.factory(entry.Data)
	if err != nil {
		return errors.Join(err, o.removeUnkept(entry))
	}
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

// factory says what to start, having made the files to replay.
func (o *Options) factory(dir string) (factory.Options, error) {
	fo := factory.Options{
		Dir: dir, Bin: factory.FindBinaries(o.Bin), PgBin: o.PgBin,
		BrokerPort: o.BrokerPort, PgPort: o.PgPort, HTTPPort: o.HTTPPort,
		Logger: o.Logger,
	}
	cells, speed := o.Cells, o.Speed
	if cells == 0 {
		cells = 2
	}
	if speed == "" {
		speed = "1"
	}
	for i := 1; i <= cells; i++ {
		c := factory.Cell{Name: fmt.Sprintf("cell-%02d", i)}
		// Unit ids are unique in the group, so two cells need two prefixes.
		c.Replay = factory.Replay{
			File: o.Replay, UnitPrefix: fmt.Sprintf("c%02d-engine-", i), Speed: speed, Loop: true,
		}
		if o.Replay == "" {
			c.Replay.File = filepath.Join(dir, "generated", c.Name+".txt")
			if err := generate(c.Replay.File, uint64(i)); err != nil {
				return fo, err
			}
		}
		fo.Cells = append(fo.Cells, c)
	}
	return fo, nil
}

// generate makes a file to replay unless it is there already: a lab that is started
// again on its data goes on where it was in it.
func generate(path string, seed uint64) error {
	if _, err := os.Stat(path); err == nil {
		return nil
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return fmt.Errorf("generate engines: %w", err)
	}
	f, err := os.CreateTemp(filepath.Dir(path), "new-")
	if err != nil {
		return fmt.Errorf("generate engines: %w", err)
	}
	defer os.Remove(f.Name())
	err = cmapss.Generate(f, cmapss.Spec{Seed: seed, Engines: engines, Cycles: cycles})
	if err = errors.Join(err, f.Close()); err != nil {
		return err
	}
	return os.Rename(f.Name(), path)
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
