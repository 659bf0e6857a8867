package buffer

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"

	bolt "go.etcd.io/bbolt"

	"andon.internal/agent/buffer/internal/format"
)

// createDB makes a new bbolt file and its name durable. A crash on the way leaves
// nothing, or a file whose name ends in ".tmp".
func createDB(path string, o bolt.Options) (*bolt.DB, error) {
	tmp := path + tmpSuffix
	if err := os.Remove(tmp); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	db, err := format.OpenBolt(tmp, o)
	if err != nil {
		return nil, err
	}
	if err = os.Rename(tmp, path); err == nil {
		err = syncDir(filepath.Dir(path))
	}
	if err != nil {
		return nil, errors.Join(err, format.Close(db))
	}
	return db, nil
}

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
