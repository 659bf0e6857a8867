package buffer

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"

	bolt "go.etcd.io/bbolt"

	"andon.internal/shared/ranges"
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
	next   uint64 // a position that was assigned is below it
	sum    uint64 // of hashOf all positions that are there
	summed bool   // false where an earlier version wrote the file, which did not know the sum
}

// countVersion is the format of a count with a sum; before it was fileFormat.
const countVersion = 2

// hashOf spreads a position over 64 bits (splitmix64), so that sums of different sets
// differ: the pages of the index have no checksum, and a name that changed there, or a page
// that is from before, leaves the number of records as it was.
func hashOf(position uint64) uint64 {
	z := position + 0x9E3779B97F4A7C15
	z = (z ^ z>>30) * 0xBF58476D1CE4E5B9
	z = (z ^ z>>27) * 0x94D049BB133111EB
	return z ^ z>>31
}

// sumOf is the sum of a set.
func sumOf(s ranges.Set) (sum uint64) {
	for _, r := range s.Ranges() {
		for p := r.From; p < r.To; p++ {
			sum += hashOf(p)
		}
	}
	return sum
}

// fits reports whether these are the positions that were counted.
func (c *count) fits(s ranges.Set) bool {
	return c.records == s.Len() && (!c.summed || c.sum == sumOf(s))
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
		row = &count{summed: true}
		if v := n.b.Get(e[:]); v != nil {
			var err error
			if *row, err = decodeCount(v); err != nil {
				return err
			}
			row.summed = row.summed || row.records == 0
		}
		n.rows[e] = row
	}
	row.next = max(row.next, next)
	return nil
}

func (n *counts) store() (map[Epoch]tally, error) {
	out := make(map[Epoch]tally, len(n.rows))
	for e, row := range n.rows {
		v, fields := []byte{fileFormat}, []uint64{row.next, row.records, row.rows, row.bytes, row.space}
		if row.summed {
			v[0], fields = countVersion, append(fields, row.sum)
		}
		for _, x := range fields {
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
	version := byte(fileFormat)
	if c.summed = len(v) > 0 && v[0] == countVersion; c.summed {
		version = countVersion
	}
	body, err := unseal(v, version)
	if err != nil {
		return c, fmt.Errorf("count of records: %w", err)
	}
	d := decoder{b: body}
	c.next, c.records, c.rows, c.bytes, c.space = d.uint64(), d.uint64(), d.uint64(), d.uint64(), d.uint64()
	if c.summed {
		c.sum = d.uint64()
	}
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
