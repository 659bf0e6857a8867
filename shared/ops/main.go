package ops

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strings"
	"sync"
	"syscall"
)

// Exit codes of every command.
const (
	ExitOK    = 0
	ExitFault = 1 // something failed
	ExitUsage = 2 // the command line or a configuration is wrong
)

// Main runs a command and returns its exit code, for os.Exit. It cancels run's
// context at the first SIGINT or SIGTERM and ends the process at the second. What
// run returns is written to stderr as "program: cause", with a hint line where the
// error has one (see [Hint]); an error that says Usage() gives [ExitUsage]. An end
// by signal is no error.
func Main(program string, stderr io.Writer, run func(ctx context.Context) error) int {
	ctx, stop := signalContext(context.Background(), func(s syscall.Signal) {
		fmt.Fprintf(stderr, "%s: second signal: ended at once\n", program)
		os.Exit(128 + int(s))
	})
	defer stop()
	err := run(ctx)
	if errors.Is(err, context.Canceled) && ctx.Err() != nil {
		err = nil
	}
	return Report(program, stderr, err)
}

// Report writes err as Main does and returns the exit code.
func Report(program string, stderr io.Writer, err error) int {
	if err == nil {
		return ExitOK
	}
	for line := range strings.SplitSeq(err.Error(), "\n") {
		fmt.Fprintf(stderr, "%s: %s\n", program, line)
	}
	var h interface{ Hint() string }
	if errors.As(err, &h) {
		fmt.Fprintf(stderr, "hint: %s\n", h.Hint())
	}
	var u interface{ Usage() bool }
	if errors.As(err, &u) && u.Usage() {
		return ExitUsage
	}
	return ExitFault
}

// signalContext is cancelled by the first signal and calls second at the next.
// stop ends the watching and waits for it.
func signalContext(parent context.Context, second func(syscall.Signal)) (_ context.Context, stop func()) {
	ctx, cancel := context.WithCancel(parent)
	signals := make(chan os.Signal, 2)
	signal.Notify(signals, syscall.SIGINT, syscall.SIGTERM)
	done := make(chan struct{})
	var watching sync.WaitGroup
	watching.Go(func() {
		for {
			select {
			case s := <-signals:
				if ctx.Err() != nil {
					second(s.(syscall.Signal))
				}
				cancel()
			case <-done:
				return
			}
		}
	})
	return ctx, func() {
		signal.Stop(signals)
		close(done)
		watching.Wait()
		cancel()
	}
}

// hinted is an error with a cure.
type hinted struct {
	err   error
	hint  string
	usage bool
}

func (h *hinted) Error() string { return h.err.Error() }
func (h *hinted) Unwrap() error { return h.err }
func (h *hinted) Hint() string  { return h.hint }
func (h *hinted) Usage() bool   { return h.usage }

// Hint adds to err what the operator can do about it. A nil err gives nil.
func Hint(err error, hint string) error {
	if err == nil {
		return nil
	}
	var u interface{ Usage() bool }
	return &hinted{err: err, hint: hint, usage: errors.As(err, &u) && u.Usage()}
}

// UsageError marks err as a mistake in the command line or a configuration, with a
// hint. A nil err gives nil.
func UsageError(err error, hint string) error {
	if err == nil {
		return nil
	}
	return &hinted{err: err, hint: hint, usage: true}
}
