package main

import (
	"context"

	"andon.internal/lab/demo"
)

type upCmd struct {
	Cells  int     `default:"3" help:"How many cells, with four simulated dynamometers each; two cells a line."`
	Rate   float64 `default:"1" help:"Readings a second of each dynamometer, at most 1000."`
	Replay string  `type:"existingfile" placeholder:"FILE" help:"A file in C-MAPSS form, replayed by one cell more."`
	Speed  string  `default:"1" help:"Of the replay: a factor on real time (one cycle a second), or max."`
	Split  bool    `help:"Run the collector as three processes: intake, sentinel and web."`
	Data   string  `placeholder:"DIR" help:"Folder for everything, kept at the end; by default a temporary one."`
	Keep   bool    `help:"Keep the temporary folder too."`
	Name   string  `help:"Name for other commands to find the lab by; by default lab1, lab2, ..."`
	binaries
	PagesPort  int `placeholder:"PORT" help:"Port of the command center; by default a free one."`
	BrokerPort int `placeholder:"PORT" help:"Port of the broker; by default a free one."`
	PgPort     int `placeholder:"PORT" help:"Port of PostgreSQL; by default a free one."`
	HTTPPort   int `name:"http-port" placeholder:"PORT" help:"Port of the collector's /healthz, /readyz and /metrics; those of broker and cells follow it. By default free ones."`
}

// binaries says where programs are.
type binaries struct {
	Bin   string `placeholder:"DIR" help:"Folder of the andon binaries; by default that of andon-lab, ./bin, or PATH."`
	PgBin string `placeholder:"DIR" help:"Folder of PostgreSQL's programs; by default PATH, then the usual places."`
}

func (*upCmd) Help() string {
	return `Prints what to look at and what to try. A process that exits by itself is reported and
started again; one that was killed by the command kill stays down.

Examples:
  andon-lab up
  andon-lab up --pages-port 8080
  andon-lab up --cells 1 --replay train_FD001.txt --speed 10
  andon-lab up --split --data ./lab-data`
}

func (c *upCmd) Run(ctx context.Context, t terminal) error {
	return demo.Run(ctx, demo.Options{
		Name: c.Name, Cells: c.Cells, Rate: c.Rate, Replay: c.Replay, Speed: c.Speed, Split: c.Split,
		Data: c.Data, Keep: c.Keep, Bin: c.Bin, PgBin: c.PgBin,
		BrokerPort: c.BrokerPort, PgPort: c.PgPort, PagesPort: c.PagesPort, HTTPPort: c.HTTPPort,
		Logger: t.logger(),
	}, t.out)
}
