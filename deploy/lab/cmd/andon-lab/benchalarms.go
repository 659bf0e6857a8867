package main

import (
	"context"
	"fmt"
	"io"
	"text/tabwriter"

	"andon.internal/lab/bench"
)

type benchAlarmsCmd struct {
	benchFactoryFlags
}

func (*benchAlarmsCmd) Help() string {
	return `Measures on the real binaries, the shipped rules and a private PostgreSQL with fsync on, with
simulated machines that are broken at random moments: the time from the moment that decides an alarm
(the deciding reading was taken, or its rule's delay was over) until a client of the command center's
event stream has it; and the same of all machines broken within a second. Every fault must be seen:
the command fails when an alarm does not reach the page. Takes about six minutes.

Examples:
  andon-lab bench alarms
  andon-lab bench alarms --short --json`
}

func (c *benchAlarmsCmd) Run(ctx context.Context, t terminal) error {
	r, err := bench.Alarms(ctx, c.options(t))
	if err != nil {
		return interrupted(ctx, err)
	}
	err = c.write(t.out, r, func() error { return writeAlarmFigures(t.out, r) })
	if missed, faults := r.Missed(); err == nil && missed > 0 {
		return fmt.Errorf("%d of %d faults never reached the page", missed, faults)
	}
	return err
}

func writeAlarmFigures(out io.Writer, r *bench.AlarmReport) error {
	writeMachine(out, &r.Machine, r.Short)
	w := tabwriter.NewWriter(out, 0, 8, 2, ' ', 0)
	fmt.Fprintln(w, "\nLATENCY of an alarm\talarms\tp50 ms\tp99 ms\tmax ms\ttarget")
	for i := range r.Loads {
		l := &r.Loads[i]
		load := fmt.Sprintf("%d units x %d Hz", l.Units, l.Hz)
		target := fmt.Sprintf("p99 < %d: %s", bench.AlarmTarget, verdict(l.Met()))
		if l.Burst {
			load += ", all at once"
			if !l.Met() {
				target = "none"
			}
		}
		row := func(what string, s bench.Spread, target string) {
			fmt.Fprintf(w, "%s, %s\t%d\t%.1f\t%.1f\t%.1f\t%s\n", load, what, s.N, s.P50, s.P99, s.Max, target)
		}
		row("decided to received", l.Received, "")
		row("received to page", l.Shown, "")
		row("decided to page", l.Total, target)
	}
	if err := w.Flush(); err != nil {
		return err
	}
	fmt.Fprintln(out)
	for i := range r.Loads {
		l := &r.Loads[i]
		how := "at random moments"
		if l.Burst {
			how = "at once"
		}
		fmt.Fprintf(out, "%d units x %d Hz, broken %s: %d of %d faults were seen, decided within %.1f s\n",
			l.Units, l.Hz, how, l.Faults-len(l.Missed), l.Faults, l.Spread)
		for _, x := range l.Missed {
			fmt.Fprintln(out, "  never seen:", x)
		}
	}
	return nil
}
