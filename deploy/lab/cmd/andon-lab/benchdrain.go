package main

import (
	"context"
	"fmt"
	"io"
	"text/tabwriter"

	"andon.internal/lab/bench"
)

type benchDrainCmd struct {
	benchFactoryFlags
}

func (*benchDrainCmd) Help() string {
	return `Cuts a cell's cable until it has buffered a million readings of 200 units beside its fresh ones,
mends it, and measures how fast the backlog comes home and how long fresh readings take meanwhile,
from taken to committed, beside what they take at rest in the same run. Takes about two minutes.

Examples:
  andon-lab bench drain
  andon-lab bench drain --short --json`
}

func (c *benchDrainCmd) Run(ctx context.Context, t terminal) error {
	r, err := bench.Drain(ctx, c.options(t))
	if err != nil {
		return interrupted(ctx, err)
	}
	return c.write(t.out, r, func() error { return writeDrainFigures(t.out, r) })
}

func writeDrainFigures(out io.Writer, r *bench.DrainReport) error {
	writeMachine(out, &r.Machine, r.Short)
	w := tabwriter.NewWriter(out, 0, 8, 2, ' ', 0)
	fmt.Fprintf(w, "\nBACKLOG of %d readings\trows/s\tseconds\t\t\ttarget\n", r.Rows)
	fmt.Fprintf(w, "until it is home\t%.0f\t%.1f\t\t\t>= %d x real time: %.1f x, %s\n", r.PerS, r.Seconds, bench.DrainTimes, r.Times, verdict(r.Times >= bench.DrainTimes))
	fmt.Fprintf(w, "\nFRESH READINGS from taken\treadings\tp50 ms\tp99 ms\tmax ms\ttarget\n")
	line := func(what string, s bench.Spread, target string) {
		fmt.Fprintf(w, "%s\t%d\t%.1f\t%.1f\t%.1f\t%s\n", what, s.N, s.P50, s.P99, s.Max, target)
	}
	line("at rest, to received", r.Rest.Received, "")
	line("at rest, to committed", r.Rest.Committed, "")
	line("while the backlog comes home, to received", r.Draining.Received, "")
	line("while the backlog comes home, to committed", r.Draining.Committed,
		fmt.Sprintf("p99 <= %.1f x: %.2f x, %s", bench.DrainRatio, r.Ratio, verdict(r.Ratio <= bench.DrainRatio)))
	return w.Flush()
}
