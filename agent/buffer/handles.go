package buffer

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"sync"

	bolt "go.etcd.io/bbolt"

	"andon.internal/agent/buffer/internal/format"
)

// maxOpen is how many record files are open, and so mapped, at once: the one that is
// written, one that is read, one in which is deleted.
const maxOpen = 3

var (
	// errGone is returned for a file that has been unlinked or set aside.
	errGone = errors.New("file is gone")
	// errStuck is returned for a sound file that this process keeps locked: see format.Stuck.
	errStuck = errors.New("a fault left it locked until this process ends; start the agent again")
)

// handles keeps few record files open. It is safe for concurrent use; a slow open
// delays only those who want a file.
type handles struct {
	options bolt.Options
	syncDir func(dir string) error

	mu   sync.Mutex
	open []*handle // least recently used first
}

// handle is a record file's place on disk and, while it is open, its database.
type handle struct {
	path     string
	readOnly bool // opened for reading only from now on
	db       *bolt.DB
	users    int
	stale    bool // to be closed when the last user is done
	gone     bool // unlinked
	stuck    bool // its database was left as it is, and its lock goes with the process: see format.Stuck
}

// stick takes the database of a file in use out of use, without closing it.
func (h *handles) stick(f *handle) {
	h.mu.Lock()
	defer h.mu.Unlock()
	f.stuck = true
	h.dropLocked(f)
}

// view runs fn in a transaction that reads db, the database of a file in use. A stuck one was
// taken out of use.
func (h *handles) view(f *handle, db *bolt.DB, fn func(tx *bolt.Tx) error) (stuck bool, err error) {
	if stuck, err = format.View(db, fn); stuck {
		h.stick(f)
	}
	return stuck, err
}

// acquire opens the file if it is not open and keeps it so until release.
func (h *handles) acquire(f *handle) (*bolt.DB, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if f.gone {
		return nil, errGone
	}
	if f.stuck {
		if err := format.CheckMeta(f.path); err != nil {
			return nil, err
		}
		return nil, errStuck
	}
	if f.db == nil {
		h.closeIdleLocked(maxOpen - 1)
		o := h.options
		o.ReadOnly = f.readOnly
		db, err := format.Open(f.path, o)
		if err != nil {
			return nil, err
		}
		f.db = db
		h.open = append(h.open, f)
	} else {
		for i, other := range h.open {
			if other == f {
				h.open = append(append(h.open[:i], h.open[i+1:]...), f)
				break
			}
		}
	}
	f.users++
	return f.db, nil
}

// create makes a new file, open and acquired.
func (h *handles) create(path string) (*handle, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.closeIdleLocked(maxOpen - 1)
	db, err := createDB(path, h.options)
	if err != nil {
		_ = os.Remove(path + tmpSuffix) // the next start removes it too
		return nil, err
	}
	f := &handle{path: path, db: db, users: 1}
	h.open = append(h.open, f)
	return f, nil
}

func (h *handles) release(f *handle) {
	h.mu.Lock()
	defer h.mu.Unlock()
	f.users--
	if f.users == 0 && (f.stale || f.gone) {
		h.closeLocked(f)
	}
}

// freeze closes a file that is not to be written again, under a name that says so
// to the next start, also after a power cut. It stays readable.
func (h *handles) freeze(f *handle, path string) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	f.readOnly, f.stale = true, true
	err := os.Rename(f.path, path)
	if err == nil {
		f.path = path
		err = h.syncDir(filepath.Dir(path))
	}
	if f.users == 0 {
		h.closeLocked(f)
	}
	return err
}

// remove unlinks a file; who reads it now reads on.
func (h *handles) remove(f *handle) error {
	return h.takeOut(f, func() error { return os.Remove(f.path) })
}

// setAside gives a file another name and takes it out of use.
func (h *handles) setAside(f *handle, path string) error {
	err := h.takeOut(f, func() error { return os.Rename(f.path, path) })
	if err == nil {
		err = h.syncDir(filepath.Dir(path))
	}
	return err
}

func (h *handles) takeOut(f *handle, do func() error) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	if err := do(); err != nil && !errors.Is(err, fs.ErrNotExist) { // then somebody else took it
		return err
	}
	f.gone = true
	if f.users == 0 {
		h.closeLocked(f)
	}
	return nil
}

// adopt takes over the open files of other handles, which are not used any more.
func (h *handles) adopt(other *handles) {
	other.mu.Lock()
	defer other.mu.Unlock()
	h.mu.Lock()
	defer h.mu.Unlock()
	h.open = append(h.open, other.open...)
	other.open = nil
}

// close closes all files. Nobody may use one any more.
func (h *handles) close() error {
	h.mu.Lock()
	defer h.mu.Unlock()
	var errs []error
	for _, f := range h.open {
		errs = append(errs, format.Close(f.db))
		f.db, f.gone = nil, true
	}
	h.open = nil
	return errors.Join(errs...)
}

func (h *handles) closeIdleLocked(limit int) {
	for i := 0; i < len(h.open) && len(h.open) > limit; {
		if f := h.open[i]; f.users == 0 {
			h.closeLocked(f)
		} else {
			i++
		}
	}
}

// closeLocked closes a file that nobody uses. What is in it was synced when it was
// written, so an error of close loses nothing.
func (h *handles) closeLocked(f *handle) {
	if f.db == nil {
		return
	}
	_ = format.Close(f.db)
	f.stale = false
	h.dropLocked(f)
}

func (h *handles) dropLocked(f *handle) {
	f.db = nil
	h.open = slices.DeleteFunc(h.open, func(o *handle) bool { return o == f })
}
