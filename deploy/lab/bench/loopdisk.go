package bench

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// blkioRoot is where the block controller of the control groups is mounted.
const blkioRoot = "/sys/fs/cgroup/blkio"

// loopDisk is a file system of its own on a loop device, for a cell that is to have a disk
// that is full or slow.
type loopDisk struct {
	mount  string
	device string // major:minor
	group  string // the control group of who is slowed down; "" while nobody is
}

// loopBytes is the size of the disk. Its file is sparse.
const loopBytes = 320 << 20

// makeDisk makes one in a folder. It needs root.
func makeDisk(ctx context.Context, dir string) (*loopDisk, error) {
	if os.Geteuid() != 0 {
		return nil, errors.New("a loop device and a control group are made by root")
	}
	if _, err := os.Stat(filepath.Join(blkioRoot, "cgroup.procs")); err != nil {
		return nil, fmt.Errorf("the disk is slowed down by the block controller of version 1 of the control groups: %w", err)
	}
	image := filepath.Join(dir, "disk.img")
	d := &loopDisk{mount: filepath.Join(dir, "disk")}
	if err := errors.Join(os.WriteFile(image, nil, 0o600), os.Truncate(image, loopBytes), os.Mkdir(d.mount, 0o755)); err != nil {
		return nil, err
	}
	if err := command(ctx, "mkfs.ext4", "-q", "-F", "-m", "0", image); err != nil {
		return nil, err
	}
	if err := command(ctx, "mount", "-o", "loop", image, d.mount); err != nil {
		return nil, err
	}
	var st unix.Stat_t
	if err := unix.Stat(d.mount, &st); err != nil {
		return nil, errors.Join(err, d.remove())
	}
	d.device = fmt.Sprintf("%d:%d", unix.Major(st.Dev), unix.Minor(st.Dev))
	return d, nil
}

func command(ctx context.Context, name string, args ...string) error {
	if out, err := exec.CommandContext(ctx, name, args...).CombinedOutput(); err != nil {
		return fmt.Errorf("%s %s: %w: %s", name, strings.Join(args, " "), err, strings.TrimSpace(string(out)))
	}
	return nil
}

// fill takes all the space that is left.
func (d *loopDisk) fill() error {
	f, err := os.Create(filepath.Join(d.mount, "foreign"))
	if err != nil {
		return err
	}
	defer f.Close()
	var size int64
	for step := int64(64 << 20); step >= 4096; {
		switch err := unix.Fallocate(int(f.Fd()), 0, size, step); {
		case err == nil:
			size += step
		case errors.Is(err, unix.ENOSPC):
			step /= 2
		case !errors.Is(err, unix.EINTR):
			return fmt.Errorf("fill %s: %w", d.mount, err)
		}
	}
	return nil
}

// free gives it back.
func (d *loopDisk) free() error { return os.Remove(filepath.Join(d.mount, "foreign")) }

// throttle lets the disk take so many writes a second of a process.
func (d *loopDisk) throttle(pid, iops int) error {
	d.group = filepath.Join(blkioRoot, "andon-bench-"+strconv.Itoa(os.Getpid()))
	if err := os.Mkdir(d.group, 0o755); err != nil {
		return err
	}
	return errors.Join(
		os.WriteFile(filepath.Join(d.group, "blkio.throttle.write_iops_device"), []byte(d.device+" "+strconv.Itoa(iops)), 0),
		os.WriteFile(filepath.Join(d.group, "cgroup.procs"), []byte(strconv.Itoa(pid)), 0),
	)
}

// release ends that. What waits at the disk is let through by lifting the bound first.
func (d *loopDisk) release() error {
	if d.group == "" {
		return nil
	}
	err := os.WriteFile(filepath.Join(d.group, "blkio.throttle.write_iops_device"), []byte(d.device+" 0"), 0)
	procs, rerr := os.ReadFile(filepath.Join(d.group, "cgroup.procs"))
	err = errors.Join(err, rerr)
	for _, pid := range strings.Fields(string(procs)) {
		err = errors.Join(err, os.WriteFile(filepath.Join(blkioRoot, "cgroup.procs"), []byte(pid), 0))
	}
	if err = errors.Join(err, os.Remove(d.group)); err == nil {
		d.group = ""
	}
	return err
}

// remove unmounts it. Whoever used it is gone, but for what the kernel still has to clean up.
func (d *loopDisk) remove() error {
	err := d.release()
	for tries := 0; ; tries++ {
		busy := unix.Unmount(d.mount, 0)
		if !errors.Is(busy, unix.EBUSY) || tries == 100 {
			return errors.Join(err, busy)
		}
		time.Sleep(50 * time.Millisecond)
	}
}
