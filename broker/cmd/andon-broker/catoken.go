package main

import (
	"fmt"
	"io"
	"os"
	"time"

	"andon.internal/broker/access"
	"andon.internal/shared/cli"
	"andon.internal/shared/ops"
)

type caTokenCmd struct {
	authority
	Node  string        `required:"" placeholder:"ID" help:"The cell."`
	Group string        `required:"" placeholder:"ID" help:"The cell's group."`
	For   time.Duration `default:"24h" help:"How long it is good; 24h, at most 720h."`
}

// Help is shown below the flags.
func (caTokenCmd) Help() string {
	return `Prints the token, which is good once, and nothing else to standard output. The folder
keeps only its hash. It tells the cell which authority to believe, so the cell needs no
other file: andon-agent enroll takes it to andon-broker ca serve. A token that was used,
also by an attempt whose answer was lost, is of no more use: make another.

  andon-broker ca token --group austin-line1 --node cell-07
  andon-broker ca token --group austin-line1 --node cell-07 --for 1h > cell-07.token`
}

// Run runs the command.
func (k *caTokenCmd) Run(e *cli.Env) error {
	i := access.Identity{Role: access.Node, Group: k.Group, Name: k.Node}
	if err := i.Check(); err != nil {
		return ops.UsageError(err, "for example --node cell-07 --group austin-line1")
	}
	c, err := k.open()
	if err != nil {
		return err
	}
	token, kept, err := c.NewToken(i, k.For)
	if err != nil {
		return err
	}
	fmt.Fprintln(e.Stdout, token.Reveal())
	fmt.Fprintf(e.Stderr, "for %s, once, until %s\n", i, kept.Expires.Format(time.RFC3339))
	return nil
}

// readSmall reads a file of at most so many bytes; - is standard input.
func readSmall(path string, most int64) ([]byte, error) {
	in := os.Stdin
	if path != "-" {
		f, err := os.Open(path)
		if err != nil {
			return nil, err
		}
		defer f.Close()
		in = f
	}
	b, err := io.ReadAll(io.LimitReader(in, most+1))
	if err == nil && int64(len(b)) > most {
		err = fmt.Errorf("%s has more than %d bytes", path, most)
	}
	return b, err
}
