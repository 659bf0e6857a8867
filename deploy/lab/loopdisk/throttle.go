package loopdisk

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"andon.internal/shared/ops"
)

// blkio is where cgroup v1 bounds block devices. What writes for a file system, its
// journal among them, belongs to the group at the root: io.max of v2 has none there.
const blkio = "/sys/fs/cgroup/blkio"

// The files in a group that bound the writes of devices, by their number and by their bytes.
const (
	writesBound = "blkio.throttle.write_iops_device"
	bytesBound  = "blkio.throttle.write_bps_device"
)

// Throttles says whether this machine can bound a device.
func Throttles() error {
	if _, err := os.Stat(filepath.Join(blkio, writesBound)); err != nil {
		return ops.Hint(fmt.Errorf("a slow disk needs cgroup v1: %w", err), "mount -t cgroup -o blkio blkio "+blkio)
	}
	return nil
}

// Throttle bounds the writes of the device under a file system; 0 lifts the bound. It
// holds for processes of the root's group, and of our own, for each of the two.
func (d *Disk) Throttle(writesPerSecond int) error {
	return d.bound(writesBound, int64(writesPerSecond))
}

// ThrottleBytes bounds what is written, in bytes, as Throttle bounds the writes.
func (d *Disk) ThrottleBytes(perSecond int64) error { return d.bound(bytesBound, perSecond) }

func (d *Disk) bound(file string, perSecond int64) error {
	var st unix.Stat_t
	if err := unix.Stat(d.Mount, &st); err != nil {
		return fmt.Errorf("bound the writes to %s: %w", d.Mount, err)
	}
	groups := []string{blkio}
	if own := ownGroup(); own != "" && own != "/" {
		groups = append(groups, filepath.Join(blkio, own))
	}
	line := fmt.Sprintf("%d:%d %d", unix.Major(st.Dev), unix.Minor(st.Dev), perSecond)
	for _, dir := range groups {
		if err := os.WriteFile(filepath.Join(dir, file), []byte(line), 0); err != nil {
			return fmt.Errorf("bound the writes to %s: %w", d.Mount, err)
		}
	}
	return nil
}

// Lift lifts what a killed run may have left: the number of the device is another's soon.
func (d *Disk) Lift() error {
	return errors.Join(d.lift(writesBound), d.lift(bytesBound))
}

func (d *Disk) lift(file string) error {
	bound, err := os.ReadFile(filepath.Join(blkio, file))
	if errors.Is(err, fs.ErrNotExist) || err == nil && len(bytes.TrimSpace(bound)) == 0 {
		return nil
	}
	return errors.Join(err, d.bound(file, 0))
}

// ownGroup is the group of this process, from the root of blkio.
func ownGroup() string {
	b, _ := os.ReadFile("/proc/self/cgroup")
	for line := range strings.Lines(string(b)) {
		if f := strings.SplitN(strings.TrimSpace(line), ":", 3); len(f) == 3 && f[1] == "blkio" {
			return f[2]
		}
	}
	return ""
}

// Written is what was written to the device, in bytes: how much between two calls, since the
// kernel may have counted for another disk of that number before.
func (d *Disk) Written() (int64, error) {
	var st unix.Stat_t
	if err := unix.Stat(d.Mount, &st); err != nil {
		return 0, fmt.Errorf("what was written to %s: %w", d.Mount, err)
	}
	b, err := os.ReadFile(fmt.Sprintf("/sys/dev/block/%d:%d/stat", unix.Major(st.Dev), unix.Minor(st.Dev)))
	if err != nil {
		return 0, fmt.Errorf("what was written to %s: %w", d.Mount, err)
	}
	const sector, written = 512, 6 // the place in the line: Documentation/block/stat.rst of Linux
	f := strings.Fields(string(b))
	if len(f) <= written {
		return 0, fmt.Errorf("what was written to %s: the kernel says %q", d.Mount, b)
	}
	n, err := strconv.ParseInt(f[written], 10, 64)
	return n * sector, err
}

// TimedWrites is how many writes TimeWrites makes.
const TimedWrites = 6

// TimeWrites measures how long some writes take, each of them synced.
func (d *Disk) TimeWrites() (time.Duration, error) {
	path := filepath.Join(d.Mount, "timed")
	f, err := os.OpenFile(path, os.O_CREATE|os.O_WRONLY|unix.O_DSYNC, 0o600)
	if err != nil {
		return 0, err
	}
	defer os.Remove(path)
	defer f.Close()
	page := make([]byte, 4096)
	begun := time.Now()
	for n := range int64(TimedWrites) {
		if _, err := f.WriteAt(page, n*int64(len(page))); err != nil {
			return 0, fmt.Errorf("time writes: %w", err)
		}
	}
	return time.Since(begun), nil
}
