package main

import (
	"context"
	"time"

	"andon.internal/lab/screenshots"
)

type screenshotsCmd struct {
	Dir    string        `arg:"" help:"Folder for the pictures; those in it are replaced."`
	WarmUp time.Duration `default:"13m" help:"How long the machines run before the first picture, so that there are trends."`
	binaries
}

func (*screenshotsCmd) Help() string {
	return `Starts a lab of its own, breaks machines, a cable and the database, and photographs the pages with
Chromium on the way: fleet.png, fleet-dark.png, fleet-narrow.png, wall.png, unit.png and
database-down.png. Takes a quarter of an hour.

Example:
  andon-lab screenshots docs/images`
}

func (c *screenshotsCmd) Run(ctx context.Context, t terminal) error {
	return interrupted(ctx, screenshots.Take(ctx, screenshots.Options{
		Dir: c.Dir, WarmUp: c.WarmUp, Bin: c.Bin, PgBin: c.PgBin, Logger: t.logger(),
	}))
}
