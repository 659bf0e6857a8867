package pgserver_test

import (
	"bufio"
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"andon.internal/shared/pgserver"
)

// answers says whether a PostgreSQL listens at the server's port: it answers a
// request for TLS with one letter.
func answers(s *pgserver.Server) bool {
	c, err := net.DialTimeout("tcp", fmt.Sprintf("127.0.0.1:%d", s.Port()), 30*time.Second)
	if err != nil {
		return false
	}
	defer c.Close()
	_ = c.SetDeadline(time.Now().Add(30 * time.Second))
	if _, err := c.Write([]byte{0, 0, 0, 8, 0x04, 0xd2, 0x16, 0x2f}); err != nil {
		return false
	}
	b, err := bufio.NewReader(c).ReadByte()
	return err == nil && b == 'N'
}

func start(t *testing.T, o pgserver.Options) *pgserver.Server {
	t.Helper()
	s, err := pgserver.Start(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Remove(); err != nil {
			t.Error(err)
		}
	})
	return s
}

func TestLifeCycle(t *testing.T) {
	s := start(t, pgserver.Options{Dir: filepath.Join(t.TempDir(), "a", "pg"), Settings: map[string]string{"work_mem": "5MB"}})
	dsn := s.DSN()
	steps := []struct {
		name string
		do   func() error
		up   bool
	}{
		{"after start", func() error { return nil }, true},
		{"start again does nothing", func() error { return s.Start(t.Context()) }, true},
		{"stop", s.Stop, false},
		{"stop again does nothing", s.Stop, false},
		{"start after stop", func() error { return s.Start(t.Context()) }, true},
		{"kill", s.Kill, false},
		{"start after kill", func() error { return s.Start(t.Context()) }, true},
		{"remove", s.Remove, false},
		{"remove again does nothing", s.Remove, false},
	}
	for _, step := range steps {
		if err := step.do(); err != nil {
			t.Fatalf("%s: %v", step.name, err)
		}
		if got := answers(s); got != step.up {
			t.Fatalf("%s: answers = %v, want %v", step.name, got, step.up)
		}
		if (s.PID() != 0) != step.up {
			t.Fatalf("%s: pid %d", step.name, s.PID())
		}
		if s.DSN() != dsn {
			t.Fatalf("%s: DSN changed from %s to %s", step.name, dsn, s.DSN())
		}
	}
	if err := s.Start(t.Context()); err == nil {
		t.Error("a removed server started")
	}
	if _, err := os.Stat(s.Dir()); !os.IsNotExist(err) {
		t.Errorf("the folder is still there: %v", err)
	}
}

func TestKeptFolderStartsAgain(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "pg")
	first := start(t, pgserver.Options{Dir: dir})
	if err := first.Kill(); err != nil {
		t.Fatal(err)
	}
	second := start(t, pgserver.Options{Dir: dir, Port: first.Port()})
	if second.DSN() != first.DSN() {
		t.Errorf("DSN %s, want %s", second.DSN(), first.DSN())
	}
}

func TestSideBySide(t *testing.T) {
	var wg sync.WaitGroup
	servers := make([]*pgserver.Server, 3)
	for i := range servers {
		wg.Go(func() {
			s, err := pgserver.Start(t.Context(), pgserver.Options{})
			if err != nil {
				t.Error(err)
				return
			}
			servers[i] = s
		})
	}
	wg.Wait()
	for _, s := range servers {
		if s == nil {
			continue
		}
		if !answers(s) {
			t.Errorf("no answer at port %d", s.Port())
		}
		if err := s.Remove(); err != nil {
			t.Error(err)
		}
	}
}

func TestErrors(t *testing.T) {
	tests := []struct {
		name string
		o    pgserver.Options
		want string
	}{
		{"no binaries there", pgserver.Options{Bin: t.TempDir()}, "no initdb and postgres in"},
		{"bad setting", pgserver.Options{Settings: map[string]string{"no_such_setting": "1"}}, "no_such_setting"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			_, err := pgserver.Start(t.Context(), tt.o)
			if err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("error %v, want one with %q", err, tt.want)
			}
		})
	}
}

// TestEndsWithParent starts this test binary as a helper that starts a server, and
// kills the helper.
func TestEndsWithParent(t *testing.T) {
	if os.Getenv("PGSERVER_HELPER") != "" {
		s, err := pgserver.Start(context.Background(), pgserver.Options{Dir: os.Getenv("PGSERVER_HELPER")})
		fmt.Println("STARTED", s.PID(), err)
		select {}
	}
	dir := filepath.Join(t.TempDir(), "pg")
	cmd := exec.Command(os.Args[0], "-test.run=^TestEndsWithParent$")
	cmd.Env = append(os.Environ(), "PGSERVER_HELPER="+dir)
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	pid := 0
	for lines := bufio.NewScanner(out); lines.Scan(); {
		if _, err := fmt.Sscanf(lines.Text(), "STARTED %d", &pid); err == nil {
			break
		}
	}
	_ = cmd.Process.Kill()
	_ = cmd.Wait()
	if pid == 0 {
		t.Fatal("the helper started no server")
	}
	for end := time.Now().Add(20 * time.Second); syscall.Kill(pid, 0) == nil; time.Sleep(20 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("postgres %d outlived its parent", pid)
		}
	}
}
