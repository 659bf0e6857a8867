// Package atomicfile replaces files whole: keys, certificates and lists, which a power
// cut must not leave in halves, and which a service shares with root's commands.
package atomicfile

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"syscall"
	"time"
)

// Write replaces a file, and makes its folder where there is none: at its name is the old
// one or the new one, whole, also after a power cut; the new one once it returns. Root
// leaves it to the owner of the folder, who is to read it.
func Write(path string, mode os.FileMode, parts ...[]byte) error {
	dir := filepath.Dir(path)
	if err := makeFolder(dir); err != nil {
		return err
	}
	sweep(dir)
	f, err := os.CreateTemp(dir, beginning)
	if err != nil {
		return err
	}
	defer os.Remove(f.Name()) // gone already when all went well
	err = f.Chmod(mode)
	for _, p := range parts {
		if err == nil {
			_, err = f.Write(p)
		}
	}
	if err == nil {
		err = LeaveToOwner(f.Name())
	}
	if err == nil {
		err = f.Sync()
	}
	if err = errors.Join(err, f.Close()); err != nil {
		return err
	}
	if err := os.Rename(f.Name(), path); err != nil {
		return err
	}
	return syncFolder(dir)
}

// Prepare makes a file's folder where there is none, and tries whether Write could write
// to it.
func Prepare(path string) error {
	dir := filepath.Dir(path)
	if err := makeFolder(dir); err != nil {
		return err
	}
	try, err := os.CreateTemp(dir, beginning)
	if err != nil {
		return err
	}
	return errors.Join(try.Close(), os.Remove(try.Name()))
}

// LeaveToOwner gives what root has made to the owner of the folder that it lies in; for
// another user than root it does nothing.
func LeaveToOwner(path string) error {
	dir := filepath.Dir(path)
	fi, err := os.Stat(dir)
	if err != nil || os.Geteuid() != 0 {
		return err
	}
	owner, ok := fi.Sys().(*syscall.Stat_t)
	if !ok {
		return fmt.Errorf("%s has no owner", dir)
	}
	return os.Chown(path, int(owner.Uid), int(owner.Gid))
}

// beginning is that of the names of files that are not whole yet.
const beginning = ".new-"

// sweep removes what crashes have left: there may be a key in it.
func sweep(dir string) {
	left, _ := filepath.Glob(filepath.Join(dir, beginning+"*")) // a good pattern
	for _, path := range left {
		if fi, err := os.Stat(path); err == nil && time.Since(fi.ModTime()) > time.Hour {
			os.Remove(path)
		}
	}
}

func makeFolder(dir string) error {
	if _, err := os.Stat(dir); !errors.Is(err, os.ErrNotExist) {
		return err
	}
	above := filepath.Dir(dir)
	if err := makeFolder(above); err != nil {
		return err
	}
	if err := os.Mkdir(dir, 0o700); err != nil {
		return err
	}
	return errors.Join(LeaveToOwner(dir), syncFolder(above))
}

func syncFolder(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}
