package format

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"

	bolt "go.etcd.io/bbolt"

	"andon.internal/shared/ranges"
)

// Tally counts records: how many, the readings in them, their stored bytes, and the
// bytes of the pages that these take.
type Tally struct{ Records, Rows, Bytes, Space uint64 }

// TallyOf is the tally of one record whose envelope has size bytes.
func TallyOf(rows, size int) Tally {
	return Tally{1, uint64(rows), uint64(size), uint64(SpaceOf(size))}
}

// Add counts those of o too.
func (t *Tally) Add(o Tally) {
	t.Records += o.Records
	t.Rows += o.Rows
	t.Bytes += o.Bytes
	t.Space += o.Space
}

// Sub takes those of o away, down to nothing.
func (t *Tally) Sub(o Tally) {
	t.Records -= min(t.Records, o.Records)
	t.Rows -= min(t.Rows, o.Rows)
	t.Bytes -= min(t.Bytes, o.Bytes)
	t.Space -= min(t.Space, o.Space)
}

const (
	bucketEntry = LeafEntry + 24 + 16      // what a record costs in its neighbours' page
	valueEntry  = PageHead + LeafEntry + 1 // and what its value costs in its own
	inlineLimit = PageSize/4 - valueEntry  // up to here a record has no page of its own
)

// overflowOf is how many pages a stored record of that size takes beyond its first.
func overflowOf(size int) int { return (valueEntry + size - 1) / PageSize }

// SpaceOf is how many bytes a stored record takes in a file.
func SpaceOf(size int) int {
	if size <= inlineLimit {
		return size + valueEntry + bucketEntry
	}
	return (1+overflowOf(size))*PageSize + bucketEntry
}

// PerPage is how many records a page has, about, and 1 for those that have pages of their own.
func (t Tally) PerPage() uint64 { return max(PageSize*t.Records/max(t.Space, 1), 1) }

// Count is what a file says of one epoch.
type Count struct {
	Tally
	Next   uint64 // a position that was assigned is below it
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

// Fits reports whether these are the positions that were counted.
func (c *Count) Fits(s ranges.Set) bool {
	return c.Records == s.Len() && (!c.summed || c.sum == sumOf(s))
}

// counts are the counts that a transaction changes.
type counts struct {
	b    *bolt.Bucket
	rows map[Epoch]*Count
}

// raise loads the count of an epoch and notes that positions below next exist.
func (n *counts) raise(e Epoch, next uint64) error {
	row := n.rows[e]
	if row == nil {
		row = &Count{summed: true}
		if v := n.b.Get(e[:]); v != nil {
			var err error
			if *row, err = DecodeCount(v); err != nil {
				return err
			}
			row.summed = row.summed || row.Records == 0
		}
		n.rows[e] = row
	}
	row.Next = max(row.Next, next)
	return nil
}

func (n *counts) store() (map[Epoch]Tally, error) {
	out := make(map[Epoch]Tally, len(n.rows))
	for e, row := range n.rows {
		v, fields := []byte{fileFormat}, []uint64{row.Next, row.Records, row.Rows, row.Bytes, row.Space}
		if row.summed {
			v[0], fields = countVersion, append(fields, row.sum)
		}
		for _, x := range fields {
			v = binary.BigEndian.AppendUint64(v, x)
		}
		if err := n.b.Put(e[:], Seal(v)); err != nil {
			return nil, err
		}
		out[e] = row.Tally
	}
	return out, nil
}

// DecodeCount reads what a file says of an epoch.
func DecodeCount(v []byte) (Count, error) {
	var c Count
	version := byte(fileFormat)
	if c.summed = len(v) > 0 && v[0] == countVersion; c.summed {
		version = countVersion
	}
	body, err := Unseal(v, version)
	if err != nil {
		return c, fmt.Errorf("count of records: %w", err)
	}
	fields := []*uint64{&c.Next, &c.Records, &c.Rows, &c.Bytes, &c.Space}
	if c.summed {
		fields = append(fields, &c.sum)
	}
	if len(body) != 8*len(fields) {
		return c, fmt.Errorf("count of records: %w", ErrDamaged)
	}
	for i, field := range fields {
		*field = binary.BigEndian.Uint64(body[8*i:])
	}
	return c, nil
}

// DecodeCursor reads a cursor, with data of its own.
func DecodeCursor(v []byte) (Cursor, error) {
	body, err := Unseal(v, fileFormat)
	if err != nil || len(body) < 8 {
		return Cursor{}, fmt.Errorf("cursor: %w", errors.Join(err, ErrDamaged))
	}
	return Cursor{binary.BigEndian.Uint64(body), bytes.Clone(body[8:])}, nil
}
