// Command andon-collector takes what cells send over MQTT and brings it into
// PostgreSQL. Everything but its command line is in package collector.
package main

import (
	"context"
	"fmt"
	"io"
	"os"

	"github.com/alecthomas/kong"

	"andon.internal/shared/ops"
)

const program = "andon-collector"

// cli is the command line.
type cli struct {
	Run     runCmd     `cmd:"" help:"Run the collector until it is stopped."`
	Migrate migrateCmd `cmd:"" help:"Prepare or upgrade the database."`
	Watch   watchCmd   `cmd:"" help:"Print live MQTT traffic, decoded."`
	Audit   auditCmd   `cmd:"" help:"Account for every position and reading: stored, lost, missing, repeated."`
	Rules   rulesCmd   `cmd:"" help:"Check the rules of alarms."`
	Check   checkCmd   `cmd:"" help:"Try a configuration: profiles, broker, database."`
	Health  healthCmd  `cmd:"" help:"One look at the whole plant: exit 0 healthy, 1 degraded, 2 down."`

	Version kong.VersionFlag `help:"Print the version and exit."`
}

func main() { os.Exit(run(os.Args[1:], os.Stdout, os.Stderr)) }

// env is what a command works with.
type env struct {
	ctx            context.Context
	stdout, stderr io.Writer
	code           int // to exit with, where the command worked and found fault
}

func run(args []string, stdout, stderr io.Writer) int {
	var c cli
	parser, err := kong.New(&c,
		kong.Name(program),
		kong.Description("The plant side of Andon: takes telemetry from cells over MQTT into PostgreSQL, exactly once in effect."),
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
	e := &env{stdout: stdout, stderr: stderr}
	code := ops.Main(program, stderr, func(ctx context.Context) error {
		e.ctx = ctx
		return command.Run(e)
	})
	return max(code, e.code)
}
