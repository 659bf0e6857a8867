// Package cli is the command line of a program: it parses the arguments, answers
// --help and --version, runs the command that was chosen and returns the exit code.
//
// It stands before the flow: only the folders cmd/ know it, and what it hands to their
// commands are values. It promises that nothing in it ends the process but a second
// signal (see [ops.Main]), that a wrong command line exits with [ops.ExitUsage] and a
// hint, and that a panic of a command stays one.
package cli

import (
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/alecthomas/kong"

	"andon.internal/shared/ops"
)

// Program is how a program presents itself.
type Program struct {
	Name  string           // such as "andon-agent"
	About string           // the first words of its help
	Help  kong.HelpOptions // how help is laid out; it is always compact
	// Hint is told with a mistake in the command line. command is as far as it was
	// understood, such as "andon-lab bench path". Default: where the commands are shown.
	Hint func(command string) string
}

// Env is what a command works with.
type Env struct {
	Stdout, Stderr io.Writer
	// Code is what to exit with where a command found fault without failing, or is cut
	// short by a signal; that of an error goes before when it is higher.
	Code int
}

// Run runs the command that args name and returns the exit code, for os.Exit. commands
// points to a struct in kong's form: its Run method may have parameters of the types
// [context.Context], which ends at the first signal, *[Env], and those of bindings.
func (p Program) Run(commands any, args []string, stdout, stderr io.Writer, bindings ...any) int {
	chosen, err := p.parse(commands, args, stdout, stderr)
	if err != nil || chosen == nil {
		return ops.Report(p.Name, stderr, err)
	}
	env := &Env{Stdout: stdout, Stderr: stderr}
	code := ops.Main(p.Name, stderr, func(ctx context.Context) error {
		chosen.BindTo(ctx, (*context.Context)(nil))
		return chosen.Run(append([]any{env}, bindings...)...)
	})
	return max(code, env.Code)
}

// answered is the panic that leaves kong's parser behind --help and --version.
type answered struct{}

// parse returns the command that args name, or nil when all is said.
func (p Program) parse(commands any, args []string, stdout, stderr io.Writer) (chosen *kong.Context, err error) {
	defer func() {
		if r := recover(); r != nil && r != (answered{}) {
			panic(r)
		}
	}()
	p.Help.Compact = true
	parser, err := kong.New(commands,
		kong.Name(p.Name),
		kong.Description(p.About),
		kong.Vars{"version": p.Name + " " + ops.BuildInfo().String()},
		kong.Writers(stdout, stderr),
		kong.ConfigureHelp(p.Help),
		kong.Exit(func(int) { panic(answered{}) }),
	)
	if err != nil {
		return nil, fmt.Errorf("build command line: %w", err)
	}
	if chosen, err = parser.Parse(args); err != nil {
		return nil, ops.UsageError(err, p.hint(err))
	}
	return chosen, nil
}

func (p Program) hint(err error) string {
	if p.Hint == nil {
		return p.Name + " --help shows the commands and their flags"
	}
	var wrong *kong.ParseError
	if errors.As(err, &wrong) && wrong.Context != nil && wrong.Context.Selected() != nil {
		return p.Hint(p.Name + " " + wrong.Context.Selected().Path())
	}
	return p.Hint(p.Name)
}
