package buffer

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"

	bolt "go.etcd.io/bbolt"
)

// tally counts records: how many, the readings in them, their stored bytes, and the
// bytes of the pages that these take.
type tally struct{ records, rows, bytes, space uint64 }

// tallyOf is the tally of one record whose envelope has size bytes.
func tallyOf(rows, size int) tally {
	return tally{1, uint64(rows), uint64(size), uint64(spaceOf(size))}
}

func (t *tally) add(o tally) {
	t.records += o.records
	t.rows += o.rows
	t.bytes += o.bytes
	t.space += o.space
}

func (t *tally) sub(o tally) {
	t.records -= min(t.records, o.records)
	t.rows -= min(t.rows, o.rows)
	t.bytes -= min(t.bytes, o.bytes)
	t.space -= min(t.space, o.space)
}

const (
	bucketEntry = leafEntry + 24 + 16      // what a record costs in its neighbours' page
	valueEntry  = pageHead + leafEntry + 1 // and what its value costs in its own
	inlineLimit = pageSize/4 - valueEntry  // up to here a record has no page of its own
)

// overflowOf is how many pages a stored record of that size takes beyond its first.
func overflowOf(size int) int { return (valueEntry + size - 1) / pageSize }

// spaceOf is how many bytes a stored record takes in a file.
func spaceOf(size int) int {
	if size <= inlineLimit {
		return size + valueEntry + bucketEntry
	}
	return (1+overflowOf(size))*pageSize + bucketEntry
}

// count is what a file says of one epoch.
type count struct {
	tally
	next uint64 // a position that was assigned is below it
}

// counts are the counts that a transaction changes.
type counts struct {
	b    *bolt.Bucket
	rows map[Epoch]*count
}

// raise loads the count of an epoch and notes that positions below next exist.
func (n *counts) raise(e Epoch, next uint64) error {
	row := n.rows[e]
	if row == nil {
		row = &count{}
		if v := n.b.Get(e[:]); v != nil {
			var err error
			if *row, err = decodeCount(v); err != nil {
				return err
			}
		}
		n.rows[e] = row
	}
	row.next = max(row.next, next)
	return nil
}

func (n *counts) store() (map[Epoch]tally, error) {
	out := make(map[Epoch]tally, len(n.rows))
	for e, row := range n.rows {
		v := []byte{fileFormat}
		for _, x := range [...]uint64{row.next, row.records, row.rows, row.bytes, row.space} {
			v = binary.BigEndian.AppendUint64(v, x)
		}
		if err := n.b.Put(e[:], seal(v)); err != nil {
			return nil, err
		}
		out[e] = row.tally
	}
	return out, nil
}

func decodeCount(v []byte) (count, error) {
	var c count
	body, err := unseal(v, fileFormat)
	if err != nil {
		return c, fmt.Errorf("count of records: %w", err)
	}
	d := decoder{b: body}
	c.next, c.records, c.rows, c.bytes, c.space = d.uint64(), d.uint64(), d.uint64(), d.uint64(), d.uint64()
	if d.bad || len(d.b) != 0 {
		return c, fmt.Errorf("count of records: %w", errDamaged)
	}
	return c, nil
}

func decodeCursor(v []byte) (cursor, error) {
	body, err := unseal(v, fileFormat)
	if err != nil || len(body) < 8 {
		return cursor{}, fmt.Errorf("cursor: %w", errors.Join(err, errDamaged))
	}
	return cursor{binary.BigEndian.Uint64(body), bytes.Clone(body[8:])}, nil
}
