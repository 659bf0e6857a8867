package cli_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"regexp"
	"strings"
	"syscall"
	"testing"

	"github.com/alecthomas/kong"
	"go.uber.org/goleak"

	"andon.internal/shared/cli"
	"andon.internal/shared/ops"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// press is something that a program binds for its commands.
type press struct{ name string }

type commands struct {
	Show showCmd `cmd:"" help:"Say what there is."`
	Fail failCmd `cmd:"" help:"End as it is told."`
	Deep struct {
		Wait waitCmd `cmd:"" help:"Wait for a signal."`
	} `cmd:"" help:"What lies deeper."`

	Broken  brokenFlag       `help:"Panic while the command line is read."`
	Version kong.VersionFlag `help:"Print the version and exit."`
}

type brokenFlag bool

func (brokenFlag) BeforeApply() error { panic("as told") }

type showCmd struct {
	Loud bool `help:"In capitals."`
}

func (s *showCmd) Run(ctx context.Context, e *cli.Env, p press) error {
	text := p.name
	if s.Loud {
		text = strings.ToUpper(text)
	}
	_, err := fmt.Fprintln(e.Stdout, text)
	return errors.Join(err, ctx.Err())
}

type failCmd struct {
	Code  int    `help:"Found fault."`
	With  string `help:"Fail with this error."`
	Panic bool   `help:"Panic."`
}

func (f *failCmd) Run(e *cli.Env) error {
	e.Code = f.Code
	if f.Panic {
		panic("as told")
	}
	if f.With != "" {
		return ops.Hint(errors.New(f.With), "do not ask for it")
	}
	return nil
}

type waitCmd struct{}

func (waitCmd) Run(ctx context.Context, e *cli.Env) error {
	e.Code = 7
	if err := syscall.Kill(syscall.Getpid(), syscall.SIGTERM); err != nil {
		return err
	}
	<-ctx.Done()
	return ctx.Err()
}

func TestRun(t *testing.T) {
	plain := cli.Program{Name: "andon-test", About: "Tests the command line."}
	hinted := plain
	hinted.Hint = func(command string) string { return "see: " + command + " --help" }
	tests := []struct {
		program     cli.Program
		args        string
		code        int
		out, errors string // what they contain; nothing where it is empty
	}{
		{plain, "show", 0, "press-1\n", ""},
		{plain, "show --loud", 0, "PRESS-1\n", ""},
		{plain, "--help", 0, "Tests the command line.", ""},
		{plain, "show --help", 0, "In capitals.", ""},
		{plain, "deep wait --help", 0, "Wait for a signal.", ""},
		{plain, "--version", 0, "andon-test " + ops.Version() + " ", ""},
		{plain, "show --version", 0, "andon-test " + ops.Version() + " ", ""},
		{plain, "", 2, "", "andon-test: expected one of \"show\", \"fail\", \"deep\"\nhint: andon-test --help shows the commands and their flags\n"},
		{plain, "show --no-such", 2, "", "andon-test: unknown flag --no-such\nhint: andon-test --help shows the commands and their flags\n"},
		{hinted, "", 2, "", "hint: see: andon-test --help\n"},
		{hinted, "deep wait --no-such", 2, "", "hint: see: andon-test deep wait --help\n"},
		{plain, "fail", 0, "", ""},
		{plain, "fail --with=rust", 1, "", "andon-test: rust\nhint: do not ask for it\n"},
		{plain, "fail --code=1", 1, "", ""},
		{plain, "fail --code=2 --with=rust", 2, "", "andon-test: rust\n"},
		{plain, "deep wait", 7, "", ""}, // a signal is no error, but nothing was found out
	}
	for _, tt := range tests {
		t.Run(tt.args, func(t *testing.T) {
			var out, errs bytes.Buffer
			code := tt.program.Run(&commands{}, strings.Fields(tt.args), &out, &errs, press{"press-1"})
			if code != tt.code || !says(out.String(), tt.out) || !says(errs.String(), tt.errors) {
				t.Errorf("code %d, out %q, errors %q; want %d, %q, %q", code, out.String(), errs.String(), tt.code, tt.out, tt.errors)
			}
		})
	}
}

func says(text, want string) bool {
	return strings.Contains(text, want) && (text == "") == (want == "")
}

func TestHelpIsLaidOutAsTold(t *testing.T) {
	var narrow, wide bytes.Buffer
	p := cli.Program{Name: "andon-test", About: strings.Repeat("word ", 40)}
	p.Help.WrapUpperBound = 40
	p.Run(&commands{}, []string{"--help"}, &narrow, &narrow)
	p.Help.WrapUpperBound = 80
	p.Run(&commands{}, []string{"--help"}, &wide, &wide)
	if n, w := strings.Count(narrow.String(), "\n"), strings.Count(wide.String(), "\n"); n <= w {
		t.Errorf("%d lines narrow, %d wide", n, w)
	}
	if !regexp.MustCompile(`  show +Say what there is`).Match(wide.Bytes()) {
		t.Errorf("it is not compact:\n%s", wide.String())
	}
}

func TestPanicsStay(t *testing.T) {
	for _, args := range []string{"fail --panic", "fail --broken"} {
		t.Run(args, func(t *testing.T) {
			defer func() {
				if r := recover(); r != "as told" {
					t.Errorf("recovered %v", r)
				}
			}()
			cli.Program{Name: "andon-test"}.Run(&commands{}, strings.Fields(args), io.Discard, io.Discard)
		})
	}
}

func TestCommandsThatCannotBeBuilt(t *testing.T) {
	var errs bytes.Buffer
	code := cli.Program{Name: "andon-test"}.Run(&struct {
		A chan int
	}{}, nil, &errs, &errs)
	if code != 1 || !strings.HasPrefix(errs.String(), "andon-test: build command line: ") {
		t.Errorf("code %d, %s", code, errs.String())
	}
}
