package ops_test

import (
	"bufio"
	"context"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"

	"andon.internal/shared/ops"
)

// TestSignals runs this test binary as a program that takes its time to stop.
func TestSignals(t *testing.T) {
	if os.Getenv("TEST_AS_PROGRAM") != "" {
		os.Exit(ops.Main("slow", os.Stderr, func(ctx context.Context) error {
			fmt.Fprintln(os.Stderr, "started")
			<-ctx.Done()
			fmt.Fprintln(os.Stderr, "stopping")
			if os.Getenv("TEST_AS_PROGRAM") == "quick" {
				return fmt.Errorf("stopped: %w", ctx.Err())
			}
			time.Sleep(time.Minute) // the second signal comes before
			return nil
		}))
	}
	for _, tt := range []struct {
		kind string
		code int
		said string
	}{
		{"quick", 0, "started stopping"},
		{"slow", 130, "started stopping slow: second signal: ended at once"},
	} {
		t.Run(tt.kind, func(t *testing.T) {
			c := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestSignals$")
			c.Env = append(os.Environ(), "TEST_AS_PROGRAM="+tt.kind)
			stderr, err := c.StderrPipe()
			if err != nil {
				t.Fatal(err)
			}
			if err := c.Start(); err != nil {
				t.Fatal(err)
			}
			var said []string
			for lines := bufio.NewScanner(stderr); lines.Scan(); {
				said = append(said, lines.Text())
				if lines.Text() == "started" || lines.Text() == "stopping" && tt.kind == "slow" {
					if err := c.Process.Signal(syscall.SIGINT); err != nil {
						t.Fatal(err)
					}
				}
			}
			_ = c.Wait() // the code is looked at below
			if code := c.ProcessState.ExitCode(); code != tt.code || strings.Join(said, " ") != tt.said {
				t.Errorf("code %d, said %q", code, said)
			}
		})
	}
}
