package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	"andon.internal/lab/cmapss"
	"andon.internal/lab/factory"
)

// machine is a simulated machine of the lab.
type machine struct {
	chosen
	Unit string `arg:"" help:"The unit, as the pages show it, or its station, such as dyno-03."`
}

type injectCmd struct {
	machine
	Fault    string        `arg:"" help:"thermal-runaway, overpressure, pressure-leak, bearing-wear; of a sensor: stuck-sensor, spike, dropout, drift."`
	Duration time.Duration `placeholder:"TIME" help:"How long it lasts; by default for the rest of the unit's test."`
	Signal   string        `placeholder:"NAME" help:"Of a sensor's fault: which signal; by default a fitting one."`
}

func (*injectCmd) Help() string {
	return `Examples:
  andon-lab inject dyno-03 thermal-runaway
  andon-lab inject dyno-07 drift --signal torque_nm --duration 2m`
}

func (c *injectCmd) Run(ctx context.Context) error {
	_, lab, err := c.dial()
	if err != nil {
		return err
	}
	return lab.Inject(ctx, c.Unit, factory.Fault{Kind: c.Fault, Duration: c.Duration, Signal: c.Signal})
}

type stopCmd struct{ machine }

func (*stopCmd) Help() string {
	return "It runs down and cools; its test goes on.\n\nExample:\n  andon-lab stop dyno-03"
}

func (c *stopCmd) Run(ctx context.Context) error { return c.drive(ctx, false) }

type releaseCmd struct{ machine }

func (*releaseCmd) Help() string { return "Example:\n  andon-lab release dyno-03" }

func (c *releaseCmd) Run(ctx context.Context) error { return c.drive(ctx, true) }

func (m *machine) drive(ctx context.Context, run bool) error {
	_, lab, err := m.dial()
	if err != nil {
		return err
	}
	return lab.Drive(ctx, m.Unit, run)
}

type generateCmd struct {
	Engines int    `default:"20" help:"How many engines."`
	Cycles  int    `default:"240" help:"About how many cycles each lives."`
	Seed    uint64 `default:"1" help:"The same seed makes the same file."`
	Output  string `required:"" placeholder:"FILE" help:"The file to write; one that is there is replaced."`
}

func (*generateCmd) Help() string {
	return `Degrading engines under six operating conditions, for up and verify --replay.

Example:
  andon-lab generate --engines 100 --output engines.txt`
}

func (c *generateCmd) Run() error {
	if c.Engines < 1 || c.Cycles < 1 {
		return errors.New("generate: engines and cycles must be 1 or more")
	}
	f, err := os.Create(c.Output)
	if err != nil {
		return fmt.Errorf("generate: %w", err)
	}
	err = cmapss.Generate(f, cmapss.Spec{Seed: c.Seed, Engines: c.Engines, Cycles: c.Cycles})
	return errors.Join(err, f.Close())
}
