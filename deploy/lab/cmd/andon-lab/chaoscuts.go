package main

import (
	"context"
	"fmt"
	"text/tabwriter"

	"andon.internal/lab/chaos"
)

// cutControls leaves out one sync after the other, in rounds of power cuts.
func (c *chaosCmd) cutControls(ctx context.Context, t terminal) error {
	w := tabwriter.NewWriter(t.out, 0, 8, 2, ' ', 0)
	fmt.Fprintln(w, "control\tdeclared safe\tlost\tdoubled\tunexplained\tcaught")
	missed := 0
	for _, control := range chaos.CutControls {
		fmt.Fprintln(t.out, "control", control.Name)
		r, caught, err := chaos.RunCutControl(ctx, chaos.Options{
			Seed: c.Seed, FS: c.FS, Write: c.Write, Keep: c.Keep, Bin: c.Bin, PgBin: c.PgBin, Out: t.out,
		}, control)
		if err != nil {
			return interrupted(ctx, err)
		}
		if !caught {
			missed++
		}
		fmt.Fprintf(w, "%s\t%d\t%d\t%d\t%d\t%t\n", control.Name, r.Safe, r.Lost, r.Doubled, r.Unexplained, caught)
	}
	if err := w.Flush(); err != nil {
		return err
	}
	if missed > 0 {
		return fmt.Errorf("%d missing syncs were not found", missed)
	}
	return nil
}
