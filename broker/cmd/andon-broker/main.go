// Command andon-broker is the MQTT broker between cells and collector. Everything
// but its command line is in package broker.
package main

import (
	"context"
	"io"
	"os"
	"runtime/debug"

	"github.com/alecthomas/kong"

	"andon.internal/broker"
	"andon.internal/shared/cli"
	"andon.internal/shared/ops"
)

const program = "andon-broker"

// commands is the command line.
type commands struct {
	Run   runCmd   `cmd:"" help:"Run the broker until it is stopped."`
	Check checkCmd `cmd:"" help:"Read a configuration and print what it comes to."`
	CA    caCmd    `cmd:"" name:"ca" help:"A small certificate authority, for plants that have none."`

	Version kong.VersionFlag `help:"Print the version and exit."`
}

func main() { os.Exit(run(os.Args[1:], os.Stdout, os.Stderr)) }

func run(args []string, stdout, stderr io.Writer) int {
	p := cli.Program{
		Name:  program,
		About: "Andon's MQTT broker: carries Sparkplug B between cells and collector, within bounds. It keeps nothing on disk.",
	}
	return p.Run(&commands{}, args, stdout, stderr)
}

// configFlag is the flag of every command.
type configFlag struct {
	Config string `required:"" placeholder:"FILE" help:"The configuration file."`
}

type runCmd struct {
	configFlag
}

// Help is shown below the flags.
func (runCmd) Help() string {
	return `It listens on 127.0.0.1:1883 unless the configuration says otherwise; an empty file
is a valid configuration.

  andon-broker run --config /etc/andon/broker.yaml`
}

// Run runs the command.
func (r *runCmd) Run(ctx context.Context, e *cli.Env) error {
	c, err := broker.Load(r.Config)
	if err != nil {
		return err
	}
	tuneMemory(c.Limits)
	c.Logger = ops.NewLogger(e.Stderr, c.Log)
	b, err := broker.New(c)
	if err != nil {
		return err
	}
	return b.Run(ctx)
}

// tuneMemory lets garbage grow to some ten MiB instead of 4: the library makes four
// copies of each message, and collecting them at every 4 MiB took half of the CPU of
// a stream of 200 KiB messages. The limit keeps the whole within what the queues may
// hold plus half. GOGC and GOMEMLIMIT in the environment go before.
func tuneMemory(l broker.Limits) {
	if os.Getenv("GOGC") == "" {
		debug.SetGCPercent(800)
	}
	if os.Getenv("GOMEMLIMIT") == "" {
		debug.SetMemoryLimit(256<<20 + int64(l.QueueBytes)*3/2)
	}
}

type checkCmd struct {
	configFlag
}

// Help is shown below the flags.
func (checkCmd) Help() string {
	return `Opens no port, so it may be used beside a running broker.

  andon-broker check --config broker.yaml`
}

// Run runs the command.
func (k *checkCmd) Run(e *cli.Env) error {
	c, err := broker.Load(k.Config)
	if err != nil {
		return err
	}
	return c.Print(e.Stdout)
}
