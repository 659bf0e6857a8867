package flakyfs_test

import (
	"errors"
	"os"
	"path/filepath"
	"syscall"
	"testing"

	"andon.internal/lab/flakyfs"
)

func TestSyncsFail(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Fatal("this test needs root: it mounts a file system")
	}
	under, at := t.TempDir(), t.TempDir()
	f, err := flakyfs.Mount(under, at)
	if err != nil {
		t.Fatal(err)
	}
	mounted := true
	t.Cleanup(func() {
		if mounted {
			_ = f.Unmount()
		}
	})
	if err := os.Mkdir(filepath.Join(at, "buffer"), 0o755); err != nil {
		t.Fatal(err)
	}
	file, err := os.Create(filepath.Join(at, "buffer", "record"))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := file.WriteString("one"); err != nil {
		t.Fatal(err)
	}
	if err := file.Sync(); err != nil || f.Synced() != 1 || f.Failed() != 0 {
		t.Fatalf("a whole disk: %v, %d synced, %d failed", err, f.Synced(), f.Failed())
	}
	f.Break(true)
	if _, err := file.WriteString(" two"); err != nil {
		t.Errorf("write on a disk that does not sync: %v", err)
	}
	if err := file.Sync(); !errors.Is(err, syscall.EIO) || f.Failed() != 1 {
		t.Errorf("sync answers %v, %d failed; want EIO and 1", err, f.Failed())
	}
	if err := syscall.Fdatasync(int(file.Fd())); !errors.Is(err, syscall.EIO) {
		t.Errorf("fdatasync answers %v, want EIO", err)
	}
	f.Break(false)
	if err := file.Sync(); err != nil {
		t.Errorf("the disk is whole again: %v", err)
	}
	if err := file.Close(); err != nil {
		t.Fatal(err)
	}
	mounted = false
	if err := f.Unmount(); err != nil {
		t.Fatal(err)
	}
	if b, err := os.ReadFile(filepath.Join(under, "buffer", "record")); string(b) != "one two" {
		t.Errorf("below is %q, %v", b, err)
	}
	if left, err := os.ReadDir(at); err != nil || len(left) > 0 {
		t.Errorf("after Unmount: %v, %v", left, err)
	}
}
