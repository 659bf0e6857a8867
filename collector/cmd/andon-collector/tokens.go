package main

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"

	"andon.internal/collector"
	"andon.internal/collector/account"
	"andon.internal/shared/cli"
	"andon.internal/shared/ops"
)

type tokenCmd struct {
	Add    tokenAddCmd    `cmd:"" help:"Make a token for a program that uses the API."`
	List   tokenListCmd   `cmd:"" help:"List the tokens."`
	Revoke tokenRevokeCmd `cmd:"" help:"End a token."`
}

type tokenAddCmd struct {
	configFlag
	Name   string   `arg:"" help:"What the token is called: a-z, 0-9 and . _ @ -"`
	Scopes []string `required:"" placeholder:"SCOPE" help:"What it is for: read (the data), acknowledge (alarms), health (/readyz)."`
	For    string   `default:"90d" placeholder:"TIME" help:"How long it is good, such as 90d or 12h."`
}

// Help is shown below the flags.
func (tokenAddCmd) Help() string {
	return `Prints the token, once: only its hash is kept. It goes into a header,
Authorization: Bearer TOKEN, and counts within two seconds.

  andon-collector token add hourly --scopes health --for 90d --config collector.yaml > token
  andon-collector token add scada --scopes read,acknowledge --config collector.yaml`
}

// longest is how long a token may be good.
const longest = 10 * 366 * 24 * time.Hour

// lasts reads a time, with d for days.
func lasts(text string) (time.Duration, error) {
	d, err := time.ParseDuration(text)
	if days, ok := strings.CutSuffix(text, "d"); ok {
		var n int
		if n, err = strconv.Atoi(days); err == nil && n <= 10*366 {
			d = time.Duration(n) * 24 * time.Hour
		}
	}
	if err != nil || d < time.Minute || d > longest {
		return 0, fmt.Errorf("--for %q must be like 90d or 12h, and at most ten years", text)
	}
	return d, nil
}

// Run runs the command.
func (t *tokenAddCmd) Run(ctx context.Context, e *cli.Env) error {
	const example = "for example: andon-collector token add hourly --scopes health --for 90d --config collector.yaml"
	c, err := t.load()
	if err != nil {
		return err
	}
	scopes, err := account.ParseScopes(t.Scopes)
	if err != nil {
		return ops.UsageError(err, example)
	}
	d, err := lasts(t.For)
	if err != nil {
		return ops.UsageError(err, example)
	}
	made, text, err := collector.AddToken(ctx, c, t.Name, scopes, d, quiet(e, c))
	if err != nil {
		return err
	}
	fmt.Fprintln(e.Stdout, text)
	fmt.Fprintf(e.Stderr, "token %s is good until %s; it is not shown again\n", t.Name, made.Expires.Format(timeForm))
	return nil
}

type tokenListCmd struct {
	configFlag
}

// Help is shown below the flags.
func (tokenListCmd) Help() string {
	return `Shows what each token is for and until when, not the tokens themselves.

  andon-collector token list --config collector.yaml`
}

// Run runs the command.
func (t *tokenListCmd) Run(ctx context.Context, e *cli.Env) error {
	c, err := t.load()
	if err != nil {
		return err
	}
	all, err := collector.Accounts(ctx, c, quiet(e, c))
	if err != nil {
		return err
	}
	table := tabwriter.NewWriter(e.Stdout, 0, 0, 2, ' ', 0)
	fmt.Fprintln(table, "NAME\tSCOPES\tCREATED\tEXPIRES")
	for i := range all.Tokens {
		token := &all.Tokens[i]
		var scopes []string
		for _, s := range token.Scopes {
			scopes = append(scopes, string(s))
		}
		expires := token.Expires.UTC().Format(timeForm)
		if token.Expired(time.Now()) {
			expires += " (expired)"
		}
		fmt.Fprintf(table, "%s\t%s\t%s\t%s\n", token.Name, strings.Join(scopes, ","), token.Created.UTC().Format(timeForm), expires)
	}
	return table.Flush()
}

type tokenRevokeCmd struct {
	configFlag
	Name string `arg:"" help:"The token."`
}

// Help is shown below the flags.
func (tokenRevokeCmd) Help() string {
	return `It is good for nothing within two seconds.

  andon-collector token revoke hourly --config collector.yaml`
}

// Run runs the command.
func (t *tokenRevokeCmd) Run(ctx context.Context, e *cli.Env) error {
	c, err := t.load()
	if err != nil {
		return err
	}
	if err := collector.RevokeToken(ctx, c, t.Name, quiet(e, c)); err != nil {
		return err
	}
	fmt.Fprintf(e.Stdout, "token %s is revoked\n", t.Name)
	return nil
}
