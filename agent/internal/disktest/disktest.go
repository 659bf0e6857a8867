// Package disktest gives tests a disk of their own, to be filled, frozen and taken away.
//
// It promises that the disk is gone after the test.
package disktest

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"
)

// From linux/fs.h.
const (
	fiFreeze = 0xC0045877
	fiThaw   = 0xC0045878
)

// Disk is an ext4 file system in a file, mounted. It needs root.
type Disk struct {
	Dir    string // where it is mounted
	t      testing.TB
	frozen bool
}

// Mount makes a file system of so many bytes and mounts it until the test ends.
func Mount(t testing.TB, size int64) *Disk {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Fatal("this test needs root: it mounts a file system")
	}
	for _, program := range []string{"mkfs.ext4", "mount", "umount"} {
		if _, err := exec.LookPath(program); err != nil {
			t.Fatalf("this test needs %s: on Debian it is in e2fsprogs or mount", program)
		}
	}
	image := filepath.Join(t.TempDir(), "image")
	d := &Disk{Dir: t.TempDir(), t: t}
	if err := errors.Join(os.WriteFile(image, nil, 0o600), os.Truncate(image, size)); err != nil {
		t.Fatal(err)
	}
	d.run("mkfs.ext4", "-q", "-F", "-m", "0", image)
	d.run("mount", "-o", "loop", image, d.Dir)
	t.Cleanup(func() {
		d.Thaw()
		d.run("umount", d.Dir)
	})
	return d
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
