package main

import (
	"context"
	"fmt"
	"io"
	"text/tabwriter"

	"andon.internal/lab/bench"
)

type benchFlashCmd struct {
	benchFactoryFlags
}

func (*benchFlashCmd) Help() string {
	return `Measures what agents have written to their disks while the link is healthy, with 20 units at 1 Hz
and 200 at 10 Hz at the same time: what reached the disk for a byte of readings, which is a loop device
for each, beside write_bytes of /proc/PID/io, in which the kernel counts what became dirty and pages of
the file system more than once, and the pages that the agent counts itself. What is written while the link is down is measured by bench buffer.
Takes about 37 minutes: an agent writes its counts down every half an hour, first 35 minutes after
its start.

Examples:
  sudo andon-lab bench flash
  sudo andon-lab bench flash --short --json`
}

func (c *benchFlashCmd) Run(ctx context.Context, t terminal) error {
	r, err := bench.Healthy(ctx, c.options(t))
	if err != nil {
		return interrupted(ctx, err)
	}
	return c.write(t.out, r, func() error { return writeFlashFigures(t.out, r) })
}

func writeFlashFigures(out io.Writer, r *bench.FlashReport) error {
	writeMachine(out, &r.Machine, r.Short)
	w := tabwriter.NewWriter(out, 0, 8, 2, ' ', 0)
	fmt.Fprintln(w, "\nWRITTEN with a healthy link\treadings\ttheir bytes\tat the disk\tprocess\tpages\tseconds\ttarget")
	for i := range r.Loads {
		l := &r.Loads[i]
		fmt.Fprintf(w, "%d units x %d Hz\t%d\t%d\t%d\t%d\t%d\t%.0f\t<= %.0f %%: %.2f %%, %s\n", l.Units, l.Hz, l.Readings, l.Bytes,
			l.Device, l.Process, l.Pages, l.Seconds, 100*bench.FlashTarget, 100*l.Part, verdict(l.Met()))
	}
	return w.Flush()
}
