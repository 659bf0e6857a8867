package main

import (
	"fmt"
	"strings"

	"andon.internal/collector"
	"andon.internal/shared/cli"
)

type rulesCmd struct {
	Check rulesCheckCmd `cmd:"" help:"Check a rule file."`
}

type rulesCheckCmd struct {
	File   string `arg:"" help:"The rule file."`
	Config string `placeholder:"FILE" help:"Take profiles beside the built-in ones from this configuration."`
}

// Help is shown below the flags.
func (rulesCheckCmd) Help() string {
	return `Reads a rule file as the collector does and names every fault with its line: unknown
signals, functions and names too. It exits with 2 when something is wrong with one of the files, and with
1 when the rule file cannot be read.

  andon-collector rules check my-rules.yaml
  andon-collector rules check my-rules.yaml --config collector.yaml`
}

// Run runs the command.
func (r *rulesCheckCmd) Run(e *cli.Env) error {
	c := collector.DefaultConfig()
	if r.Config != "" {
		var err error
		if c, err = collector.Load(r.Config); err != nil {
			return err
		}
	}
	names, err := collector.CheckRules(c, r.File)
	if err != nil {
		return err
	}
	fmt.Fprintf(e.Stdout, "%s: %d rules: %s\n", r.File, len(names), strings.Join(names, ", "))
	return nil
}
