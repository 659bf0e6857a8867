package main

import (
	"context"
	"fmt"

	"andon.internal/lab/bench"
)

type benchBufferCmd struct {
	benchFlags
	Dir  string `placeholder:"DIR" help:"A folder on the disk that is measured, with room for 2 GiB, 3 GiB with --mbps; by default that for temporary files."`
	MBps *int   `name:"mbps" placeholder:"N" help:"Make a disk there that writes N MB a second, as an edge box has one, and measure that: a loop device, as root, where cgroup v1 bounds block devices."`
	Bin  string `placeholder:"DIR" help:"Where the binaries are; by default beside this one."`
}

func (*benchBufferCmd) Help() string {
	return `Has the agent's binary measure its buffer on a disk (andon-agent buffer bench): the bytes and
records that are durable in a second beside a plain file with append and fdatasync that gets the same
batches in the same run, in turn, as medians of seven rounds; and the bytes written to the disk for a
byte of records that nobody acknowledges, with write: behind and ahead. Takes about two minutes, on a slow disk longer.

Examples:
  andon-lab bench buffer
  andon-lab bench buffer --dir /mnt/card
  sudo andon-lab bench buffer --mbps 100
  andon-lab bench buffer --short --json`
}

func (c *benchBufferCmd) Run(ctx context.Context, t terminal) error {
	mbps := 0
	if c.MBps != nil {
		if mbps = *c.MBps; mbps < 1 {
			return fmt.Errorf("--mbps=%d: a disk writes 1 MB a second at least; leave it out for the disk as it is", mbps)
		}
	}
	r, err := bench.Buffer(ctx, bench.Options{Short: c.Short, Bin: c.Bin}, c.Dir, mbps, c.JSON)
	if err != nil {
		return interrupted(ctx, err)
	}
	return c.write(t.out, r, func() error {
		writeMachine(t.out, &r.Machine, false)
		bound := ""
		if r.MBps > 0 {
			bound = fmt.Sprintf(", bounded to %d MB/s", r.MBps)
		}
		_, err := fmt.Fprintf(t.out, "disk: %s, %s%s\n\n%s", r.Dir, r.Disk, bound, r.Text)
		return err
	})
}
