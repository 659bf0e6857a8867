package main

import (
	"bytes"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"time"

	"github.com/rogpeppe/go-internal/testscript"
)

// scriptCommands are what scripts need beside testscript's own.
var scriptCommands = map[string]func(ts *testscript.TestScript, neg bool, args []string){
	"await": await,
	"code":  code,
	"flip":  flip,
}

// await PATTERN PROGRAM ARGS runs a program until its output matches.
func await(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: await PATTERN PROGRAM ARGS...")
	}
	pattern, err := regexp.Compile(args[0])
	ts.Check(err)
	for deadline := time.Now().Add(20 * time.Second); ; time.Sleep(20 * time.Millisecond) {
		err := ts.Exec(args[1], args[2:]...)
		if pattern.MatchString(ts.ReadFile("stdout")) {
			return
		}
		if time.Now().After(deadline) {
			ts.Fatalf("not within 20 s: %v", err)
		}
	}
}

// code N PROGRAM ARGS runs a program that must exit with N.
func code(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: code N PROGRAM ARGS...")
	}
	got := 0
	if err := ts.Exec(args[1], args[2:]...); err != nil {
		var exit *exec.ExitError
		if !errors.As(err, &exit) {
			ts.Fatalf("%v", err)
		}
		got = exit.ExitCode()
	}
	if want, err := strconv.Atoi(args[0]); err != nil || got != want {
		ts.Fatalf("exit code %d, want %s", got, args[0])
	}
}

// flip TEXT GLOB changes the first byte of each occurrence of a text in files.
func flip(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 2 {
		ts.Fatalf("usage: flip TEXT GLOB")
	}
	files, err := filepath.Glob(ts.MkAbs(args[1]))
	ts.Check(err)
	n := 0
	for _, path := range files {
		if filepath.Base(path) == "chain.db" {
			continue
		}
		data, err := os.ReadFile(path)
		ts.Check(err)
		for at := 0; ; {
			i := bytes.Index(data[at:], []byte(args[0]))
			if i < 0 {
				break
			}
			at += i
			data[at] ^= 1
			n++
		}
		ts.Check(os.WriteFile(path, data, 0o600))
	}
	if n == 0 {
		ts.Fatalf("%s is in no file of %v", args[0], files)
	}
}
