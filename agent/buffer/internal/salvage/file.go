package salvage

import (
	"bytes"
	"errors"
	"io/fs"
	"os"

	bolt "go.etcd.io/bbolt"

	"andon.internal/agent/buffer/internal/format"
)

// salvageFile is the new file that the records go to.
type salvageFile struct {
	path    string
	db      *bolt.DB
	c       format.Change
	size    int
	scratch []byte
}

const salvageBatch = 4 << 20 // bytes in one transaction

func newSalvage(path string, owner [16]byte) (*salvageFile, error) {
	w := &salvageFile{path: path, c: format.Change{Owner: owner}}
	if path == "" {
		return w, nil
	}
	if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return w, err // of a process that did not come to its end
	}
	db, err := format.OpenBolt(path, bolt.Options{NoSync: true}) // synced by finish
	w.db = db
	return w, err
}

func (w *salvageFile) put(v format.Envelope) error {
	if w.db == nil {
		return nil
	}
	v.Payload = bytes.Clone(v.Payload)
	w.c.Puts = append(w.c.Puts, v)
	if w.size += v.Size(); w.size < salvageBatch {
		return nil
	}
	return w.write()
}

func (w *salvageFile) write() error {
	if len(w.c.Puts) > 0 {
		k := w.c.Puts[0].Key
		w.c.Epoch, w.c.Next = k.Epoch, k.Position+1
	}
	_, err := w.c.Apply(w.db, &w.scratch, 0)
	w.c, w.size = format.Change{Owner: w.c.Owner}, 0
	return err
}

// finish writes what is left, the ends of the epochs, and the cursors.
func (w *salvageFile) finish(s *salvager) error {
	if w.db == nil {
		return nil
	}
	if !s.stale {
		w.c.Cursors = s.cursors
	}
	var err error
	if len(w.c.Puts) > 0 {
		err = w.write()
	}
	for e, n := range s.counts {
		if err == nil {
			w.c.Epoch, w.c.Next = e, n.Next
			err = w.write()
		}
	}
	if err == nil {
		err = format.Guarded(w.db.Sync)
	}
	if cerr := format.Close(w.db); err == nil {
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
		_ = format.Close(w.db) // goes anyway
	}
	_ = os.Remove(w.path) // the next start removes it too
}
