package format

import (
	"errors"
	"fmt"
	"runtime/debug"

	bolt "go.etcd.io/bbolt"
	bolterrors "go.etcd.io/bbolt/errors"

	"andon.internal/shared/broken"
)

// Guarded runs fn, which calls into the database, and turns a panic or a fault in
// its memory map (a page that the disk cannot read) into an error that wraps
// ErrDamaged. bbolt answers damage with a panic.
func Guarded(fn func() error) (err error) {
	old := debug.SetPanicOnFault(true)
	defer debug.SetPanicOnFault(old)
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("%w: %v", ErrDamaged, r)
		}
	}()
	return fn()
}

// Open opens an existing bbolt file after a look at its meta pages. An error wraps
// ErrDamaged when the content is at fault.
func Open(path string, o bolt.Options) (*bolt.DB, error) {
	if err := CheckMeta(path); err != nil {
		return nil, err
	}
	return OpenBolt(path, o)
}

// OpenBolt opens a file, also one that is not there yet.
func OpenBolt(path string, o bolt.Options) (*bolt.DB, error) {
	o.FreelistType = bolt.FreelistMapType
	o.PageSize = PageSize
	o.NoSync = o.NoSync || broken.Is(broken.NoSync)
	var db *bolt.DB
	err := Guarded(func() (err error) {
		db, err = bolt.Open(path, 0o600, &o)
		return err
	})
	switch {
	case err == nil:
		return db, nil
	case errors.Is(err, bolterrors.ErrInvalid), errors.Is(err, bolterrors.ErrVersionMismatch), errors.Is(err, bolterrors.ErrChecksum):
		return nil, fmt.Errorf("%w: %w", ErrDamaged, err)
	}
	return nil, err
}

// Stuck reports whether a transaction that ended with err left the database locked for ever,
// because a fault kept it from being begun or undone: whoever closed that would not return. tx
// is nil where the transaction was not begun.
func Stuck(err error, tx *bolt.Tx) bool {
	return errors.Is(err, ErrDamaged) && (tx == nil || tx.DB() != nil)
}

// View runs fn in a transaction that reads. It is guarded, and says whether it left the database
// [Stuck].
func View(db *bolt.DB, fn func(tx *bolt.Tx) error) (stuck bool, err error) {
	var begun *bolt.Tx
	err = Guarded(func() error {
		return db.View(func(tx *bolt.Tx) error {
			begun = tx
			return fn(tx)
		})
	})
	return Stuck(err, begun), err
}

// ViewAndClose runs fn as [View] does, and closes the database, unless it is [Stuck].
func ViewAndClose(db *bolt.DB, fn func(tx *bolt.Tx) error) error {
	stuck, err := View(db, fn)
	if !stuck {
		err = errors.Join(err, Close(db))
	}
	return err
}

// Close closes a database whatever state it is in, unless it is [Stuck].
func Close(db *bolt.DB) error { return Guarded(db.Close) }
