package main

import (
	"context"
	"fmt"
	"io"
	"text/tabwriter"

	"andon.internal/lab/bench"
)

type benchPathCmd struct {
	benchFactoryFlags
	Only []string `enum:"latency,throughput,latest" placeholder:"PART" help:"Only these parts: latency, throughput, latest."`
}

func (*benchPathCmd) Help() string {
	return `Measures on the real binaries and a private PostgreSQL with fsync on: the latency from a reading
taken to its row committed, the rows a second of 24 signals from agent to commit with the CPU time
of every process and plain binary COPY of the same rows as the ceiling, and the time to read the
latest reading of a unit from a small and a large table. Takes about five minutes.

Examples:
  andon-lab bench path
  andon-lab bench path --only throughput
  andon-lab bench path --short --json`
}

func (c *benchPathCmd) Run(ctx context.Context, t terminal) error {
	o := c.options(t)
	o.Only = c.Only
	r, err := bench.Path(ctx, o)
	if err != nil {
		return interrupted(ctx, err)
	}
	return c.write(t.out, r, func() error { return writeFigures(t.out, r) })
}

func writeFigures(out io.Writer, r *bench.Report) error {
	writeMachine(out, &r.Machine, r.Short)
	w := tabwriter.NewWriter(out, 0, 8, 2, ' ', 0)
	if len(r.Latency) > 0 {
		fmt.Fprintln(w, "\nLATENCY of a reading\treadings\tp50 ms\tp99 ms\tmax ms\ttarget")
		for _, l := range r.Latency {
			load := fmt.Sprintf("%d units x %d Hz", l.Units, l.Hz)
			fmt.Fprintf(w, "%s, received\t%d\t%.1f\t%.1f\t%.1f\t\n", load, l.Received.N, l.Received.P50, l.Received.P99, l.Received.Max)
			fmt.Fprintf(w, "%s, commit timestamp\t%d\t%.1f\t%.1f\t%.1f\t\n", load, l.Committed.N, l.Committed.P50, l.Committed.P99, l.Committed.Max)
			fmt.Fprintf(w, "%s, visible to others\t%d\t%.1f\t%.1f\t%.1f\tp99 < %d: %s\n", load, l.Visible.N, l.Visible.P50, l.Visible.P99, l.Visible.Max,
				bench.LatencyTarget, verdict(l.Visible.P99 < bench.LatencyTarget))
		}
	}
	if t := r.Throughput; t != nil {
		fmt.Fprintln(w, "\nTHROUGHPUT, 24 signals\trows/s\tCPU s per million\tseconds\t\ttarget")
		fmt.Fprintf(w, "agent to commit\t%.0f\t%.1f\t%.1f\t\t>= %d: %s, <= %.0f s: %s\n", t.PerS, t.CPUTotal, t.Seconds,
			bench.RowsTarget, verdict(t.PerS >= bench.RowsTarget), bench.CPUTarget, verdict(t.CPUTotal <= bench.CPUTarget))
		for _, name := range []string{"agent", "broker", "collector", "postgres"} {
			fmt.Fprintf(w, "  %s\t\t%.1f\t\t\t\n", name, t.CPU[name])
		}
		fmt.Fprintf(w, "one binary COPY of the same rows\t%.0f\t%.1f\t%.1f\t\t\n", t.CopyPerS, t.CopyCPU, t.CopySeconds)
		fmt.Fprintf(w, "share of the ceiling\t%.0f %%\t\t\t\t\n", 100*t.Ratio)
	}
	if l := r.Latest; l != nil {
		fmt.Fprintln(w, "\nLATEST READING of a unit\tqueries\tp50 ms\tp99 ms\tmax ms\ttarget")
		for _, s := range l.Sizes {
			fmt.Fprintf(w, "%d rows\t%d\t%.3f\t%.3f\t%.3f\t\n", s.Rows, s.Took.N, s.Took.P50, s.Took.P99, s.Took.Max)
		}
		fmt.Fprintf(w, "p99, largest to smallest\t\t\t%.2f x\t\t<= %.1f: %s\n", l.Ratio, bench.LatestTarget, verdict(l.Ratio <= bench.LatestTarget))
	}
	if err := w.Flush(); err != nil {
		return err
	}
	if l := r.Latest; l != nil {
		fmt.Fprintf(out, "\nPlan at %d rows:\n", l.Sizes[len(l.Sizes)-1].Rows)
		for _, line := range l.Sizes[len(l.Sizes)-1].Plan {
			fmt.Fprintln(out, " ", line)
		}
	}
	return nil
}
