package procfs_test

import (
	"io"
	"os"
	"os/exec"
	"slices"
	"testing"

	"andon.internal/shared/procfs"
)

// TestMain is the child too: it ends when what it reads does.
func TestMain(m *testing.M) {
	if os.Getenv("PROCFS_TEST_CHILD") != "" {
		_, _ = io.Copy(os.Stdout, os.Stdin)
		os.Exit(0)
	}
	os.Exit(m.Run())
}

// TestChildren: a process is its parent's child while it runs, whatever its name has in it.
func TestChildren(t *testing.T) {
	name := t.TempDir() + "/a) Z 1 (b"
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(self, name); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(name)
	cmd.Env = append(os.Environ(), "PROCFS_TEST_CHILD=1")
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	if _, err := in.Write([]byte{'x'}); err != nil {
		t.Fatal(err)
	}
	if _, err := io.ReadFull(out, make([]byte, 1)); err != nil { // it has its name now
		t.Fatal(err)
	}
	if got := procfs.Children(os.Getpid()); !slices.Contains(got, cmd.Process.Pid) {
		t.Errorf("children %v, want %d among them", got, cmd.Process.Pid)
	}
	if got := procfs.Children(cmd.Process.Pid); len(got) != 0 {
		t.Errorf("children of one without any: %v", got)
	}
	in.Close()
	if err := cmd.Wait(); err != nil {
		t.Fatal(err)
	}
	if got := procfs.Children(os.Getpid()); slices.Contains(got, cmd.Process.Pid) {
		t.Errorf("children %v after %d ended", got, cmd.Process.Pid)
	}
}
