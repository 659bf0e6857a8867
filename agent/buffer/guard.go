package buffer

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime/debug"
	"syscall"

	bolt "go.etcd.io/bbolt"
	bolterrors "go.etcd.io/bbolt/errors"

	"andon.internal/shared/broken"
)

// guarded runs fn, which calls into the database, and turns a panic or a fault in
// its memory map (a page that the disk cannot read) into an error that wraps
// errDamaged. bbolt answers damage with a panic.
func guarded(fn func() error) (err error) {
	old := debug.SetPanicOnFault(true)
	defer debug.SetPanicOnFault(old)
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("%w: %v", errDamaged, r)
		}
	}()
	return fn()
}

// openDB opens an existing bbolt file after a look at its meta pages. An error wraps
// errDamaged when the content is at fault.
func openDB(path string, o bolt.Options) (*bolt.DB, error) {
	if err := checkMeta(path); err != nil {
		return nil, err
	}
	return boltOpen(path, o)
}

// createDB makes a new bbolt file and its name durable. A crash on the way leaves
// nothing, or a file whose name ends in ".tmp".
func createDB(path string, o bolt.Options) (*bolt.DB, error) {
	tmp := path + tmpSuffix
	if err := os.Remove(tmp); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	db, err := boltOpen(tmp, o)
	if err != nil {
		return nil, err
	}
	if err = os.Rename(tmp, path); err == nil {
		err = syncDir(filepath.Dir(path))
	}
	if err != nil {
		return nil, errors.Join(err, closeDB(db))
	}
	return db, nil
}

func boltOpen(path string, o bolt.Options) (*bolt.DB, error) {
	o.FreelistType = bolt.FreelistMapType
	o.PageSize = pageSize
	o.NoSync = o.NoSync || broken.Is(broken.NoSync)
	var db *bolt.DB
	err := guarded(func() (err error) {
		db, err = bolt.Open(path, 0o600, &o)
		return err
	})
	switch {
	case err == nil:
		return db, nil
	case errors.Is(err, bolterrors.ErrInvalid), errors.Is(err, bolterrors.ErrVersionMismatch), errors.Is(err, bolterrors.ErrChecksum):
		return nil, fmt.Errorf("%w: %w", errDamaged, err)
	}
	return nil, err
}

// closeDB closes a database whatever state it is in.
func closeDB(db *bolt.DB) error { return guarded(db.Close) }

// noSpace reports whether err is a full disk met while writing, after which the file
// is as good as before. A sync that fails for lack of space is not one of these.
func noSpace(err error) bool {
	var path *fs.PathError
	return errors.As(err, &path) && (errors.Is(path.Err, syscall.ENOSPC) || errors.Is(path.Err, syscall.EDQUOT))
}

// syncDir makes the names in a folder durable.
func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	err = d.Sync()
	return errors.Join(err, d.Close())
}

// wrap says what an error stopped.
func wrap(doing string, err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("%s: %w", doing, err)
}
