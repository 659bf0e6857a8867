package main

import (
	"bufio"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"
)

// asProgram makes the test binary be the program itself, so that a test can run it
// in a process of its own.
const asProgram = "TEST_AS_PROGRAM"

// asReplaced makes the test binary start itself as a buffer does after another program has
// taken its name.
const asReplaced = "TEST_AS_REPLACED"

func TestMain(m *testing.M) {
	if os.Getenv(asReplaced) != "" {
		os.Exit(replaced())
	}
	if os.Getenv(asProgram) != "" {
		os.Exit(run(os.Args[1:], os.Stdout, os.Stderr))
	}
	testscript.Main(m, map[string]func(){
		program: func() { os.Exit(run(os.Args[1:], os.Stdout, os.Stderr)) },
	})
}

func replaced() int {
	self, err := os.Executable()
	if err == nil {
		err = os.Remove(self)
	}
	if err == nil {
		err = os.WriteFile(self, []byte("#!/bin/sh\nexit 7\n"), 0o700)
	}
	if err != nil {
		panic(err)
	}
	c := exec.Command(bufferChild()[0], "--help")
	c.Env = append(os.Environ(), asReplaced+"=", asProgram+"=1")
	_ = c.Run() // the exit code tells
	return c.ProcessState.ExitCode()
}

// TestBufferChildIsThisProgram: not another one that has taken its name.
func TestBufferChildIsThisProgram(t *testing.T) {
	data, err := os.ReadFile(os.Args[0])
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), program)
	if err := os.WriteFile(path, data, 0o700); err != nil {
		t.Fatal(err)
	}
	c := exec.Command(path)
	c.Env = append(os.Environ(), asReplaced+"=1")
	if out, err := c.CombinedOutput(); err != nil {
		t.Errorf("%v: %s", err, out)
	}
}

func TestCommands(t *testing.T) {
	testscript.Run(t, testscript.Params{Dir: "testdata", Cmds: scriptCommands})
}

// startProgram runs the agent in a process of its own, and returns the lines that it says.
// It is killed when it takes longer than any test should.
func startProgram(t *testing.T, config string) (*exec.Cmd, *bufio.Scanner) {
	t.Helper()
	c := exec.CommandContext(t.Context(), os.Args[0], "run", "--config", config)
	c.Env = append(os.Environ(), asProgram+"=1")
	stderr, err := c.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	cut := time.AfterFunc(time.Minute, func() { _ = c.Process.Kill() })
	t.Cleanup(func() { cut.Stop() })
	return c, bufio.NewScanner(stderr)
}

func TestSignalsEndIt(t *testing.T) {
	config := filepath.Join(t.TempDir(), "agent.yaml")
	text := "group: a\nnode: b\ndata: data\nmqtt: {url: 'tcp://127.0.0.1:1'}\n"
	if err := os.WriteFile(config, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, signal := range []syscall.Signal{syscall.SIGINT, syscall.SIGTERM} {
		c, lines := startProgram(t, config)
		var log strings.Builder
		for lines.Scan() {
			log.WriteString(lines.Text() + "\n")
			if strings.Contains(lines.Text(), "agent starts") {
				if err := c.Process.Signal(signal); err != nil {
					t.Fatal(err)
				}
			}
		}
		if err := c.Wait(); err != nil || !strings.Contains(log.String(), "agent has stopped") {
			t.Errorf("%v: %v\n%s", signal, err, log.String())
		}
	}
}

// TestHangup: a configuration with a fault is told, a good one taken over, and neither ends
// the process.
func TestHangup(t *testing.T) {
	config := filepath.Join(t.TempDir(), "agent.yaml")
	write := func(more string) {
		t.Helper()
		text := "group: a\nnode: b\ndata: data\nmqtt: {url: 'tcp://127.0.0.1:1'}\n" + more
		if err := os.WriteFile(config, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write("")
	c, lines := startProgram(t, config)
	steps := []struct {
		said   string
		next   string // of the file, behind what stays
		signal syscall.Signal
	}{
		{"agent starts", "bufer: {}\n", syscall.SIGHUP},
		{"agent.yaml:5:1: bufer: unknown key", "buffer: {linger: 50ms}\n", syscall.SIGHUP},
		{"the configuration was taken over", "", syscall.SIGTERM},
		{"agent has stopped", "", 0},
	}
	var log strings.Builder
	for lines.Scan() {
		log.WriteString(lines.Text() + "\n")
		if len(steps) > 0 && strings.Contains(lines.Text(), steps[0].said) {
			write(steps[0].next)
			if s := steps[0].signal; s != 0 {
				if err := c.Process.Signal(s); err != nil {
					t.Fatal(err)
				}
			}
			steps = steps[1:]
		}
	}
	if err := c.Wait(); err != nil || len(steps) > 0 {
		t.Errorf("%v, and not said: %v\n%s", err, steps, log.String())
	}
}
