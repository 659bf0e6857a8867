package pgserver

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
)

// places are where packages put PostgreSQL's programs, outside PATH.
var places = []string{"/usr/lib/postgresql/*/bin", "/usr/pgsql-*/bin"}

// InstallCommand is what to run where PostgreSQL is missing on a Debian-like system.
const InstallCommand = "apt-get install -y --no-install-recommends postgresql"

var versionNumber = regexp.MustCompile(`[0-9]+`)

// findBinaries returns the folder that holds initdb and postgres.
func findBinaries(ctx context.Context, explicit string, log *slog.Logger) (string, error) {
	if explicit != "" {
		if !complete(explicit) {
			return "", fmt.Errorf("find postgres: there are no initdb and postgres in %s", explicit)
		}
		return filepath.Abs(explicit)
	}
	if dir, ok := lookUp(); ok {
		return dir, nil
	}
	if _, err := exec.LookPath("apt-get"); err != nil || os.Geteuid() != 0 {
		return "", errors.New("find postgres: PostgreSQL is not installed; run: sudo " + InstallCommand)
	}
	if err := install(ctx, log); err != nil {
		return "", err
	}
	if dir, ok := lookUp(); ok {
		return dir, nil
	}
	return "", errors.New("find postgres: the package is installed, but initdb and postgres are in none of the known places; name their folder")
}

// lookUp searches PATH, then the newest version in the usual places.
func lookUp() (string, bool) {
	if path, err := exec.LookPath("initdb"); err == nil {
		if real, err := filepath.EvalSymlinks(path); err == nil && complete(filepath.Dir(real)) {
			return filepath.Dir(real), true
		}
	}
	best, newest := "", -1
	for _, pattern := range places {
		dirs, _ := filepath.Glob(pattern)
		for _, dir := range dirs {
			version, _ := strconv.Atoi(versionNumber.FindString(dir))
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

// install gets Debian's package, without starting the cluster that comes with it.
// Installations at once wait for each other.
func install(ctx context.Context, log *slog.Logger) error {
	log.Info("installing postgresql", "command", InstallCommand)
	const script = `apt-get -o DPkg::Lock::Timeout=300 update -q && apt-get -o DPkg::Lock::Timeout=300 install -qy --no-install-recommends postgresql`
	cmd := exec.CommandContext(ctx, "sh", "-c", script)
	cmd.Env = append(os.Environ(), "DEBIAN_FRONTEND=noninteractive", "RUNLEVEL=1")
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("install postgresql: %w: %s; run it yourself: %s", err, tail(out), InstallCommand)
	}
	return nil
}
