package format

import (
	"bytes"
	"encoding/binary"
	"fmt"

	bolt "go.etcd.io/bbolt"

	"andon.internal/shared/ranges"
)

// Contents is what a record file was found to hold.
type Contents struct {
	Held    map[Epoch]*HeldIn
	Next    map[Epoch]uint64
	Cursors map[string]Cursor
	Size    int64
	last    uint64 // transaction
	Signature
}

// madeBy is the transaction that the database makes an empty file with.
const madeBy = 1

// HeldIn is the records of one epoch in a file.
type HeldIn struct {
	Set    ranges.Set
	Tally  Tally
	Oldest int64 // unix ns at which the first of them was appended; 0 where unknown
}

// Scan checks a record file and reads what it holds, without the records themselves.
// An error wraps ErrDamaged when the content is at fault.
func Scan(path string, o bolt.Options) (Contents, error) {
	if err := CheckRecords(path, false); err != nil {
		return Contents{}, err
	}
	db, err := Open(path, o)
	if err != nil {
		return Contents{}, err
	}
	var c Contents
	c.Reset()
	err = ViewAndClose(db, c.Read)
	return c, err
}

// Reset makes the contents those of an empty file.
func (c *Contents) Reset() {
	*c = Contents{Held: map[Epoch]*HeldIn{}, Next: map[Epoch]uint64{}, Cursors: map[string]Cursor{}}
}

// Read reads what the file holds, of which the contents were reset before.
func (c *Contents) Read(tx *bolt.Tx) error {
	c.Size, c.last = tx.Size(), uint64(tx.ID())
	format := tx.Bucket(FormatBucket)
	if format == nil {
		if k, _ := tx.Cursor().First(); k != nil {
			return fmt.Errorf("%w: not a record file", ErrDamaged)
		}
		if c.last > madeBy {
			return fmt.Errorf("%w: transaction %d left nothing, not even a format", ErrDamaged, c.last)
		}
		return nil // made, but nothing was written yet
	}
	var err error
	if c.Signature, err = SignatureOf(format.Get); err != nil {
		return err
	}
	switch v := format.Get(formatKey); {
	case bytes.Equal(v, []byte{unsignedFormat}), bytes.Equal(v, []byte{signedFormat}):
	case c.Signed:
		return fmt.Errorf("%w: format %d", ErrDamaged, v)
	default:
		return fmt.Errorf("record file of format %d is not known; %w", v, ErrNewer)
	}
	if c.Signed && c.Txid != c.last {
		return fmt.Errorf("%w: the root is of transaction %d instead of %d", ErrDamaged, c.Txid, c.last)
	}
	for _, name := range [][]byte{RecordsBucket, EpochsBucket, CursorsBucket} {
		if tx.Bucket(name) == nil {
			return fmt.Errorf("%w: no bucket %s", ErrDamaged, name)
		}
	}
	if err := c.readKeys(tx.Bucket(RecordsBucket)); err != nil {
		return err
	}
	counted := map[Epoch]Count{}
	err = tx.Bucket(EpochsBucket).ForEach(func(k, v []byte) error {
		n, err := DecodeCount(v)
		if err != nil || len(k) != len(Epoch{}) {
			return fmt.Errorf("%w: %w", ErrDamaged, err)
		}
		e := Epoch(k)
		c.Next[e], counted[e] = n.Next, n
		if h := c.Held[e]; h != nil {
			h.Tally = n.Tally
		} else if n.Records > 0 {
			c.Held[e] = &HeldIn{Tally: n.Tally}
		}
		return nil
	})
	if err != nil {
		return err
	}
	for e, h := range c.Held {
		if n := counted[e]; !n.Fits(h.Set) {
			return fmt.Errorf("%w: %d records of epoch %x instead of %d, or others", ErrDamaged, h.Set.Len(), e, n.Records)
		}
	}
	return tx.Bucket(CursorsBucket).ForEach(func(k, v []byte) error {
		cur, err := DecodeCursor(v)
		if err != nil {
			return fmt.Errorf("%w: %w", ErrDamaged, err)
		}
		c.Cursors[string(k)] = cur
		return nil
	})
}

func (c *Contents) readKeys(records *bolt.Bucket) error {
	cur := records.Cursor()
	var h *HeldIn
	var of Epoch
	for k, v := cur.First(); k != nil; k, v = cur.Next() {
		if len(k) != len(Epoch{})+8 || v != nil {
			return fmt.Errorf("%w: key %x", ErrDamaged, k)
		}
		e, p := Epoch(k), binary.BigEndian.Uint64(k[len(Epoch{}):])
		if p > MaxPosition {
			return fmt.Errorf("%w: position %d", ErrDamaged, p)
		}
		if h == nil || e != of {
			if c.Held[e] == nil {
				c.Held[e] = &HeldIn{Oldest: appendedAt(records, k)}
			}
			h, of = c.Held[e], e
		}
		h.Set.Add(p, p+1)
	}
	return nil
}

// appendedAt returns when a record was appended, or 0 if it does not read.
func appendedAt(records *bolt.Bucket, key []byte) (at int64) {
	_ = Guarded(func() error {
		v, err := parseHead(records.Bucket(key).Get(ValueKey))
		if err == nil {
			at = v.Appended
		}
		return nil
	})
	return at
}
