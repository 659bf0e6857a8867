// Command andon-lab is the factory in a box: it starts everything, pulls cables,
// kills processes, proves that nothing is lost or doubled, and measures.
package main

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"os"

	"github.com/alecthomas/kong"

	"andon.internal/shared/cli"
)

const program = "andon-lab"

const about = `The factory in a box: PostgreSQL, broker, collector and cells as their real binaries,
with a cable between every cell and the broker.

Examples:
  andon-lab up                          three cells of simulated dynos, until Ctrl-C
  andon-lab cut cell-01                 pull the cable of a cell of the running lab
  andon-lab verify --replay FILE --faults   prove that nothing is lost or doubled
  andon-lab chaos --seed 7              break everything, many faults at a time (root)
  andon-lab bench path                  measure from the reading to the committed row
  andon-lab bench alarms                measure from the deciding reading to the page
  andon-lab bench attacks               measure what attacks on the broker do to honest cells
  andon-lab bench buffer                measure what the buffer makes durable beside a plain file`

type commands struct {
	Version kong.VersionFlag `help:"Print the version and exit."`

	Up      upCmd      `cmd:"" help:"Start a lab and keep it up until Ctrl-C or down."`
	Status  statusCmd  `cmd:"" help:"Show processes, addresses and cables of a running lab."`
	Cut     cutCmd     `cmd:"" help:"Cut the cable of a cell."`
	Heal    healCmd    `cmd:"" help:"Mend the cable of a cell."`
	Kill    killCmd    `cmd:"" help:"Kill a process with SIGKILL; it stays down until restart."`
	Restart restartCmd `cmd:"" help:"Start a process that is down, or stop and start one that runs."`
	Inject  injectCmd  `cmd:"" help:"Give a simulated machine a fault."`
	Stop    stopCmd    `cmd:"" help:"Stop a simulated machine."`
	Release releaseCmd `cmd:"" help:"Let a stopped machine run again."`
	Down    downCmd    `cmd:"" help:"Stop a running lab."`

	Generate generateCmd `cmd:"" help:"Write a file in C-MAPSS form."`
	Verify   verifyCmd   `cmd:"" help:"Send a whole file through and compare every line with PostgreSQL."`
	Bench    struct {
		Path    benchPathCmd    `cmd:"" help:"Measure the path from a reading to its committed row."`
		Attacks benchAttacksCmd `cmd:"" help:"Attack the broker, and measure what honest cells feel of it."`
		Buffer  benchBufferCmd  `cmd:"" help:"Measure what the buffer makes durable on a disk, beside a plain file."`
		Drain   benchDrainCmd   `cmd:"" help:"Measure what fresh readings feel of a backlog that comes home."`
		Flash   benchFlashCmd   `cmd:"" help:"Measure what is written to the disk while the link is healthy."`
		Jitter  benchJitterCmd  `cmd:"" help:"Measure how late readings are taken while the disk or the network is ill."`
		Memory  benchMemoryCmd  `cmd:"" help:"Measure what an agent takes of memory with ten million readings buffered."`
		Alarms  benchAlarmsCmd  `cmd:"" help:"Measure the path from the reading that decides an alarm to the page."`
	} `cmd:"" help:"Measure."`
	Chaos       chaosCmd       `cmd:"" help:"Break a factory in every way, as root, and prove that nothing is lost or doubled."`
	Screenshots screenshotsCmd `cmd:"" help:"Take the pictures of the documentation."`
}

// terminal is what commands write to.
type terminal struct {
	out, err io.Writer
}

// logger writes what happens in the lab for people.
func (t terminal) logger() *slog.Logger {
	return slog.New(slog.NewTextHandler(t.err, &slog.HandlerOptions{
		ReplaceAttr: func(_ []string, a slog.Attr) slog.Attr {
			if a.Key == slog.TimeKey {
				return slog.String(a.Key, a.Value.Time().Format("15:04:05.000"))
			}
			return a
		},
	}))
}

func main() {
	p := cli.Program{
		Name:  program,
		About: about,
		Help:  kong.HelpOptions{FlagsLast: true, WrapUpperBound: 100},
		Hint:  func(command string) string { return "see: " + command + " --help" },
	}
	os.Exit(p.Run(&commands{}, os.Args[1:], os.Stdout, os.Stderr, terminal{os.Stdout, os.Stderr}))
}

// interrupted makes an end by signal a failure: a measurement or a proof that was
// cut short has not succeeded.
func interrupted(ctx context.Context, err error) error {
	if err != nil && ctx.Err() != nil {
		return errors.New("interrupted")
	}
	return err
}
