// Command andon-collector takes what cells send over MQTT and brings it into
// PostgreSQL. Everything but its command line is in package collector.
package main

import (
	"io"
	"os"

	"github.com/alecthomas/kong"

	"andon.internal/shared/cli"
)

const program = "andon-collector"

// commands is the command line.
type commands struct {
	Run     runCmd     `cmd:"" help:"Run the collector until it is stopped."`
	Migrate migrateCmd `cmd:"" help:"Prepare or upgrade the database."`
	Watch   watchCmd   `cmd:"" help:"Print live MQTT traffic, decoded."`
	Audit   auditCmd   `cmd:"" help:"Account for every position and reading: stored, lost, missing, repeated; or see and verify who did what."`
	Rules   rulesCmd   `cmd:"" help:"The rules by which alarms are raised."`
	Check   checkCmd   `cmd:"" help:"Try a configuration: profiles, rules, broker, database."`
	Health  healthCmd  `cmd:"" help:"One look at the whole plant: exit 0 healthy, 1 degraded, 2 down."`
	User    userCmd    `cmd:"" help:"Who may log in at the command center."`
	Token   tokenCmd   `cmd:"" help:"What programs use the API of the command center with."`

	Version kong.VersionFlag `help:"Print the version and exit."`
}

func main() { os.Exit(run(os.Args[1:], os.Stdout, os.Stderr)) }

func run(args []string, stdout, stderr io.Writer) int {
	p := cli.Program{
		Name:  program,
		About: "The plant side of Andon: takes telemetry from cells over MQTT into PostgreSQL, exactly once in effect.",
	}
	return p.Run(&commands{}, args, stdout, stderr)
}
