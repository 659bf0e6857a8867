package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"

	"andon.internal/agent"
	"andon.internal/shared/cli"
	"andon.internal/shared/ops"
)

type enrollCmd struct {
	URL       string `name:"url" placeholder:"URL" help:"The authority's service, andon-broker ca serve; as in mqtt.enroll.url of --config."`
	TokenFile string `xor:"token" placeholder:"FILE" help:"The file that holds the token; - is standard input. The preferred way."`
	Token     string `xor:"token" help:"The token itself. Everybody on this machine sees it in the list of processes while the command runs."`
	Config    string `placeholder:"FILE" help:"The agent's configuration, which says which cell this is and where its files are."`
	Out       string `placeholder:"DIR" help:"Where the files go; by default where the configuration looks for them, and else tls in its data folder."`
}

// tokenVariable is looked at when no flag says the token.
const tokenVariable = "ANDON_ENROLL_TOKEN"

// Help is shown below the flags.
func (enrollCmd) Help() string {
	return `Makes a key on this machine, which never leaves it, and has it signed for a token of
andon-broker ca token. The token also says which authority to believe, so nothing else is
needed. The token is read from a file, from standard input, or from the environment as
ANDON_ENROLL_TOKEN.

Writes ca.crt and cell.pem (certificate and key, readable by the owner alone; root leaves
them to the owner of the folder), and prints what belongs into agent.yaml. It may be used
again, with another token, also beside a running agent: what is there is replaced as a
whole, or stays as it is. A cell whose certificate has expired or was revoked comes back
that way.

  andon-agent enroll --config /etc/andon/agent.yaml --token-file cell-07.token
  ssh plant andon-broker ca token --group austin-line1 --node cell-07 |
    andon-agent enroll --url https://ca.plant.example:8884 --token-file - --out tls`
}

// Run runs the command.
func (k *enrollCmd) Run(ctx context.Context, e *cli.Env) error {
	token, err := k.token()
	if err != nil {
		return err
	}
	order := agent.Enrolment{URL: k.URL, Token: token, Out: k.Out}
	if k.Config != "" {
		c, err := agent.Load(k.Config)
		if err != nil {
			return err
		}
		order.Config = &c
	}
	done, err := agent.Enroll(ctx, order)
	if err != nil {
		return err
	}
	agent.Tell(e.Stdout, done)
	return nil
}

// maxToken bounds what is read as a token, in bytes.
const maxToken = 4096

func (k *enrollCmd) token() (string, error) {
	switch {
	case k.Token != "":
		return k.Token, nil
	case k.TokenFile == "":
		if token := os.Getenv(tokenVariable); token != "" {
			return token, nil
		}
		return "", ops.UsageError(errors.New("there is no token"), "give --token-file FILE; andon-broker ca token makes one")
	}
	in := os.Stdin
	if k.TokenFile != "-" {
		f, err := os.Open(k.TokenFile)
		if err != nil {
			return "", fmt.Errorf("read token: %w", err)
		}
		defer f.Close()
		in = f
	}
	b, err := io.ReadAll(io.LimitReader(in, maxToken))
	if err != nil {
		return "", fmt.Errorf("read token: %w", err)
	}
	return string(b), nil
}
