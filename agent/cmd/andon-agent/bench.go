package main

import (
	"context"

	"andon.internal/agent/bench"
	"andon.internal/shared/cli"
)

type bufferBenchCmd struct {
	Dir   string `required:"" placeholder:"DIR" help:"A folder on the disk that is measured, with room for 2 GiB."`
	Short bool   `help:"A fraction of the work: to see that it runs, not to quote."`
	JSON  bool   `name:"json" help:"Print the figures as JSON."`
}

// Help is shown below the flags.
func (bufferBenchCmd) Help() string {
	return `Measures what a disk bears, in a folder of its own that it removes; it writes some GB. First
the records that the buffer makes durable in a second beside a plain file (append, fdatasync) that
gets the same batches in turn, as medians of seven rounds: as fast as the buffer takes them, and
one batch after the other. Then the bytes that the disk writes for a byte of records that nobody
acknowledges. What others write to the disk meanwhile counts too. Takes about two minutes.

  andon-agent buffer bench --dir /var/lib/andon-agent`
}

// Run runs the command.
func (k *bufferBenchCmd) Run(ctx context.Context, e *cli.Env) error {
	r, err := bench.Run(ctx, bench.Options{Dir: k.Dir, Short: k.Short})
	if err != nil {
		return err
	}
	if k.JSON {
		return printJSON(e.Stdout, r)
	}
	return r.Text(e.Stdout)
}
