package pgserver_test

import (
	"context"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"andon.internal/shared/pgserver"
)

// bare is a machine without PostgreSQL: a PATH that has these programs, which are shell
// scripts, and a few tools, so that nothing reaches the real apt-get; and an empty place
// for packages. Scripts find the place in $PLACE and what they write to $CALLS is
// returned by calls.
type bare struct {
	t           *testing.T
	path, place string
}

func newBare(t *testing.T, programs map[string]string) *bare {
	t.Helper()
	b := &bare{t, t.TempDir(), t.TempDir()}
	for name, body := range programs {
		if err := os.WriteFile(filepath.Join(b.path, name), []byte("#!/bin/sh\n"+body+"\n"), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	for _, tool := range []string{"sh", "mkdir", "touch", "sleep", "wc"} {
		path, err := exec.LookPath(tool)
		if err != nil {
			t.Fatal(err)
		}
		if err := os.Symlink(path, filepath.Join(b.path, tool)); err != nil {
			t.Fatal(err)
		}
	}
	t.Setenv("PATH", b.path)
	t.Setenv("PLACE", b.place)
	t.Setenv("CALLS", filepath.Join(b.path, "calls"))
	return b
}

func (b *bare) find(ctx context.Context, root bool) (string, error) {
	return pgserver.Find(ctx, []string{b.place + "/*/bin"}, root, slog.New(slog.DiscardHandler))
}

func (b *bare) calls() string {
	text, err := os.ReadFile(os.Getenv("CALLS"))
	if err != nil && !os.IsNotExist(err) {
		b.t.Error(err)
	}
	return string(text)
}

// Stand-ins of apt-get: the real one is not for tests to run.
const (
	noted    = `echo "apt-get $*" >>$CALLS; `
	unpacks  = noted + `case $* in *install*) for v in 9 14 15; do mkdir -p $PLACE/$v/bin; touch $PLACE/$v/bin/initdb $PLACE/$v/bin/postgres; done;; esac`
	occupied = unpacks + `; [ $(wc -l <$CALLS) != 1 ] || { echo "E: Could not get lock /var/lib/apt/lists/lock."; exit 100; }`
	outdated = unpacks + `; case $* in update*) echo "E: a mirror is away"; exit 100;; esac`
	fails    = `case $* in *install*) echo "E: Unable to locate package postgresql"; exit 100;; esac`
	endless  = `trap 'echo stopped >>$CALLS; kill $!; exit 100' INT; ` + noted + `sleep 60 & wait $!`
	sudo     = `echo sudo >>$CALLS; export ROOT=1; exec "$@"`
	su       = `echo su >>$CALLS; export ROOT=1; [ "$1 $2" = "- -c" ] && exec sh -c "$3"`
)

const (
	toUpdate  = "apt-get update -q\n"
	toInstall = "apt-get -o DPkg::Lock::Timeout=300 install -qy --no-install-recommends postgresql\n"
)

func TestRootHasPostgresInstalled(t *testing.T) {
	for _, tt := range []struct{ name, apt, calls string }{
		{"installed", unpacks, toUpdate + toInstall},
		{"another installation holds the lists", occupied, toUpdate + toUpdate + toInstall},
		{"a source of packages is away", outdated, toUpdate + toInstall},
	} {
		t.Run(tt.name, func(t *testing.T) {
			b := newBare(t, map[string]string{"apt-get": tt.apt})
			for range 2 { // what is there is not installed again
				if dir, err := b.find(t.Context(), true); err != nil || dir != b.place+"/15/bin" {
					t.Errorf("found %q, %v", dir, err)
				}
			}
			if got := b.calls(); got != tt.calls {
				t.Errorf("ran\n%swant\n%s", got, tt.calls)
			}
		})
	}
}

func TestPostgresCannotBeInstalled(t *testing.T) {
	for _, tt := range []struct{ name, apt, want string }{
		{"install fails", fails, "Unable to locate package postgresql; run it yourself: apt-get update; apt-get install"},
		{"somewhere else", "", "in none of the known places"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			b := newBare(t, map[string]string{"apt-get": tt.apt})
			if _, err := b.find(t.Context(), true); err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("got %v, want %q", err, tt.want)
			}
		})
	}
}

// TestInstallIsStoppedGently: dpkg is not killed at its work.
func TestInstallIsStoppedGently(t *testing.T) {
	b := newBare(t, map[string]string{"apt-get": endless})
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	done := make(chan error, 1)
	go func() {
		_, err := b.find(ctx, true)
		done <- err
	}()
	for end := time.Now().Add(20 * time.Second); !strings.Contains(b.calls(), "apt-get"); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal("nothing is installed")
		}
	}
	cancel()
	select {
	case err := <-done:
		if err == nil || err.Error() != "install postgresql: context canceled" || !strings.HasSuffix(b.calls(), "stopped\n") {
			t.Errorf("%v; ran\n%s", err, b.calls())
		}
	case <-time.After(20 * time.Second):
		t.Fatal("it does not stop")
	}
}

// TestOthersAreToldTheCommand and the command is one line that does what root would.
func TestOthersAreToldTheCommand(t *testing.T) {
	for _, by := range []string{"sudo", "su"} {
		t.Run(by, func(t *testing.T) {
			programs := map[string]string{"apt-get": `[ "$ROOT" ] || exit 100; ` + unpacks, "su": su}
			if by == "sudo" {
				programs["sudo"] = sudo
			}
			b := newBare(t, programs)
			_, err := b.find(t.Context(), false)
			if err == nil || b.calls() != "" {
				t.Fatalf("%v; ran\n%s", err, b.calls())
			}
			told, command, ok := strings.Cut(err.Error(), "; run: ")
			if !ok || told != "find postgres: PostgreSQL is not installed" || !strings.HasPrefix(command, by+" ") || strings.Contains(command, "\n") {
				t.Fatalf("told %q", err)
			}
			if out, err := exec.Command("/bin/sh", "-c", command).CombinedOutput(); err != nil {
				t.Fatalf("%s: %v: %s", command, err, out)
			}
			if dir, err := b.find(t.Context(), false); err != nil || dir != b.place+"/15/bin" {
				t.Errorf("found %q, %v", dir, err)
			}
			if want := by + "\napt-get update\napt-get install -y --no-install-recommends postgresql\n"; b.calls() != want {
				t.Errorf("ran\n%swant\n%s", b.calls(), want)
			}
		})
	}
}

func TestWhereThereIsNoAptGet(t *testing.T) {
	b := newBare(t, nil)
	for _, root := range []bool{true, false} {
		if _, err := b.find(t.Context(), root); err == nil || !strings.Contains(err.Error(), "install version 15 or later, or name the folder") {
			t.Errorf("root %v: %v", root, err)
		}
	}
}
