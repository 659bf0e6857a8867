package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"time"

	"andon.internal/agent"
	"andon.internal/agent/inspect"
	"andon.internal/shared/cli"
	"andon.internal/shared/ops"
)

// lookFlags say which agent is looked at.
type lookFlags struct {
	Config string `xor:"which" placeholder:"FILE" help:"The configuration of the agent."`
	Data   string `xor:"which" placeholder:"DIR" help:"Its data folder, where the configuration is not at hand."`
}

func (f *lookFlags) look() (*agent.Look, error) {
	switch {
	case f.Config != "":
		c, err := agent.Load(f.Config)
		if err != nil {
			return nil, err
		}
		return agent.NewLook(&c, "")
	case f.Data != "":
		return agent.NewLook(nil, f.Data)
	}
	return nil, ops.UsageError(errors.New("it is not said which agent"), "give --config FILE or --data DIR")
}

func printJSON(w io.Writer, v any) error {
	e := json.NewEncoder(w)
	e.SetIndent("", "  ")
	return e.Encode(v)
}

type statusCmd struct {
	lookFlags
	JSON bool `name:"json" help:"Print everything as JSON."`
}

// Help is shown below the flags.
func (statusCmd) Help() string {
	return `Asks the agent over a socket in its data folder, as its user or as root. It prints the link
to the broker, what is buffered, the sources, the certificate, the clock, and how long the
card will last. It exits with 0 when all is well, with 1 when there is something to look
at, and with 2 when no agent runs; then it says what its files hold.

  andon-agent status --config /etc/andon/agent.yaml
  andon-agent status --data /var/lib/andon-agent --json`
}

const codeNotRunning = 2

// Run runs the command.
func (k *statusCmd) Run(ctx context.Context, e *cli.Env) error {
	l, err := k.look()
	if err != nil {
		return err
	}
	s, held, err := l.Status(ctx)
	if agent.NoBuffer(err) {
		e.Code = codeNotRunning
	}
	switch {
	case err != nil:
		return err
	case s == nil:
		e.Code = codeNotRunning
		if k.JSON {
			return printJSON(e.Stdout, notRunning{false, held})
		}
		fmt.Fprintf(e.Stdout, "no agent runs with %s; %s\n", held.Data, agent.Summary(held))
		return nil
	}
	if len(s.Troubles) > 0 {
		e.Code = ops.ExitFault
	}
	if k.JSON {
		return printJSON(e.Stdout, running{true, s})
	}
	return s.Text(e.Stdout, time.Now())
}

// running and notRunning are what --json prints.
type running struct {
	Running bool `json:"running"`
	*inspect.Status
}

type notRunning struct {
	Running bool              `json:"running"`
	Files   *inspect.Holdings `json:"files"`
}
