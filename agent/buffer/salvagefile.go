package buffer

import (
	"bytes"
	"errors"
	"io/fs"
	"os"

	bolt "go.etcd.io/bbolt"
)

// salvageFile is the new file that the records go to.
type salvageFile struct {
	path    string
	db      *bolt.DB
	c       change
	size    int
	scratch []byte
}

const salvageBatch = 4 << 20 // bytes in one transaction

func newSalvage(path string, owner [16]byte) (*salvageFile, error) {
	w := &salvageFile{path: path, c: change{owner: owner}}
	if path == "" {
		return w, nil
	}
	if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return w, err // of a process that did not come to its end
	}
	db, err := boltOpen(path, bolt.Options{NoSync: true}) // synced by finish
	w.db = db
	return w, err
}

func (w *salvageFile) put(v envelope) error {
	if w.db == nil {
		return nil
	}
	v.payload = bytes.Clone(v.payload)
	w.c.puts = append(w.c.puts, v)
	if w.size += v.size(); w.size < salvageBatch {
		return nil
	}
	return w.write()
}

func (w *salvageFile) write() error {
	if len(w.c.puts) > 0 {
		k := w.c.puts[0].key
		w.c.epoch, w.c.next = k.Epoch, k.Position+1
	}
	_, err := w.c.apply(w.db, &w.scratch, 0)
	w.c, w.size = change{owner: w.c.owner}, 0
	return err
}

// finish writes what is left, the ends of the epochs, and the cursors.
func (w *salvageFile) finish(s *salvager) error {
	if w.db == nil {
		return nil
	}
	if !s.stale {
		w.c.cursors = s.cursors
	}
	var err error
	if len(w.c.puts) > 0 {
		err = w.write()
	}
	for e, n := range s.counts {
		if err == nil {
			w.c.epoch, w.c.next = e, n.next
			err = w.write()
		}
	}
	if err == nil {
		err = guarded(w.db.Sync)
	}
	if cerr := closeDB(w.db); err == nil {
		err = cerr
	}
	w.db = nil
	return err
}

// drop removes a file that was not finished.
func (w *salvageFile) drop() {
	if w.path == "" {
		return
	}
	if w.db != nil {
		_ = closeDB(w.db) // goes anyway
	}
	_ = os.Remove(w.path) // the next start removes it too
}
