package main

import (
	"context"
	"fmt"

	"andon.internal/lab/bench"
)

type benchBufferCmd struct {
	benchFlags
	Dir string `placeholder:"DIR" help:"A folder on the disk that is measured, with room for 2 GiB; by default that for temporary files."`
	Bin string `placeholder:"DIR" help:"Where the binaries are; by default beside this one."`
}

func (*benchBufferCmd) Help() string {
	return `Has the agent's binary measure its buffer on a disk (andon-agent buffer bench): the bytes and
records that are durable in a second beside a plain file with append and fdatasync that gets the same
batches in the same run, in turn, as medians of seven rounds; and the bytes written to the disk for a
byte of records that nobody acknowledges, with write: behind and ahead. Takes about two minutes.

Examples:
  andon-lab bench buffer
  andon-lab bench buffer --dir /mnt/card
  andon-lab bench buffer --short --json`
}

func (c *benchBufferCmd) Run(ctx context.Context, t terminal) error {
	r, err := bench.Buffer(ctx, bench.Options{Short: c.Short, Bin: c.Bin}, c.Dir, c.JSON)
	if err != nil {
		return interrupted(ctx, err)
	}
	return c.write(t.out, r, func() error {
		writeMachine(t.out, &r.Machine, false)
		_, err := fmt.Fprintf(t.out, "disk: %s, %s\n\n%s", r.Dir, r.Disk, r.Text)
		return err
	})
}
