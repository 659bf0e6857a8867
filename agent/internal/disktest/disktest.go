// Package disktest gives tests a disk of their own, to be filled, frozen, taken away, and to
// lose its power.
//
// It promises that the disk is gone after the test.
package disktest

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// From linux/fs.h.
const (
	fiFreeze = 0xC0045877
	fiThaw   = 0xC0045878
)

// Disk is a file system in a file, mounted. It needs root.
type Disk struct {
	Dir    string // where it is mounted
	image  string
	t      testing.TB
	frozen bool
}

// Mount makes an ext4 of so many bytes and mounts it until the test ends.
func Mount(t testing.TB, size int64) *Disk {
	t.Helper()
	return MountKind(t, "ext4", size)
}

// MountAt is Mount in a folder that is there.
func MountAt(t testing.TB, dir string, size int64) *Disk { return mount(t, dir, "ext4", size) }

// MountKind is Mount for a kind of file system: "ext4" or "xfs", which takes 300 MiB at least.
func MountKind(t testing.TB, kind string, size int64) *Disk {
	t.Helper()
	return mount(t, t.TempDir(), kind, size)
}

func mount(t testing.TB, dir, kind string, size int64) *Disk {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Fatal("this test needs root: it mounts a file system")
	}
	for _, program := range []string{"mkfs." + kind, "mount", "umount"} {
		if _, err := exec.LookPath(program); err != nil {
			t.Fatalf("this test needs %s: on Debian it is in e2fsprogs, xfsprogs or mount", program)
		}
	}
	d := &Disk{Dir: dir, image: filepath.Join(t.TempDir(), "image"), t: t}
	if err := errors.Join(os.WriteFile(d.image, nil, 0o600), os.Truncate(d.image, size)); err != nil {
		t.Fatal(err)
	}
	if kind == "xfs" {
		d.run("mkfs.xfs", "-q", "-f", d.image)
	} else {
		d.run("mkfs.ext4", "-q", "-F", "-m", "0", d.image)
	}
	d.run("mount", "-o", "loop", d.image, d.Dir)
	t.Cleanup(func() {
		d.Thaw()
		d.unmount()
	})
	return d
}

// unmount waits for what the kernel still has to clean up.
func (d *Disk) unmount() {
	d.t.Helper()
	d.within("it is unmounted", func() bool { return unix.Unmount(d.Dir, 0) == nil })
}

func (d *Disk) within(what string, done func() bool) {
	d.t.Helper()
	for end := time.Now().Add(20 * time.Second); !done(); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(end) {
			d.t.Fatalf("%s: not within 20 s", what)
		}
	}
}

// Cut makes the file system forget what was not synced, and fail from now on.
func (d *Disk) Cut() error {
	const shutdown, noLogFlush = 0x8004587d, 2 // EXT4_IOC_SHUTDOWN, XFS_IOC_GOINGDOWN
	f, err := os.Open(d.Dir)
	if err != nil {
		return err
	}
	defer f.Close()
	return unix.IoctlSetPointerInt(int(f.Fd()), shutdown, noLogFlush)
}

// Restore gives the power back. Nobody may use the file system.
func (d *Disk) Restore() {
	d.t.Helper()
	d.unmount()
	// The kernel takes the loop device away a moment later, and mount would take it for a good one.
	d.within("the loop device is gone", func() bool {
		loops, _ := filepath.Glob("/sys/block/loop*/loop/backing_file")
		return !slices.ContainsFunc(loops, func(path string) bool {
			file, _ := os.ReadFile(path)
			return strings.TrimSpace(string(file)) == d.image
		})
	})
	d.run("mount", "-o", "loop", d.image, d.Dir)
}

func (d *Disk) run(name string, args ...string) {
	d.t.Helper()
	if out, err := exec.Command(name, args...).CombinedOutput(); err != nil {
		d.t.Fatalf("this test needs %s, and a kernel with loop devices: %v\n%s", name, err, out)
	}
}

// ReadOnly lets nobody write, as a kernel does with a disk that fails, or lets them again.
func (d *Disk) ReadOnly(on bool) {
	d.t.Helper()
	mode := "remount,rw"
	if on {
		mode = "remount,ro"
	}
	d.run("mount", "-o", mode, d.Dir)
}

// Freeze makes every write and sync hang until Thaw.
func (d *Disk) Freeze() {
	d.t.Helper()
	d.ioctl(fiFreeze)
	d.frozen = true
}

// Thaw ends Freeze. It may be called again.
func (d *Disk) Thaw() {
	d.t.Helper()
	if d.frozen {
		d.frozen = false
		d.ioctl(fiThaw)
	}
}

func (d *Disk) ioctl(request uint) {
	d.t.Helper()
	f, err := os.Open(d.Dir)
	if err != nil {
		d.t.Fatal(err)
	}
	defer f.Close()
	if err := unix.IoctlSetInt(int(f.Fd()), request, 0); err != nil {
		d.t.Fatalf("this test needs a file system that can be frozen: %v", err)
	}
}
