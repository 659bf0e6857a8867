package buffer

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"strings"

	bolt "go.etcd.io/bbolt"

	"andon.internal/agent/buffer/internal/format"
)

// Cursors live in the record files, in one transaction with the records they stand
// behind, and the newest are in one file only, the active one. So that they cannot
// vanish with it unnoticed, the chain file knows which cursors there are and which
// file is the active one. It is written when a file takes its first transaction and
// when a cursor is stored under a new name, before the record file is.
var (
	cursorBucket = []byte("cursors") // name -> knownCursor
	stateBucket  = []byte("state")
	activeKey    = []byte("active")
	bufferKey    = []byte("buffer") // whose files these are
)

const (
	stateVersion = 1
	missingFile  = "a file that is not there" // a knownCursor's lostWith
)

// knownCursor is what the chain file knows of a cursor.
type knownCursor struct {
	generation uint64 // at least this was on disk
	lostWith   string // the file that had it was found damaged; empty when it is not lost
}

// cursorState is all that the chain file knows of them.
type cursorState struct {
	owner   [16]byte // zero when that is not known
	active  string   // the record file that is written; empty when that is not known
	cursors map[string]knownCursor
}

// baseName is a record file's name whether or not it is sealed.
func baseName(name string) string {
	return strings.TrimSuffix(strings.TrimSuffix(name, fileSuffix), strings.TrimSuffix(sealedSuffix, fileSuffix))
}

// cursorState reads what is known of the cursors.
func (c *chain) cursorState() (s cursorState, err error) {
	s.cursors = map[string]knownCursor{}
	err = c.view(func(tx *bolt.Tx) error {
		if v := tx.Bucket(stateBucket).Get(activeKey); v != nil {
			body, err := format.Unseal(v, stateVersion)
			if err != nil {
				return fmt.Errorf("name of the active file: %w", err)
			}
			s.active = string(body)
		}
		if body, err := format.Unseal(tx.Bucket(stateBucket).Get(bufferKey), stateVersion); err == nil && len(body) == len(s.owner) {
			s.owner = [16]byte(body)
		}
		return tx.Bucket(cursorBucket).ForEach(func(k, v []byte) error {
			body, err := format.Unseal(v, stateVersion)
			if err != nil {
				return fmt.Errorf("note of a cursor: %w", err)
			}
			d := decoder{b: body}
			known := knownCursor{generation: d.uint64()}
			if known.lostWith = string(d.b); d.bad {
				return fmt.Errorf("note of a cursor: %w", errDamaged)
			}
			s.cursors[string(k)] = known
			return nil
		})
	})
	return s, err
}

// activate notes which file is written from now on, and what is known of the cursors
// that it will hold. What was noted of the file when it was full is not true any more.
func (c *chain) activate(name string, cursors map[string]knownCursor) error {
	base := []byte(baseName(name))
	return c.update(func(tx *bolt.Tx) error {
		if err := tx.Bucket(fileBucket).Delete(base); err != nil {
			return err
		}
		if err := putState(tx, activeKey, base); err != nil {
			return err
		}
		return putKnown(tx, cursors)
	})
}

// own notes whose files these are.
func (c *chain) own(owner [16]byte) error {
	return c.update(func(tx *bolt.Tx) error { return putState(tx, bufferKey, owner[:]) })
}

// know notes cursors.
func (c *chain) know(cursors map[string]knownCursor) error {
	return c.update(func(tx *bolt.Tx) error { return putKnown(tx, cursors) })
}

func putState(tx *bolt.Tx, key, value []byte) error {
	return tx.Bucket(stateBucket).Put(key, format.Seal(append([]byte{stateVersion}, value...)))
}

func putKnown(tx *bolt.Tx, cursors map[string]knownCursor) error {
	for name, known := range cursors {
		v := binary.BigEndian.AppendUint64([]byte{stateVersion}, known.generation)
		v = format.Seal(append(v, known.lostWith...))
		b := tx.Bucket(cursorBucket)
		if bytes.Equal(b.Get([]byte(name)), v) {
			continue
		}
		if err := b.Put([]byte(name), v); err != nil {
			return err
		}
	}
	return nil
}

// prepare notes in the chain file what must be there before c is written to f. A chain
// file that cannot be written does not stop the records: it would only be missed if the
// record file were damaged as well.
func (b *Buffer) prepare(f *file, c *format.Change) {
	b.noteNext(c.Epoch, c.Next)
	notes := map[string]knownCursor{}
	b.mu.Lock()
	for name, cur := range c.Cursors {
		known, ok := b.known[name]
		switch {
		case c.Home && b.cursors[name].Generation > 0:
			// It was on disk before. What c brings may be newer, and is not yet.
			known = knownCursor{generation: b.cursors[name].Generation}
		case !ok:
			known = knownCursor{}
		case known.lostWith != "":
			known = knownCursor{generation: cur.Generation} // begun anew
		default:
			continue
		}
		notes[name] = known
	}
	b.mu.Unlock()
	var err error
	switch {
	case c.Home:
		err = b.chain.activate(f.name, notes)
	case len(notes) > 0:
		err = b.chain.know(notes)
	default:
		return
	}
	b.chainFailed(err)
	if err == nil {
		b.mu.Lock()
		for name, known := range notes {
			b.known[name] = known
		}
		b.mu.Unlock()
	}
}

// lookForCursors finds the cursors of which a newer copy may have been in a damaged
// file. They are not given out: a source that went on from an older place, or from its
// start, would be read twice.
//
// damaged is the files set aside, by their base names, with the cursors that still
// could be read there; nil where that is not all that there were.
func (b *Buffer) lookForCursors(s cursorState, damaged map[string]map[string]cursor, good map[string]bool) {
	b.known = s.cursors
	suspect := map[string]bool{}
	for name, rescued := range damaged {
		for cursorName, cur := range rescued {
			b.foundCursor(cursorName, cur)
		}
		if rescued == nil && (name == s.active || s.active == "") {
			suspect[name] = true
		}
	}
	for name := range b.cursors {
		if _, ok := b.known[name]; !ok && len(suspect) > 0 {
			b.known[name] = knownCursor{}
		}
	}
	notes := map[string]knownCursor{}
	for name, known := range b.known {
		b.generation = max(b.generation, known.generation)
		was := known
		if known.lostWith == missingFile {
			known.lostWith = ""
		}
		for file := range suspect {
			known.lostWith = file
		}
		if good[known.lostWith] {
			known.lostWith = "" // it was put back
		}
		if damaged[known.lostWith] != nil {
			known.lostWith = "" // it was put back, and is damaged elsewhere only
		}
		if known.lostWith == "" && b.cursors[name].Generation < known.generation {
			known.lostWith = missingFile
		}
		if known != was {
			notes[name] = known
			b.known[name] = known
		}
		if known.lostWith != "" {
			if name != sparesCursor {
				b.log.Error("cursor is lost: its source is not read until it has another name, or the file is back",
					"cursor", name, "file", known.lostWith)
			}
			delete(b.cursors, name)
			b.names[name] = true
		}
	}
	if len(notes) > 0 {
		b.chainFailed(b.chain.know(notes))
		b.generation += 1 << 32 // above what a lost one may have had
	}
}

// foundCursor takes the newest of the copies of a cursor.
func (b *Buffer) foundCursor(name string, cur cursor) {
	b.names[name] = true
	b.generation = max(b.generation, cur.Generation)
	if cur.Generation > b.cursors[name].Generation {
		b.cursors[name] = cur
	}
}
