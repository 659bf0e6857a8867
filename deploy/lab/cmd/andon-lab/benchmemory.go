package main

import (
	"context"
	"fmt"
	"io"
	"text/tabwriter"

	"andon.internal/lab/bench"
)

type benchMemoryCmd struct {
	benchFactoryFlags
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
	r, err := bench.Memory(ctx, c.options(t))
	if err != nil {
		return interrupted(ctx, err)
	}
	return c.write(t.out, r, func() error { return writeMemoryFigures(t.out, r) })
}

func writeMemoryFigures(out io.Writer, r *bench.MemoryReport) error {
	writeMachine(out, &r.Machine, r.Short)
	w := tabwriter.NewWriter(out, 0, 8, 2, ' ', 0)
	fmt.Fprintf(w, "\nAGENT with %d readings, the most\tanonymous MB\tall MB\tfiles mapped\tdescriptors\tgoroutines\tseconds\ttarget\n", r.Rows)
	for i := range r.Phases {
		p := &r.Phases[i]
		fmt.Fprintf(w, "%s\t%.1f\t%.1f\t%d\t%d\t%d\t%.0f\t<= %d MB, <= %d files: %s\n", p.Phase, p.AnonMB, p.ResidentMB,
			p.Mapped, p.Open, p.Goroutines, p.Seconds, bench.AnonTarget, bench.MappedTarget, verdict(p.Met()))
	}
	return w.Flush()
}
