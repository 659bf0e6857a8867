package main

import (
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"strings"

	"golang.org/x/term"

	"andon.internal/collector"
	"andon.internal/collector/account"
	"andon.internal/shared/cli"
	"andon.internal/shared/config"
	"andon.internal/shared/ops"
)

// timeForm is how times are printed.
const timeForm = "2006-01-02 15:04Z"

// quiet is a logger for commands whose output says what there is to say.
func quiet(e *cli.Env, c collector.Config) *slog.Logger {
	c.Log.Level = "error"
	return ops.NewLogger(e.Stderr, c.Log)
}

// readPassword reads a password from a file, from standard input (-), or asks for it
// twice on the terminal without showing it.
func readPassword(e *cli.Env, file string) (string, error) {
	const hint = "--password-file names a file with nothing but the password, or - for standard input"
	switch file {
	case "":
	case "-":
		b, err := io.ReadAll(io.LimitReader(os.Stdin, 4*account.MaxPassword))
		if err != nil {
			return "", fmt.Errorf("read password: %w", err)
		}
		return strings.TrimRight(string(b), "\r\n"), nil
	default:
		password, err := config.ReadSecret(file)
		if err != nil {
			return "", ops.UsageError(err, hint)
		}
		return password, nil
	}
	terminal := int(os.Stdin.Fd())
	if !term.IsTerminal(terminal) {
		return "", ops.UsageError(errors.New("there is no terminal to ask for a password on"), hint)
	}
	var typed [2]string
	for i, prompt := range []string{"Password: ", "Again: "} {
		fmt.Fprint(e.Stderr, prompt)
		b, err := term.ReadPassword(terminal)
		fmt.Fprintln(e.Stderr)
		if err != nil {
			return "", fmt.Errorf("read password: %w", err)
		}
		typed[i] = string(b)
	}
	if typed[0] != typed[1] {
		return "", ops.UsageError(errors.New("the two passwords differ"), "type the same one twice")
	}
	return typed[0], nil
}
