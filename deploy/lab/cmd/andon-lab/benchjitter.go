package main

import (
	"context"
	"fmt"
	"io"
	"text/tabwriter"

	"andon.internal/lab/bench"
)

type benchJitterCmd struct {
	benchFactoryFlags
}

func (*benchJitterCmd) Help() string {
	return `Has a cell read 200 units ten times a second, with its data on a file system of its own, and
compares how late its readings are taken, and how long the buffer makes its sampler wait, in one run:
idle; with the disk full; with a disk that takes 20 writes a second; with a network in which nothing
passes and nobody is told. In all of these but the first the cable is silent, since behind a healthy
link nothing is written. Figures are upper bounds: those of the buckets of the agent's histograms.
Needs root, for the loop device and the control group. Takes about five minutes.

Examples:
  sudo bin/andon-lab bench jitter
  sudo bin/andon-lab bench jitter --short --json`
}

func (c *benchJitterCmd) Run(ctx context.Context, t terminal) error {
	r, err := bench.SamplerJitter(ctx, c.options(t))
	if err != nil {
		return interrupted(ctx, err)
	}
	return c.write(t.out, r, func() error { return writeJitterFigures(t.out, r) })
}

func writeJitterFigures(out io.Writer, r *bench.JitterReport) error {
	writeMachine(out, &r.Machine, r.Short)
	fmt.Fprintf(out, "disk of the cell: %s\n", r.Disk)
	w := tabwriter.NewWriter(out, 0, 8, 2, ' ', 0)
	fmt.Fprintf(w, "\nSAMPLER of %d units x %d Hz\tdue\ttaken\tmissed\tlate ms: p50\tp99\tmax\tin the buffer after ms: p50\tp99\tmax\tcommits\tms each\tfailed\tlost\ttarget\n", r.Load.Units, r.Load.Hz)
	for i := range r.Phases {
		p := &r.Phases[i]
		fmt.Fprintf(w, "%s\t%d\t%d\t%d\t%g\t%g\t%g\t%g\t%g\t%g\t%d\t%.1f\t%d\t%d\tperiod kept: %s\n", p.Phase, p.Due, p.Taken, p.Missed,
			p.Late.P50, p.Late.P99, p.Late.Max, p.Store.P50, p.Store.P99, p.Store.Max, p.Commits, p.CommitMS, p.Failed, p.Lost, verdict(p.Met(r.Load)))
	}
	return w.Flush()
}
