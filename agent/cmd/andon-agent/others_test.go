package main

import (
	"bytes"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// nobody is a user who owns nothing.
const nobody = 65534

// plain is a folder that everybody may enter, with the program in it.
func plain(t *testing.T) (dir, binary string) {
	t.Helper()
	dir, err := os.MkdirTemp("", "andon-agent-test-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	binary = filepath.Join(dir, program)
	from, err := os.Open(os.Args[0])
	if err != nil {
		t.Fatal(err)
	}
	defer from.Close()
	to, err := os.OpenFile(binary, os.O_CREATE|os.O_WRONLY, 0o755)
	if err == nil {
		_, err = io.Copy(to, from)
	}
	if err == nil {
		err = to.Close()
	}
	if err == nil {
		err = os.Chmod(dir, 0o755)
	}
	if err != nil {
		t.Fatal(err)
	}
	return dir, binary
}

// as runs the program, as another user where this one is root.
func as(t *testing.T, binary string, args ...string) (out string, code int) {
	t.Helper()
	c := exec.CommandContext(t.Context(), binary, args...)
	c.Env = []string{asProgram + "=1", "PATH=" + os.Getenv("PATH")}
	c.Dir = "/"
	if os.Getuid() == 0 {
		c.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: nobody, Gid: nobody}}
	}
	b, err := c.CombinedOutput()
	if c.ProcessState == nil {
		t.Fatal(err)
	}
	return string(b), c.ProcessState.ExitCode()
}

// TestWhoMayLook: who may only read the files of a stopped agent may do everything, who
// may not is told so, and an agent that runs answers its user and root alone.
func TestWhoMayLook(t *testing.T) {
	dir, binary := plain(t)
	data := filepath.Join(dir, "data")
	config := filepath.Join(dir, "agent.yaml")
	text := "group: a\nnode: b\ndata: " + data + "\nmqtt: {url: 'tcp://127.0.0.1:1'}\nhttp: {listen: ''}\n"
	if err := os.WriteFile(config, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	agent := exec.CommandContext(t.Context(), binary, "run", "--config", config)
	agent.Env = []string{asProgram + "=1"}
	var log bytes.Buffer
	agent.Stderr = &log
	if err := agent.Start(); err != nil {
		t.Fatal(err)
	}
	socket := filepath.Join(data, "agent.sock")
	for deadline := time.Now().Add(20 * time.Second); ; time.Sleep(5 * time.Millisecond) {
		if _, err := os.Stat(socket); err == nil {
			break
		}
		if time.Now().After(deadline) {
			t.Fatalf("no socket: %s", log.String())
		}
	}
	mode := func(path string, mode os.FileMode) {
		t.Helper()
		if err := os.Chmod(path, mode); err != nil {
			t.Fatal(err)
		}
	}
	all := func(mayRead bool) {
		t.Helper()
		files, err := filepath.Glob(filepath.Join(data, "buffer", "*"))
		if err != nil || len(files) == 0 {
			t.Fatal(files, err)
		}
		for _, path := range append(files, filepath.Join(data, "state.db")) {
			mode(path, map[bool]os.FileMode{true: 0o444, false: 0}[mayRead])
		}
		mode(filepath.Join(data, "buffer"), 0o555)
		mode(data, 0o555)
	}
	if os.Getuid() == 0 {
		// The folders are open to everybody, the socket is not.
		all(true)
		if out, code := as(t, binary, "status", "--data", data); code != 1 || !strings.Contains(out, "permission denied") || !strings.Contains(out, "hint: run this as root") {
			t.Errorf("an agent that runs: code %d, %s", code, out)
		}
		mode(data, 0o700)
	}
	if err := agent.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	if err := agent.Wait(); err != nil {
		t.Fatalf("%v: %s", err, log.String())
	}

	all(true)
	for args, want := range map[string]int{"status": codeNotRunning, "buffer ls": 0, "buffer verify": 0, "buffer export": 0} {
		if out, code := as(t, binary, append(strings.Fields(args), "--data", data)...); code != want {
			t.Errorf("%s with the right to read only: code %d, %s", args, code, out)
		}
	}
	all(false)
	for _, args := range []string{"status", "buffer ls", "buffer verify", "buffer export"} {
		out, code := as(t, binary, append(strings.Fields(args), "--data", data)...)
		if code != 1 || !strings.Contains(out, "permission denied") || !strings.Contains(out, "hint: run this as root") {
			t.Errorf("%s without the right to read: code %d, %s", args, code, out)
		}
	}
	mode(data, 0)
	if out, code := as(t, binary, "buffer", "ls", "--data", data); code != 1 || !strings.Contains(out, "permission denied") {
		t.Errorf("a folder that is closed: code %d, %s", code, out)
	}
	mode(data, 0o700)
	mode(filepath.Join(data, "buffer"), 0o700)
}
