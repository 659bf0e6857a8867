// Package loopdisk makes disks for the lab: file systems on loop devices, which can be full,
// slow, copied while they are in use, and lose their power.
//
// It promises that a disk without power forgets all that was not synced. It needs root. A
// Disk is not safe for concurrent use, but for Throttle, ThrottleBytes and Lift.
package loopdisk

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// Bytes is the size of disks that Make makes; XFS takes no less. The files are sparse.
const Bytes = 320 << 20

// Disk is a file system in the file Image, mounted at the folder Mount.
type Disk struct{ Image, Mount string }

// Make makes a file system, "ext4" or "xfs", in the folder dir, as NAME.img, and mounts it
// at NAME.disk there.
func Make(ctx context.Context, dir, name, kind string) (*Disk, error) {
	return MakeSized(ctx, dir, name, kind, Bytes)
}

// MakeSized makes one of another size, in bytes.
func MakeSized(ctx context.Context, dir, name, kind string, size int64) (*Disk, error) {
	if os.Geteuid() != 0 {
		return nil, errors.New("loop devices are made by root")
	}
	d := &Disk{Image: filepath.Join(dir, name+".img"), Mount: filepath.Join(dir, name+".disk")}
	if err := errors.Join(os.Mkdir(d.Mount, 0o755), os.WriteFile(d.Image, nil, 0o600), os.Truncate(d.Image, size)); err != nil {
		return nil, err
	}
	// The kernel would else go on with it when it is mounted.
	args := []string{"-q", "-F", "-m", "0", "-E", "lazy_itable_init=0,lazy_journal_init=0", d.Image}
	if kind == "xfs" {
		args = []string{"-q", "-f", d.Image}
	}
	if err := run(ctx, "mkfs."+kind, args...); err != nil {
		return nil, err
	}
	if err := d.Attach(ctx); err != nil {
		_ = unix.Unmount(d.Mount, 0) // mount may have been cut off behind its work
		return nil, err
	}
	return d, nil
}

func run(ctx context.Context, name string, args ...string) error {
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.WaitDelay = time.Second
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("%s %s: %w: %s", name, strings.Join(args, " "), err, strings.TrimSpace(string(out)))
	}
	return nil
}

// Attach mounts the disk, with further options of mount.
func (d *Disk) Attach(ctx context.Context, options ...string) error {
	for tries := 0; d.looped() && tries < 1000; tries++ {
		if err := pass(ctx, 5*time.Millisecond); err != nil {
			return err
		}
	}
	return run(ctx, "mount", "-o", strings.Join(append([]string{"loop"}, options...), ","), d.Image, d.Mount)
}

// looped reports whether a loop device has the image still. The kernel takes it away a
// moment after the unmount, and a mount at that moment can get one that then fails.
func (d *Disk) looped() bool {
	loops, _ := filepath.Glob("/sys/block/loop*/loop/backing_file")
	return slices.ContainsFunc(loops, func(path string) bool {
		file, _ := os.ReadFile(path) // gone by now: good
		return strings.TrimSpace(string(file)) == d.Image
	})
}

// Detach unmounts. Whoever used the disk is gone, but for what the kernel still has to clean up.
func (d *Disk) Detach(ctx context.Context) error {
	for tries := 0; ; tries++ {
		err := unix.Unmount(d.Mount, 0)
		if !errors.Is(err, unix.EBUSY) || tries == 100 {
			if err != nil {
				return fmt.Errorf("unmount %s: %w", d.Mount, err)
			}
			return nil
		}
		if err := pass(ctx, 50*time.Millisecond); err != nil {
			return err
		}
	}
}

func pass(ctx context.Context, d time.Duration) error {
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(d):
		return nil
	}
}

// The requests EXT4_IOC_SHUTDOWN and XFS_IOC_GOINGDOWN, with its flag, by which not even the
// journal is flushed, FIFREEZE and FITHAW.
const (
	iocShutdown = 0x8004587d
	noLogFlush  = 2
	iocFreeze   = 0xc0045877
	iocThaw     = 0xc0045878
)

// PowerOff makes the file system forget everything that was not synced. It takes
// nothing any more until it is unmounted and mounted again.
func (d *Disk) PowerOff() error {
	f, err := os.Open(d.Mount)
	if err != nil {
		return err
	}
	defer f.Close()
	if err := unix.IoctlSetPointerInt(int(f.Fd()), iocShutdown, noLogFlush); err != nil {
		return fmt.Errorf("cut the power of %s: %w", d.Mount, err)
	}
	return nil
}

// Snapshot copies a disk in use as it is at one moment, as a hypervisor does.
func (d *Disk) Snapshot(ctx context.Context, to string) error {
	f, err := os.Open(d.Mount)
	if err != nil {
		return err
	}
	defer f.Close()
	if err := unix.IoctlSetPointerInt(int(f.Fd()), iocFreeze, 0); err != nil {
		return fmt.Errorf("freeze %s: %w", d.Mount, err)
	}
	err = run(ctx, "cp", d.Image, to)
	if thaw := unix.IoctlSetPointerInt(int(f.Fd()), iocThaw, 0); thaw != nil {
		err = errors.Join(err, fmt.Errorf("thaw %s: %w", d.Mount, thaw))
	}
	return err
}

// Fill takes all space with a file, and returns how to give it back.
func (d *Disk) Fill() (free func() error, err error) {
	path := filepath.Join(d.Mount, "foreign")
	f, err := os.Create(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	var size int64
	for step := int64(64 << 20); step >= 4096; {
		err := unix.Fallocate(int(f.Fd()), 0, size, step)
		switch {
		case err == nil:
			size += step
		case errors.Is(err, unix.ENOSPC):
			step /= 2
		case !errors.Is(err, unix.EINTR):
			return nil, errors.Join(fmt.Errorf("fill %s: %w", d.Mount, err), os.Remove(path))
		}
	}
	return func() error { return os.Remove(path) }, nil
}
