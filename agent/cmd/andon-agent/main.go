// Command andon-agent takes readings at a cell, keeps them until PostgreSQL has
// them, and sends them. Everything but its command line is in package agent.
package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"

	"github.com/alecthomas/kong"

	"andon.internal/agent"
	"andon.internal/shared/cli"
	"andon.internal/shared/ops"
)

const program = "andon-agent"

// commands is the command line.
type commands struct {
	Run   runCmd   `cmd:"" help:"Run the agent until it is stopped."`
	Check checkCmd `cmd:"" help:"Try a configuration: profiles, rules, data folder, sources, broker."`

	Status statusCmd `cmd:"" help:"Say how a running agent is."`
	Buffer bufferCmd `cmd:"" help:"Look into a buffer, also of an agent that does not run; measure a disk."`

	Enroll enrollCmd `cmd:"" help:"Get the cell's certificate for a one-time token."`

	BufferFile bufferFileCmd `cmd:"" hidden:"" name:"look-at-buffer-file" help:"What an agent that starts runs on files that were not closed."`

	Version kong.VersionFlag `help:"Print the version and exit."`
}

func main() { os.Exit(run(os.Args[1:], os.Stdout, os.Stderr)) }

func run(args []string, stdout, stderr io.Writer) int {
	p := cli.Program{
		Name:  program,
		About: "The cell side of Andon: takes readings and keeps each until the plant's database has committed it.",
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
	return `Broker, collector and sources may be away: they are waited for, and readings are
kept. A stop takes some seconds: what is on its way is still acknowledged, the rest
is written to disk. SIGHUP reads the configuration and the profiles anew: every fault is
told and the agent goes on as before, or they take over, as by a restart. The name of the
cell and its data folder stay.

  andon-agent run --config /etc/andon/agent.yaml`
}

// Run runs the command.
func (r *runCmd) Run(ctx context.Context, e *cli.Env) error {
	hangup := make(chan os.Signal, 1)
	signal.Notify(hangup, syscall.SIGHUP)
	defer signal.Stop(hangup)
	return agent.Serve(ctx, r.Config, hangup, func(c *agent.Config) {
		c.Logger = ops.NewLogger(e.Stderr, c.Log)
		c.BufferChild = bufferChild()
	})
}

// bufferChild is the command line of this very program, also where another version lies
// under its name by now.
func bufferChild() []string {
	self := "/proc/self/exe"
	if _, err := os.Stat(self); err != nil {
		if self, err = os.Executable(); err != nil {
			return nil
		}
	}
	return []string{self, "look-at-buffer-file"}
}

type checkCmd struct {
	configFlag
}

// Help is shown below the flags.
func (checkCmd) Help() string {
	return `Reads the configuration, loads profiles and rules, opens the sources once and connects to
the broker. It changes nothing and may be used beside a running agent. It exits
with 1 when something is wrong, and with 2 when it is the configuration itself.

  andon-agent check --config agent.yaml`
}

// Run runs the command.
func (k *checkCmd) Run(ctx context.Context, e *cli.Env) error {
	c, err := agent.Load(k.Config)
	if err != nil {
		return err
	}
	c.Logger = ops.NewLogger(e.Stderr, c.Log)
	found, err := agent.Check(ctx, c)
	if err != nil {
		return err
	}
	for _, f := range found {
		result := "ok: " + f.Note
		if f.Err != nil {
			result = "FAULT: " + f.Err.Error()
		}
		fmt.Fprintf(e.Stdout, "%-16s %s\n", f.Name, result)
	}
	return agent.Failed(found)
}
