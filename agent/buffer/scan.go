package buffer

import (
	"bytes"
	"encoding/binary"
	"fmt"

	bolt "go.etcd.io/bbolt"

	"andon.internal/shared/ranges"
)

// contents is what a record file was found to hold.
type contents struct {
	held    map[Epoch]*heldIn
	next    map[Epoch]uint64
	cursors map[string]cursor
	size    int64
}

// heldIn is the records of one epoch in a file.
type heldIn struct {
	set    ranges.Set
	tally  tally
	oldest int64 // unix ns at which the first of them was appended; 0 where unknown
}

// scan checks a record file and reads what it holds, without the records themselves.
// An error wraps errDamaged when the content is at fault.
func scan(path string, o bolt.Options) (contents, error) {
	if err := checkTree(path); err != nil {
		return contents{}, err
	}
	db, err := openDB(path, o)
	if err != nil {
		return contents{}, err
	}
	c := contents{held: map[Epoch]*heldIn{}, next: map[Epoch]uint64{}, cursors: map[string]cursor{}}
	err = guarded(func() error { return db.View(c.read) })
	if cerr := closeDB(db); err == nil {
		err = cerr
	}
	return c, err
}

func (c *contents) read(tx *bolt.Tx) error {
	c.size = tx.Size()
	format := tx.Bucket(formatBucket)
	if format == nil {
		return nil // made, but nothing was written yet
	}
	if v := format.Get(formatKey); !bytes.Equal(v, []byte{fileFormat}) {
		return fmt.Errorf("record file of format %d is not known; a newer version wrote it", v)
	}
	for _, name := range [][]byte{recordsBucket, epochsBucket, cursorsBucket} {
		if tx.Bucket(name) == nil {
			return fmt.Errorf("%w: no bucket %s", errDamaged, name)
		}
	}
	if err := c.readKeys(tx.Bucket(recordsBucket)); err != nil {
		return err
	}
	err := tx.Bucket(epochsBucket).ForEach(func(k, v []byte) error {
		n, err := decodeCount(v)
		if err != nil || len(k) != len(Epoch{}) {
			return fmt.Errorf("%w: %w", errDamaged, err)
		}
		e := Epoch(k)
		c.next[e] = n.next
		if h := c.held[e]; h != nil {
			h.tally = n.tally
		} else if n.records > 0 {
			c.held[e] = &heldIn{tally: n.tally}
		}
		return nil
	})
	if err != nil {
		return err
	}
	for e, h := range c.held {
		if h.tally.records != h.set.Len() {
			return fmt.Errorf("%w: %d records of epoch %x instead of %d", errDamaged, h.set.Len(), e, h.tally.records)
		}
	}
	return tx.Bucket(cursorsBucket).ForEach(func(k, v []byte) error {
		cur, err := decodeCursor(v)
		if err != nil {
			return fmt.Errorf("%w: %w", errDamaged, err)
		}
		c.cursors[string(k)] = cur
		return nil
	})
}

func (c *contents) readKeys(records *bolt.Bucket) error {
	cur := records.Cursor()
	var h *heldIn
	var of Epoch
	for k, v := cur.First(); k != nil; k, v = cur.Next() {
		if len(k) != len(Epoch{})+8 || v != nil {
			return fmt.Errorf("%w: key %x", errDamaged, k)
		}
		e, p := Epoch(k), binary.BigEndian.Uint64(k[len(Epoch{}):])
		if p > maxPosition {
			return fmt.Errorf("%w: position %d", errDamaged, p)
		}
		if h == nil || e != of {
			if c.held[e] == nil {
				c.held[e] = &heldIn{oldest: appendedAt(records, k)}
			}
			h, of = c.held[e], e
		}
		h.set.Add(p, p+1)
	}
	return nil
}

// appendedAt returns when a record was appended, or 0 if it does not read.
func appendedAt(records *bolt.Bucket, key []byte) (at int64) {
	_ = guarded(func() error {
		v, err := parseHead(records.Bucket(key).Get(valueKey))
		if err == nil {
			at = v.appended
		}
		return nil
	})
	return at
}
