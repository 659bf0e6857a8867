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
	last    uint64 // transaction
	signature
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
	if err := checkRecords(path, false); err != nil {
		return contents{}, err
	}
	db, err := openDB(path, o)
	if err != nil {
		return contents{}, err
	}
	var c contents
	c.reset()
	err = guarded(func() error { return db.View(c.read) })
	if cerr := closeDB(db); err == nil {
		err = cerr
	}
	return c, err
}

func (c *contents) reset() {
	*c = contents{held: map[Epoch]*heldIn{}, next: map[Epoch]uint64{}, cursors: map[string]cursor{}}
}

func (c *contents) read(tx *bolt.Tx) error {
	c.size, c.last = tx.Size(), uint64(tx.ID())
	format := tx.Bucket(formatBucket)
	if format == nil {
		if k, _ := tx.Cursor().First(); k != nil {
			return fmt.Errorf("%w: not a record file", errDamaged)
		}
		return nil // made, but nothing was written yet
	}
	var err error
	if c.signature, err = signatureOf(format.Get); err != nil {
		return err
	}
	switch v := format.Get(formatKey); {
	case bytes.Equal(v, []byte{unsignedFormat}), bytes.Equal(v, []byte{signedFormat}):
	case c.signed:
		return fmt.Errorf("%w: format %d", errDamaged, v)
	default:
		return fmt.Errorf("record file of format %d is not known; a newer version wrote it", v)
	}
	if c.signed && c.txid != c.last {
		return fmt.Errorf("%w: the root is of transaction %d instead of %d", errDamaged, c.txid, c.last)
	}
	for _, name := range [][]byte{recordsBucket, epochsBucket, cursorsBucket} {
		if tx.Bucket(name) == nil {
			return fmt.Errorf("%w: no bucket %s", errDamaged, name)
		}
	}
	if err := c.readKeys(tx.Bucket(recordsBucket)); err != nil {
		return err
	}
	counted := map[Epoch]count{}
	err = tx.Bucket(epochsBucket).ForEach(func(k, v []byte) error {
		n, err := decodeCount(v)
		if err != nil || len(k) != len(Epoch{}) {
			return fmt.Errorf("%w: %w", errDamaged, err)
		}
		e := Epoch(k)
		c.next[e], counted[e] = n.next, n
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
		if n := counted[e]; !n.fits(h.set) {
			return fmt.Errorf("%w: %d records of epoch %x instead of %d, or others", errDamaged, h.set.Len(), e, n.records)
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
