package main

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"text/tabwriter"
	"time"

	"andon.internal/lab/chaos"
)

type chaosCmd struct {
	Seed     uint64        `placeholder:"N" help:"Seed of everything; by default a random one, which is printed."`
	Rounds   int           `default:"5" placeholder:"R" help:"How many rounds of five faults each, or of power cuts; by default 5."`
	Faults   []string      `placeholder:"NAME" help:"Only these faults; by default all, each once before any comes again."`
	Span     time.Duration `placeholder:"TIME" help:"How long the faults of a round take, such as 15s; by default 20 s to 60 s, as drawn."`
	FS       string        `name:"fs" enum:"ext4,xfs" default:"ext4" help:"The file system of cells and database: ext4 or xfs."`
	Write    string        `enum:"behind,ahead,both" default:"behind" help:"How the cells' buffers write: behind, ahead, or both: one cell each, by the seed."`
	Resume   string        `placeholder:"FILE" help:"Append each round to this file, go on behind the seed's last one there, and count all of them in the table."`
	Keep     string        `placeholder:"DIR" help:"Copy the logs of a round that found something to this folder."`
	Cuts     bool          `name:"power-cuts" help:"Cut the power, and do nothing else but take links down: in a round 20 times at each cell and 5 times at the database, side by side, also while they are starting."`
	Controls bool          `help:"Break one rule of the programs after the other, which are built with -tags andon_broken, and succeed if the checker finds each, within three rounds; with --power-cuts, leave out one sync after the other."`
	List     bool          `help:"Name the faults and what is expected of each, and exit."`
	binaries
}

func (*chaosCmd) Help() string {
	return `Breaks a factory, many faults at a time, heals it, and checks after every round that what was
declared safe is stored or told, each exactly once. It runs as root: every process has a network
namespace of its own, every cell and PostgreSQL a file system of their own on a loop device, whose
power can be cut. One cell replays a file, of which nothing may ever be missing; one has simulated
dynos and is asked what is safe while things break. What a killed run left is swept by the next.
With --power-cuts there are only these, one soon after the other, for a number of them that counts.
It exits with 0 only if nothing was lost, doubled or is unexplained.

Examples:
  andon-lab chaos --list
  andon-lab chaos --seed 7 --rounds 5
  andon-lab chaos --seed 7 --faults power-cell,link-down --fs xfs --write ahead
  andon-lab chaos --seed 7 --power-cuts --rounds 10 --fs xfs --write ahead
  andon-lab chaos --controls --bin broken/bin
  andon-lab chaos --controls --power-cuts --bin broken/bin
  andon-lab chaos --seed 7 --rounds 100 --resume chaos.jsonl`
}

// controls breaks one rule after the other.
func (c *chaosCmd) controls(ctx context.Context, t terminal) error {
	w := tabwriter.NewWriter(t.out, 0, 8, 2, ' ', 0)
	fmt.Fprintln(w, "broken rule\tlost\tdoubled\tunexplained\tcaught\trounds")
	missed := 0
	for _, control := range chaos.Controls() {
		if len(c.Faults) > 0 && !slices.Contains(c.Faults, control.Name) {
			continue
		}
		fmt.Fprintln(t.out, "control", control.Name)
		r, rounds, caught, err := chaos.RunControl(ctx, chaos.Options{Seed: c.Seed, FS: c.FS, Write: c.Write, Keep: c.Keep, Bin: c.Bin, PgBin: c.PgBin, Out: t.out}, control)
		if err != nil {
			return interrupted(ctx, err)
		}
		if !caught {
			missed++
		}
		fmt.Fprintf(w, "%s\t%d\t%d\t%d\t%t\t%d\n", control.Name, r.Lost, r.Doubled, r.Unexplained, caught, rounds)
	}
	if err := w.Flush(); err != nil {
		return err
	}
	if missed > 0 {
		return fmt.Errorf("%d broken rules were not found", missed)
	}
	return nil
}

func (c *chaosCmd) Run(ctx context.Context, t terminal) error {
	if c.List {
		w := tabwriter.NewWriter(t.out, 0, 8, 2, ' ', 0)
		for _, f := range chaos.Faults {
			fmt.Fprintf(w, "%s\t%s\n", f.Name, f.Expected)
		}
		return w.Flush()
	}
	if c.Seed == 0 {
		c.Seed = rand.Uint64N(1 << 32)
	}
	switch {
	case c.Controls && c.Cuts:
		return c.cutControls(ctx, t)
	case c.Controls:
		return c.controls(ctx, t)
	}
	var rounds []chaos.Round
	first := 1
	if c.Resume != "" {
		var err error
		if rounds, err = chaos.Load(c.Resume); err != nil {
			return err
		}
		first = chaos.Next(rounds, c.Seed)
	}
	fmt.Fprintf(t.out, "seed %d, from round %d; repeat it with --seed %d\n", c.Seed, first, c.Seed)
	var saving error
	bad := 0
	err := chaos.Run(ctx, chaos.Options{
		Seed: c.Seed, First: first, Rounds: c.Rounds, Only: c.Faults, Span: c.Span, FS: c.FS, Write: c.Write, Keep: c.Keep, Bin: c.Bin, PgBin: c.PgBin, Out: t.out,
		PowerCuts: c.Cuts,
		Done: func(r *chaos.Round) {
			rounds = append(rounds, *r)
			if !r.OK() {
				bad++
			}
			if c.Resume != "" && saving == nil {
				saving = chaos.Save(c.Resume, r)
			}
		},
	})
	if len(rounds) > 0 {
		table := chaos.Table
		if c.Cuts {
			table = chaos.CutsTable
		}
		if err := table(t.out, rounds); err != nil {
			return err
		}
	}
	switch {
	case err != nil:
		return interrupted(ctx, err)
	case saving != nil:
		return saving
	case bad > 0:
		return fmt.Errorf("%d of %d rounds found something", bad, c.Rounds)
	}
	return nil
}
