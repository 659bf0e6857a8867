// Command andon-agent takes readings at a cell, keeps them until PostgreSQL has
// them, and sends them. Everything but its command line is in package agent.
package main

import (
	"context"
	"fmt"
	"io"
	"os"

	"github.com/alecthomas/kong"

	"andon.internal/agent"
	"andon.internal/shared/ops"
)

const program = "andon-agent"

// cli is the command line.
type cli struct {
	Run   runCmd   `cmd:"" help:"Run the agent until it is stopped."`
	Check checkCmd `cmd:"" help:"Try a configuration: profiles, data folder, sources, broker."`

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
		kong.Description("The cell side of Andon: takes readings and keeps each until the plant's database has committed it."),
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
	return `Broker, collector and sources may be away: they are waited for, and readings are
kept. A stop takes some seconds: what is on its way is still acknowledged, the rest
is written to disk.

  andon-agent run --config /etc/andon/agent.yaml`
}

// Run runs the command.
func (r *runCmd) Run(e *env) error {
	c, err := agent.Load(r.Config)
	if err != nil {
		return err
	}
	c.Logger = ops.NewLogger(e.stderr, c.Log)
	a, err := agent.New(c)
	if err != nil {
		return err
	}
	return a.Run(e.ctx)
}

type checkCmd struct {
	configFlag
}

// Help is shown below the flags.
func (checkCmd) Help() string {
	return `Reads the configuration, loads the profiles, opens the sources once and connects to
the broker. It changes nothing and may be used beside a running agent. It exits
with 1 when something is wrong, and with 2 when it is the configuration itself.

  andon-agent check --config agent.yaml`
}

// Run runs the command.
func (k *checkCmd) Run(e *env) error {
	c, err := agent.Load(k.Config)
	if err != nil {
		return err
	}
	c.Logger = ops.NewLogger(e.stderr, c.Log)
	found, err := agent.Check(e.ctx, c)
	if err != nil {
		return err
	}
	for _, f := range found {
		result := "ok: " + f.Note
		if f.Err != nil {
			result = "FAULT: " + f.Err.Error()
		}
		fmt.Fprintf(e.stdout, "%-16s %s\n", f.Name, result)
	}
	return agent.Failed(found)
}
