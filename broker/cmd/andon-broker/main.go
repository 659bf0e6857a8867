// Command andon-broker is the MQTT broker between cells and collector. Everything
// but its command line is in package broker.
package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"runtime/debug"

	"github.com/alecthomas/kong"

	"andon.internal/broker"
	"andon.internal/shared/ops"
)

const program = "andon-broker"

// cli is the command line.
type cli struct {
	Run   runCmd   `cmd:"" help:"Run the broker until it is stopped."`
	Check checkCmd `cmd:"" help:"Read a configuration and print what it comes to."`

	Version kong.VersionFlag `help:"Print the version and exit."`
}

func main() { os.Exit(run(os.Args[1:], os.Stdout, os.Stderr)) }

// env is what a command works with.
type env struct {
	ctx            context.Context
	stdout, stderr io.Writer
}

func run(args []string, stdout, stderr io.Writer) int {
	var c cli
	parser, err := kong.New(&c,
		kong.Name(program),
		kong.Description("Andon's MQTT broker: carries Sparkplug B between cells and collector, within bounds. It keeps nothing on disk."),
		kong.Vars{"version": program + " " + ops.BuildInfo().String()},
		kong.Writers(stdout, stderr),
		kong.ConfigureHelp(kong.HelpOptions{Compact: true}),
	)
	if err != nil {
		return ops.Report(program, stderr, fmt.Errorf("build command line: %w", err))
	}
	command, err := parser.Parse(args)
	if err != nil {
		return ops.Report(program, stderr, ops.UsageError(err, program+" --help shows the commands and their flags"))
	}
	return ops.Main(program, stderr, func(ctx context.Context) error {
		return command.Run(&env{ctx, stdout, stderr})
	})
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
func (r *runCmd) Run(e *env) error {
	c, err := broker.Load(r.Config)
	if err != nil {
		return err
	}
	tuneMemory(c.Limits)
	c.Logger = ops.NewLogger(e.stderr, c.Log)
	b, err := broker.New(c)
	if err != nil {
		return err
	}
	return b.Run(e.ctx)
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
func (k *checkCmd) Run(e *env) error {
	c, err := broker.Load(k.Config)
	if err != nil {
		return err
	}
	return c.Print(e.stdout)
}
