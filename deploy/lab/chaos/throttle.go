package chaos

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"andon.internal/shared/ops"
)

// blkio is where cgroup v1 bounds block devices. What writes for a file system, its
// journal among them, belongs to the group at the root: io.max of v2 has none there.
const blkio = "/sys/fs/cgroup/blkio"

// writesBound is the file in a group that bounds the writes of devices.
const writesBound = "blkio.throttle.write_iops_device"

// throttles says whether this machine can bound a device.
func throttles() error {
	if _, err := os.Stat(filepath.Join(blkio, writesBound)); err != nil {
		return ops.Hint(fmt.Errorf("slow-disk needs cgroup v1: %w", err), "mount -t cgroup -o blkio blkio "+blkio+", or name other faults with --faults")
	}
	return nil
}

// throttle bounds the writes of the device under a file system; 0 lifts the bound. It
// holds for processes of the root's group, and of our own.
func (d *disk) throttle(writesPerSecond int) error {
	var st unix.Stat_t
	if err := unix.Stat(d.mount, &st); err != nil {
		return fmt.Errorf("bound the writes to %s: %w", d.mount, err)
	}
	groups := []string{blkio}
	if own := ownGroup(); own != "" && own != "/" {
		groups = append(groups, filepath.Join(blkio, own))
	}
	line := fmt.Sprintf("%d:%d %d", unix.Major(st.Dev), unix.Minor(st.Dev), writesPerSecond)
	for _, dir := range groups {
		if err := os.WriteFile(filepath.Join(dir, writesBound), []byte(line), 0); err != nil {
			return fmt.Errorf("bound the writes to %s: %w", d.mount, err)
		}
	}
	return nil
}

// lift lifts what a killed run may have left: the number of the device is another's soon.
func (d *disk) lift() error {
	bound, err := os.ReadFile(filepath.Join(blkio, writesBound))
	if errors.Is(err, fs.ErrNotExist) || err == nil && len(bytes.TrimSpace(bound)) == 0 {
		return nil
	}
	return errors.Join(err, d.throttle(0))
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

// slowWrites is how many a worn card takes in a second while it tidies up.
const slowWrites = 20

// slowDisk has the disk of a cell take 20 writes a second, and pulls its cable, so that
// everything must be written.
func slowDisk(ctx context.Context, r *rig, target string) (cure, error) {
	if err := throttles(); err != nil {
		return nil, err
	}
	d := r.w.hosts[target].disk
	before, err := d.timeWrites()
	if err != nil {
		return nil, err
	}
	kept, err := r.keepsPace(ctx, target)
	if err != nil {
		return nil, err
	}
	lift := func(ctx context.Context) error {
		return errors.Join(kept(ctx), d.throttle(0), r.carrier(ctx, target, "up"))
	}
	if err := errors.Join(r.carrier(ctx, target, "down"), d.throttle(slowWrites)); err != nil {
		return lift, err
	}
	after, err := d.timeWrites()
	if err != nil {
		return lift, err
	}
	r.say("%d synced writes took %v, now %v", timedWrites, before.Round(time.Millisecond), after.Round(time.Millisecond))
	if after < (timedWrites-2)*time.Second/slowWrites {
		return lift, fmt.Errorf("the disk of %s is not slow: %d synced writes took %v", target, timedWrites, after)
	}
	return lift, nil
}

const timedWrites = 6

// timeWrites measures how long some writes take, each of them synced.
func (d *disk) timeWrites() (time.Duration, error) {
	path := filepath.Join(d.mount, "timed")
	f, err := os.OpenFile(path, os.O_CREATE|os.O_WRONLY|unix.O_DSYNC, 0o600)
	if err != nil {
		return 0, err
	}
	defer os.Remove(path)
	defer f.Close()
	page := make([]byte, 4096)
	begun := time.Now()
	for n := range int64(timedWrites) {
		if _, err := f.WriteAt(page, n*int64(len(page))); err != nil {
			return 0, fmt.Errorf("time writes: %w", err)
		}
	}
	return time.Since(begun), nil
}
