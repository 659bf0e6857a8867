package identity

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"syscall"
	"time"
)

// Files are where a cell's certificates lie.
type Files struct {
	CA   string // the authority's certificate
	Pair string // our own and its key, in one file
}

// FilesIn names the files in a folder.
func FilesIn(dir string) Files {
	return Files{CA: filepath.Join(dir, "ca.crt"), Pair: filepath.Join(dir, "cell.pem")}
}

// write replaces a file, and makes its folder where there is none: at its name is the old
// one or the new one, whole, also after a power cut; the new one once it returns. Root
// leaves it to the owner of the folder, who is to read it.
func write(path string, mode os.FileMode, parts ...[]byte) error {
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
		err = leaveTo(f.Name(), dir)
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

// prepare makes the folders of the files, and tries whether they can be written to: a
// token that was used must not meet a folder that is closed.
func (f Files) prepare() error {
	for _, path := range []string{f.CA, f.Pair} {
		dir := filepath.Dir(path)
		if err := makeFolder(dir); err != nil {
			return err
		}
		try, err := os.CreateTemp(dir, beginning)
		if err != nil {
			return err
		}
		if err := errors.Join(try.Close(), os.Remove(try.Name())); err != nil {
			return err
		}
	}
	return nil
}

// beginning is that of the names of files that are not whole yet.
const beginning = ".new-"

// sweep removes what crashes have left: there is a key in it.
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
	return errors.Join(leaveTo(dir, above), syncFolder(above))
}

func syncFolder(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

// leaveTo gives what root has made to the owner of a folder.
func leaveTo(path, dir string) error {
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
