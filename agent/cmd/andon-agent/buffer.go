package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	"andon.internal/agent/buffer"
	"andon.internal/agent/inspect"
	"andon.internal/shared/cli"
	"andon.internal/shared/ops"
)

type bufferCmd struct {
	Ls     bufferLsCmd     `cmd:"" help:"List what it holds: epochs, files, losses, and how long the card lasts."`
	Verify bufferVerifyCmd `cmd:"" help:"Read every record and say what is damaged."`
	Export bufferExportCmd `cmd:"" help:"Write the readings that it holds as CSV or JSON lines."`
	Bench  bufferBenchCmd  `cmd:"" help:"Measure what a disk bears: durable records a second, bytes written for a byte stored."`
}

// Help is shown below the flags.
func (bufferCmd) Help() string {
	return `An agent that runs is asked over a socket in its data folder. It reads a few records at
a time and rests four times as long, so that neither its sources nor its link wait. The
files of one that does not run are read as they are: nothing is made, changed or locked,
any number may read at once, and an agent may start meanwhile, which ends the command.`
}

type bufferFileCmd struct{}

// Run runs the command.
func (bufferFileCmd) Run(_ context.Context, e *cli.Env) error {
	return buffer.Child(os.Stdin, e.Stdout)
}

type bufferLsCmd struct {
	lookFlags
	JSON bool `name:"json" help:"Print everything as JSON."`
}

// Help is shown below the flags.
func (bufferLsCmd) Help() string {
	return `Prints each start of an agent (epoch) and the positions that are held of it, each file,
the losses that wait to be told, how far rereadable sources were read, files that were set
aside as damaged, and what was written to the card.

  andon-agent buffer ls --config /etc/andon/agent.yaml
  andon-agent buffer ls --data /mnt/card/var/lib/andon-agent --json`
}

// Run runs the command.
func (k *bufferLsCmd) Run(ctx context.Context, e *cli.Env) error {
	l, err := k.look()
	if err != nil {
		return err
	}
	h, err := l.Holdings(ctx)
	if err != nil {
		return err
	}
	if len(h.Faults) > 0 {
		e.Code = ops.ExitFault
	}
	for _, f := range h.Files {
		if f.Error != "" {
			e.Code = ops.ExitFault
		}
	}
	if k.JSON {
		return printJSON(e.Stdout, h)
	}
	return h.Text(e.Stdout)
}

type bufferVerifyCmd struct {
	lookFlags
	JSON bool `name:"json" help:"Print the result as JSON."`
}

// Help is shown below the flags.
func (bufferVerifyCmd) Help() string {
	return `Reads every record and checks its checksum, its form, its name and the counts of the
files. It prints what is damaged with file and position, and exits with 1 then. Of an agent
that runs the records are checked, and it takes no more than a fifth of a processor; the
agent itself tells the plant what it cannot read when its turn comes.

  andon-agent buffer verify --config /etc/andon/agent.yaml`
}

// maxDamages is how much is listed as JSON; all of it is counted.
const maxDamages = 1000

// Run runs the command.
func (k *bufferVerifyCmd) Run(ctx context.Context, e *cli.Env) error {
	l, err := k.look()
	if err != nil {
		return err
	}
	out := struct {
		inspect.Tally
		Damaged int              `json:"damaged"`
		Damages []inspect.Damage `json:"damages"`
	}{Damages: []inspect.Damage{}}
	out.Tally, err = l.Verify(ctx, func(d inspect.Damage) error {
		if out.Damaged++; k.JSON && len(out.Damages) < maxDamages {
			out.Damages = append(out.Damages, d)
		} else if !k.JSON {
			fmt.Fprintln(e.Stdout, "DAMAGED:", d.Text())
		}
		return nil
	})
	if err != nil {
		return err
	}
	if k.JSON {
		err = printJSON(e.Stdout, out)
	} else {
		fmt.Fprintf(e.Stdout, "%d records with %d readings (%d bytes, %d of the records tell losses) read back, %d places do not\n",
			out.Records, out.Readings, out.Bytes, out.Losses, out.Damaged)
	}
	if out.Damaged > 0 {
		return errors.Join(err, damagedError(out.Damaged))
	}
	return err
}

func damagedError(n int) error {
	return ops.Hint(fmt.Errorf("%d places do not read back", n),
		"an agent that runs tells the plant what was lost there, and reads all the rest; look at the card")
}

type bufferExportCmd struct {
	lookFlags
	Format string    `enum:"csv,json" default:"csv" help:"csv: a line a reading, a column a signal. json: an object a line."`
	Unit   string    `placeholder:"ID" help:"Only readings of this unit."`
	From   time.Time `placeholder:"TIME" help:"Only readings of this time and later, such as 2026-01-02T03:04:05Z."`
	To     time.Time `placeholder:"TIME" help:"Only readings before this time."`
	Output string    `short:"o" placeholder:"FILE" help:"Where they go; by default standard output."`
}

// Help is shown below the flags.
func (bufferExportCmd) Help() string {
	return `Rescues the readings of a box by hand: those that it holds because the plant has not
committed them yet, each with epoch, position, row, unit, birth of its run, time, quality
and its values by the names of the signals. What a crash kept the agent from deleting is
among them, so some may be in the database already: there epoch and position name the same.

What does not read back is passed over and told, and the exit code is 1 then. FILE is there
only when it is complete, and a file that is there already stays.

  andon-agent buffer export --config agent.yaml --unit dyno-03 --from 2026-01-02T00:00:00Z -o dyno-03.csv
  andon-agent buffer export --data /mnt/card/var/lib/andon-agent --format json | gzip > rescued.json.gz`
}

// Run runs the command.
func (k *bufferExportCmd) Run(ctx context.Context, e *cli.Env) (err error) {
	l, err := k.look()
	if err != nil {
		return err
	}
	out := e.Stdout
	if k.Output != "" {
		file, ferr := newOutput(k.Output)
		if ferr != nil {
			return ferr
		}
		defer func() { err = errors.Join(err, file.finish(err == nil)) }()
		out = file
	}
	damaged := 0
	t, err := l.Export(ctx, k.Format, inspect.Filter{Unit: k.Unit, From: k.From, To: k.To}, out, func(d inspect.Damage) error {
		damaged++
		fmt.Fprintln(e.Stderr, "DAMAGED:", d.Text())
		return nil
	})
	if err != nil {
		return err
	}
	fmt.Fprintf(e.Stderr, "%d readings of %d records exported\n", t.Readings, t.Records)
	if t.Unknown > 0 {
		fmt.Fprintf(e.Stderr, "NOT EXPORTED: %d records: %s\n", t.Unknown, t.Why)
	}
	if damaged > 0 || t.Unknown > 0 {
		e.Code = ops.ExitFault
	}
	return nil
}

// output is a file that takes its name when it is complete.
type output struct {
	*os.File
	path string
}

func newOutput(path string) (*output, error) {
	if _, err := os.Lstat(path); err == nil {
		return nil, ops.UsageError(fmt.Errorf("%s is there already", path), "give another --output, or move it away")
	}
	f, err := os.OpenFile(path+".part", os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return nil, fmt.Errorf("export: %w", err)
	}
	return &output{f, path}, nil
}

func (o *output) finish(complete bool) error {
	if !complete {
		return errors.Join(o.Close(), os.Remove(o.Name()))
	}
	err := errors.Join(o.Sync(), o.Close())
	if err == nil {
		err = os.Rename(o.Name(), o.path)
	}
	if err != nil {
		return fmt.Errorf("export: %w", err)
	}
	return nil
}
