package registry_test

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"andon.internal/lab/registry"
)

// holder is what the test binary does when it plays a lab that is killed.
const holder = "ANDON_TEST_HOLDER"

func TestMain(m *testing.M) {
	if data := os.Getenv(holder); data != "" {
		c, err := registry.Take("")
		if err == nil {
			err = c.Publish(registry.Entry{Data: data, Temporary: true})
		}
		if err != nil {
			os.Stdout.WriteString(err.Error() + "\n")
			os.Exit(1)
		}
		os.Stdout.WriteString("held\n")
		select {}
	}
	os.Exit(m.Run())
}

// place gives the test a registry of its own.
func place(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	t.Setenv("TMPDIR", dir)
	return dir
}

func take(t *testing.T, name, data string) *registry.Claim {
	t.Helper()
	c, err := registry.Take(name)
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Publish(registry.Entry{Data: data}); err != nil {
		t.Fatal(err)
	}
	return c
}

func TestFind(t *testing.T) {
	place(t)
	if _, err := registry.Find(""); !errors.Is(err, registry.ErrNone) {
		t.Errorf("find with none running: %v, want ErrNone", err)
	}
	a := take(t, "", "/data/a")
	if e, err := registry.Find(""); err != nil || e.Name != "lab1" || e.PID != os.Getpid() {
		t.Errorf("the only one: %+v, %v", e, err)
	}
	b := take(t, "", "/data/b")
	if _, err := registry.Take("lab2"); !errors.Is(err, registry.ErrTaken) {
		t.Errorf("take a held name: %v, want ErrTaken", err)
	}
	if _, err := registry.Find(""); err == nil || !strings.Contains(err.Error(), "lab1, lab2") {
		t.Errorf("find one of two: %v, want an error that names both", err)
	}
	for _, selector := range []string{"lab2", "/data/b"} {
		if e, err := registry.Find(selector); err != nil || e.Name != "lab2" {
			t.Errorf("find %s: %+v, %v", selector, e, err)
		}
	}
	if _, err := registry.Find("other"); err == nil {
		t.Error("found a lab that is not there")
	}
	e, err := registry.Find("lab1")
	if err != nil || registry.Gone(e) {
		t.Errorf("lab1 is gone although it runs: %v", err)
	}
	for _, c := range []*registry.Claim{a, b} {
		if err := c.Release(); err != nil {
			t.Error(err)
		}
	}
	if !registry.Gone(e) {
		t.Error("lab1 is not gone after its release")
	}
}

func TestReleaseLeavesNothing(t *testing.T) {
	dir := place(t)
	c := take(t, "x", "")
	if err := os.WriteFile(c.Socket(), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := c.Release(); err != nil {
		t.Fatal(err)
	}
	if left, _ := os.ReadDir(dir); len(left) != 0 {
		t.Errorf("left behind: %v", left)
	}
}

func TestSweepAfterAKilledLab(t *testing.T) {
	dir := place(t)
	data := filepath.Join(dir, "data")
	if err := os.MkdirAll(filepath.Join(data, "deep"), 0o755); err != nil {
		t.Fatal(err)
	}
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(self)
	cmd.Env = append(os.Environ(), holder+"="+data)
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	line := make([]byte, 64)
	n, _ := out.Read(line)
	if string(line[:n]) != "held\n" {
		t.Fatalf("the other lab says %q", line[:n])
	}
	if swept, err := registry.Sweep(); err != nil || len(swept) != 0 {
		t.Errorf("swept %v, %v while it runs", swept, err)
	}
	if err := cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = cmd.Wait()
	if all, err := registry.List(); err != nil || len(all) != 0 {
		t.Errorf("listed %v, %v after the kill", all, err)
	}
	if swept, err := registry.Sweep(); err != nil || len(swept) != 1 || swept[0] != "lab1" {
		t.Errorf("swept %v, %v, want lab1", swept, err)
	}
	if left, _ := os.ReadDir(dir); len(left) != 0 {
		t.Errorf("left behind: %v", left)
	}
}

func TestFolderOfOthersIsRefused(t *testing.T) {
	dir := place(t)
	c := take(t, "", "")
	labs := filepath.Dir(c.Socket())
	defer os.Chmod(labs, 0o700)
	if err := os.Chmod(labs, 0o777); err != nil {
		t.Fatal(err)
	}
	if _, err := registry.Take(""); err == nil {
		t.Errorf("took a name in %s, which everybody can write to", dir)
	}
}
