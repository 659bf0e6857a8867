package pgserver

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"syscall"
	"time"
)

// places are where packages put PostgreSQL's programs, outside PATH.
var places = []string{"/usr/lib/postgresql/*/bin", "/usr/pgsql-*/bin"}

// installCommand is what root runs where PostgreSQL is missing on a Debian-like system.
const installCommand = "apt-get update; apt-get install -y --no-install-recommends postgresql"

var versionNumber = regexp.MustCompile(`[0-9]+`)

// finder looks for PostgreSQL's programs.
type finder struct {
	places []string // patterns of folders to look in after PATH
	root   bool     // may install
	log    *slog.Logger
}

func newFinder(log *slog.Logger) *finder {
	return &finder{places: places, root: os.Geteuid() == 0, log: log}
}

// find returns the folder that holds initdb and postgres: explicit where it is not
// empty, else one that is there already, else that of the package it installs.
func (f *finder) find(ctx context.Context, explicit string) (string, error) {
	if explicit != "" {
		if !complete(explicit) {
			return "", fmt.Errorf("find postgres: there are no initdb and postgres in %s", explicit)
		}
		return filepath.Abs(explicit)
	}
	if dir, ok := f.lookUp(); ok {
		return dir, nil
	}
	if _, err := exec.LookPath("apt-get"); err != nil {
		return "", errors.New("find postgres: PostgreSQL is not installed: install version 15 or later, or name the folder of its initdb and postgres")
	}
	if !f.root {
		return "", fmt.Errorf("find postgres: PostgreSQL is not installed; run: %s", asRoot(installCommand))
	}
	if err := f.install(ctx); err != nil {
		return "", err
	}
	if dir, ok := f.lookUp(); ok {
		return dir, nil
	}
	return "", errors.New("find postgres: the package is installed, but initdb and postgres are in none of the known places; name their folder")
}

// asRoot is the command line by which a user runs a command as root.
func asRoot(command string) string {
	if _, err := exec.LookPath("sudo"); err == nil {
		return "sudo sh -c '" + command + "'"
	}
	return "su - -c '" + command + "'" // a login: a user's PATH lacks /sbin, which dpkg needs
}

// lookUp searches PATH, then the newest version in the usual places.
func (f *finder) lookUp() (string, bool) {
	if path, err := exec.LookPath("initdb"); err == nil {
		if real, err := filepath.EvalSymlinks(path); err == nil && complete(filepath.Dir(real)) {
			return filepath.Dir(real), true
		}
	}
	best, newest := "", -1
	for _, pattern := range f.places {
		dirs, _ := filepath.Glob(pattern)
		for _, dir := range dirs {
			version, _ := strconv.Atoi(versionNumber.FindString(filepath.Base(filepath.Dir(dir))))
			if version > newest && complete(dir) {
				best, newest = dir, version
			}
		}
	}
	return best, best != ""
}

// complete reports whether dir has both programs.
func complete(dir string) bool {
	for _, name := range []string{"initdb", "postgres"} {
		if fi, err := os.Stat(filepath.Join(dir, name)); err != nil || fi.IsDir() {
			return false
		}
	}
	return true
}

// install gets Debian's package. Installations at once wait for each other.
func (f *finder) install(ctx context.Context) error {
	f.log.Info("installing postgresql", "command", installCommand)
	if out, err := f.updateLists(ctx); err != nil && ctx.Err() == nil {
		// One source of many may be away, and what is known may do.
		f.log.Warn("the lists of packages are not up to date", "error", err, "output", tail(out))
	}
	out, err := apt(ctx, "-o", "DPkg::Lock::Timeout=300", "install", "-qy", "--no-install-recommends", "postgresql")
	if ctx.Err() != nil {
		return fmt.Errorf("install postgresql: %w", ctx.Err())
	}
	if err != nil {
		return fmt.Errorf("install postgresql: %w: %s; run it yourself: %s", err, tail(out), installCommand)
	}
	return nil
}

// updateLists waits up to five minutes for others who do the same: unlike dpkg's, the
// lock of the lists is not waited for by apt-get.
func (f *finder) updateLists(ctx context.Context) (out []byte, err error) {
	for end := time.Now().Add(5 * time.Minute); ; {
		out, err = apt(ctx, "update", "-q")
		if err == nil || !bytes.Contains(out, []byte("Could not get lock")) || time.Now().After(end) {
			return out, err
		}
		if err := pause(ctx, time.Second); err != nil {
			return out, err
		}
	}
}

// apt runs apt-get without questions, and without systemd: the cluster that comes with
// the package is not started, at least not before the next boot. At the end of ctx it is
// asked to stop, so that no package stays half installed.
func apt(ctx context.Context, args ...string) ([]byte, error) {
	cmd := exec.CommandContext(ctx, "apt-get", args...)
	cmd.Cancel = func() error { return cmd.Process.Signal(os.Interrupt) }
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} // a Ctrl-C at our terminal would end dpkg too
	cmd.Env = append(os.Environ(), "DEBIAN_FRONTEND=noninteractive", "SYSTEMD_OFFLINE=1", "LC_ALL=C")
	return cmd.CombinedOutput()
}
