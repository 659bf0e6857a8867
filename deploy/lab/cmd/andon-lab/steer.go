package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"text/tabwriter"
	"time"

	"andon.internal/lab/cable"
	"andon.internal/lab/control"
	"andon.internal/lab/factory"
	"andon.internal/lab/registry"
)

// chosen is the lab that a command is for.
type chosen struct {
	Lab string `placeholder:"NAME|DIR" help:"Which lab, by name or data folder; not needed while only one runs."`
}

func (c chosen) dial() (registry.Entry, *control.Client, error) {
	e, err := registry.Find(c.Lab)
	return e, control.Dial(e.Socket), err
}

type statusCmd struct {
	chosen
	JSON bool `name:"json" help:"Write JSON."`
}

func (*statusCmd) Help() string {
	return `Examples:
  andon-lab status
  andon-lab status --json | jq -r .dsn`
}

func (c *statusCmd) Run(ctx context.Context, t terminal) error {
	e, lab, err := c.dial()
	if err != nil {
		return err
	}
	s, err := lab.Status(ctx)
	if err != nil {
		return err
	}
	if c.JSON {
		enc := json.NewEncoder(t.out)
		enc.SetIndent("", "  ")
		return enc.Encode(struct {
			Lab registry.Entry `json:"lab"`
			factory.Status
		}{e, s})
	}
	return writeStatus(t.out, e, s)
}

func writeStatus(out io.Writer, e registry.Entry, s factory.Status) error {
	fmt.Fprintf(out, "%s, up since %s, data in %s\nbroker %s\nDSN    %s\n\n",
		e.Name, e.Started.Format(time.DateTime), s.Data, s.Broker, s.DSN)
	w := tabwriter.NewWriter(out, 0, 8, 2, ' ', 0)
	fmt.Fprintln(w, "PROCESS\tSTATE\tPID\tSTARTS\tHTTP\tLOG")
	for _, p := range s.Processes {
		pid := "-"
		if p.PID != 0 {
			pid = fmt.Sprint(p.PID)
		}
		http := "-"
		if p.HTTP != "" {
			http = "http://" + p.HTTP
		}
		fmt.Fprintf(w, "%s\t%s\t%s\t%d\t%s\t%s\n", p.Name, p.State, pid, p.Starts, http, p.Log)
	}
	fmt.Fprintln(w, "\nCELL\tCABLE\tREADINGS BUFFERED\tCONNECTS TO")
	for _, c := range s.Cells {
		buffered := "unknown"
		if c.Buffered != nil {
			buffered = fmt.Sprint(*c.Buffered)
		}
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\n", c.Name, c.Cable, buffered, c.Addr)
	}
	return w.Flush()
}

type cutCmd struct {
	chosen
	Cell   string `arg:"" help:"The cell, such as cell-01."`
	Silent bool   `xor:"how" help:"Tell neither end: what is sent is gone, as with a pulled plug. Otherwise connections are closed and new ones refused."`
	Deaf   bool   `xor:"how" help:"Only what is sent to the cell is gone, and nobody is told."`
}

func (*cutCmd) Help() string {
	return `Examples:
  andon-lab cut cell-01
  andon-lab cut cell-02 --silent --lab lab2`
}

func (c *cutCmd) Run(ctx context.Context) error {
	_, lab, err := c.dial()
	if err != nil {
		return err
	}
	how := cable.Cut
	switch {
	case c.Silent:
		how = cable.Silent
	case c.Deaf:
		how = cable.Deaf
	}
	return lab.Cut(ctx, c.Cell, how)
}

type healCmd struct {
	chosen
	Cell string `arg:"" help:"The cell, such as cell-01."`
}

func (*healCmd) Help() string { return "Example:\n  andon-lab heal cell-01" }

func (c *healCmd) Run(ctx context.Context) error {
	_, lab, err := c.dial()
	if err != nil {
		return err
	}
	return lab.Heal(ctx, c.Cell)
}

// target is a process of the lab.
type target struct {
	chosen
	Process string `arg:"" help:"postgres, broker, collector or a cell such as cell-01."`
}

type killCmd struct{ target }

func (*killCmd) Help() string { return "Example:\n  andon-lab kill collector" }

func (c *killCmd) Run(ctx context.Context) error {
	_, lab, err := c.dial()
	if err != nil {
		return err
	}
	return lab.Kill(ctx, c.Process)
}

type restartCmd struct{ target }

func (*restartCmd) Help() string { return "Example:\n  andon-lab restart collector" }

func (c *restartCmd) Run(ctx context.Context) error {
	_, lab, err := c.dial()
	if err != nil {
		return err
	}
	return lab.Restart(ctx, c.Process)
}

type downCmd struct{ chosen }

func (*downCmd) Help() string {
	return "Returns when everything has stopped.\n\nExample:\n  andon-lab down --lab lab2"
}

func (c *downCmd) Run(ctx context.Context) error {
	e, lab, err := c.dial()
	if err != nil {
		return err
	}
	if err := lab.Down(ctx); err != nil {
		return err
	}
	for end := time.Now().Add(2 * time.Minute); !registry.Gone(e); {
		if time.Now().After(end) {
			return errors.New("the lab has not ended within two minutes")
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(50 * time.Millisecond):
		}
	}
	return nil
}
