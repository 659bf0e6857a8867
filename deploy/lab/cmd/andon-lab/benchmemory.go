package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"text/tabwriter"

	"andon.internal/lab/bench"
)

type benchMemoryCmd struct {
	JSON  bool `name:"json" help:"Write JSON."`
	Short bool `help:"A fraction of the work: to see that it runs, not to quote."`
	binaries
}

func (*benchMemoryCmd) Help() string {
	return `Cuts a cell's cable until it has buffered ten million readings of 200 units beside its fresh
ones, starts its agent anew, holds them for a minute, mends the cable and waits until they are home.
Ten times a second it looks at the agent: anonymous memory (RssAnon), record files mapped,
descriptors, goroutines. Takes about ten minutes and 12 GB of the disk for temporary files.

Examples:
  andon-lab bench memory
  andon-lab bench memory --short --json`
}

func (c *benchMemoryCmd) Run(ctx context.Context, t terminal) error {
	r, err := bench.Memory(ctx, bench.Options{Short: c.Short, Bin: c.Bin, PgBin: c.PgBin, Logger: t.logger()})
	if err != nil {
		return interrupted(ctx, err)
	}
	if c.JSON {
		enc := json.NewEncoder(t.out)
		enc.SetIndent("", "  ")
		return enc.Encode(r)
	}
	return writeMemoryFigures(t.out, r)
}

func writeMemoryFigures(out io.Writer, r *bench.MemoryReport) error {
	writeMachine(out, &r.Machine, r.Short)
	w := tabwriter.NewWriter(out, 0, 8, 2, ' ', 0)
	fmt.Fprintf(w, "\nAGENT with %d readings, the most\tanonymous MiB\tall MiB\tfiles mapped\tdescriptors\tgoroutines\tseconds\ttarget\n", r.Rows)
	for i := range r.Phases {
		p := &r.Phases[i]
		target := fmt.Sprintf("<= %d MiB, <= %d files", bench.AnonTarget, bench.MappedTarget)
		if i == 0 { // from a file, as fast as it goes
			target = fmt.Sprintf("<= %d files", bench.MappedTarget)
		}
		fmt.Fprintf(w, "%s\t%.1f\t%.1f\t%d\t%d\t%d\t%.0f\t%s: %s\n", p.Phase, p.AnonMiB, p.ResidentMiB,
			p.Mapped, p.Open, p.Goroutines, p.Seconds, target, verdict(p.Met()))
	}
	return w.Flush()
}
