package main

import (
	"encoding/json"
	"fmt"
	"io"

	"andon.internal/lab/bench"
)

// benchFlags is what every bench command takes.
type benchFlags struct {
	JSON  bool `name:"json" help:"Write JSON."`
	Short bool `help:"A fraction of the work: to see that it runs, not to quote."`
}

// write writes a report: as JSON, or as figures does.
func (f *benchFlags) write(out io.Writer, report any, figures func() error) error {
	if !f.JSON {
		return figures()
	}
	enc := json.NewEncoder(out)
	enc.SetIndent("", "  ")
	return enc.Encode(report)
}

// benchFactoryFlags is what a bench command takes that starts a factory.
type benchFactoryFlags struct {
	benchFlags
	binaries
}

func (f *benchFactoryFlags) options(t terminal) bench.Options {
	return bench.Options{Short: f.Short, Bin: f.Bin, PgBin: f.PgBin, Logger: t.logger()}
}

// writeMachine writes what figures were measured on.
func writeMachine(out io.Writer, m *bench.Machine, short bool) {
	fmt.Fprintf(out, "%d cores (%s), %.1f GiB, Linux %s, %s", m.Cores, m.CPU, m.MemoryGiB, m.Kernel, m.Go)
	if m.PostgreSQL != "" {
		fmt.Fprintf(out, ", PostgreSQL %s", m.PostgreSQL)
	}
	fmt.Fprintln(out)
	fmt.Fprintf(out, "load before the start: %s\n", m.Load)
	if short {
		fmt.Fprintln(out, "short form: these figures are not for quoting")
	}
}

func verdict(ok bool) string {
	if ok {
		return "met"
	}
	return "MISSED"
}
