package format

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"

	bolt "go.etcd.io/bbolt"
	bolterrors "go.etcd.io/bbolt/errors"

	"andon.internal/shared/ranges"
)

// A record file has four buckets at its root:
//
//	records  key (epoch, position) -> a bucket of one value, the envelope
//	epochs   epoch -> next position known, and the count of its records here
//	cursors  name -> generation, data
//	file     "format" -> 2, "buffer" -> whose file it is, "transaction" -> the number of
//	         the transaction that wrote this page, which the meta page must name too
//
// Values but the envelope begin with a format version and end with a CRC-32C.
//
// A bucket a record, because a record then has pages of its own and is not written
// again with its neighbours. Measured, bytes written per byte stored, 20 KB records,
// 1, 10 and 100 in a transaction: flat 5.5, 1.6, 1.1; a bucket a record 2.1, 1.2,
// 1.1. Below 1 KB bbolt keeps such a bucket inside its neighbours' page.
var (
	RecordsBucket = []byte("records")
	EpochsBucket  = []byte("epochs")
	CursorsBucket = []byte("cursors")
	FormatBucket  = []byte("file")
	formatKey     = []byte("format")
	ownerKey      = []byte("buffer")
	serialKey     = []byte("transaction")
	ValueKey      = []byte("r")
)

const (
	fileFormat     = 1 // of values
	unsignedFormat = 1 // of a file without a signature
	signedFormat   = 2
)

// Cursor is a cursor with the number of its change, which tells the newest of the
// copies in several files.
type Cursor struct {
	Generation uint64
	Data       []byte
}

// Change is what one transaction does to a file.
type Change struct {
	Puts    []Envelope
	Deletes map[Epoch]ranges.Set
	Cursors map[string]Cursor
	Epoch   Epoch    // whose next position is known to be at least
	Next    uint64   // this
	Home    bool     // the file has all cursors after it
	Owner   [16]byte // the buffer's id
}

// Outcome is what a transaction did.
type Outcome struct {
	Tallies map[Epoch]Tally      // of the epochs that it touched, afterwards
	Size    int64                // of the file in use, afterwards
	Written int64                // bytes, about
	Stuck   bool                 // see Stuck
	Newer   map[Epoch]ranges.Set // of the deletes, what is still there: a newer version wrote it
}

// Apply runs the change as one synced transaction. scratch holds the encoded
// records until it returns. On an error the change may or may not be in the file, and where
// the outcome says so it cannot be closed. The file does not grow beyond limit, unless it is
// for deletes, which must always work.
func (c *Change) Apply(db *bolt.DB, scratch *[]byte, limit int) (Outcome, error) {
	var out Outcome
	if db.MaxSize = limit; len(c.Puts) == 0 {
		db.MaxSize = 0
	}
	var tx *bolt.Tx
	err := Guarded(func() (err error) {
		if tx, err = db.Begin(true); err != nil {
			return err
		}
		defer func() { _ = tx.Rollback() }() // nothing to undo after Commit
		if err := c.fill(tx, scratch, &out); err != nil {
			return err
		}
		if err := tx.Commit(); err != nil {
			return err
		}
		out.Written = PagesOf(tx)
		return nil
	})
	if out.Stuck = Stuck(err, tx); err == nil {
		out.Stuck, err = View(db, func(tx *bolt.Tx) error { out.Size = tx.Size(); return nil })
	}
	return out, err
}

// PagesOf returns the bytes of the pages that a committed transaction wrote, its meta page
// with them.
func PagesOf(tx *bolt.Tx) int64 {
	stats := tx.Stats()
	return stats.GetPageAlloc() + PageSize
}

func (c *Change) fill(tx *bolt.Tx, scratch *[]byte, out *Outcome) (err error) {
	var buckets [4]*bolt.Bucket
	for i, name := range [...][]byte{RecordsBucket, EpochsBucket, CursorsBucket, FormatBucket} {
		if buckets[i], err = tx.CreateBucketIfNotExists(name); err != nil {
			return err
		}
	}
	records, n := buckets[0], counts{b: buckets[1], rows: map[Epoch]*Count{}}
	out.Newer = map[Epoch]ranges.Set{}
	for e, set := range c.Deletes {
		if out.Newer[e], err = c.delete(records, &n, e, set); err != nil {
			return err
		}
	}
	if err := c.put(records, &n, scratch); err != nil {
		return err
	}
	if err := n.raise(c.Epoch, c.Next); err != nil {
		return err
	}
	for name, cur := range c.Cursors {
		v := binary.BigEndian.AppendUint64([]byte{fileFormat}, cur.Generation)
		if err := buckets[2].Put([]byte(name), Seal(append(v, cur.Data...))); err != nil {
			return err
		}
	}
	if err := c.sign(buckets[3], uint64(tx.ID())); err != nil {
		return err
	}
	out.Tallies, err = n.store()
	return err
}

// sign writes the format of the file, whose it is, and the transaction's number.
func (c *Change) sign(b *bolt.Bucket, txid uint64) error {
	if !bytes.Equal(b.Get(formatKey), []byte{signedFormat}) {
		if err := b.Put(formatKey, []byte{signedFormat}); err != nil {
			return err
		}
	}
	if c.Owner != ([16]byte{}) && b.Get(ownerKey) == nil {
		if err := b.Put(ownerKey, Seal(append([]byte{fileFormat}, c.Owner[:]...))); err != nil {
			return err
		}
	}
	return b.Put(serialKey, Seal(binary.BigEndian.AppendUint64([]byte{fileFormat}, txid)))
}

// Signature is what a file says of itself. Zero and false where an earlier version wrote it.
type Signature struct {
	Owner  [16]byte
	Owned  bool
	Txid   uint64
	Signed bool
}

// SignatureOf reads what sign wrote, given how a value is got.
func SignatureOf(get func(key []byte) []byte) (s Signature, err error) {
	if v := get(ownerKey); v != nil {
		body, err := Unseal(v, fileFormat)
		if err == nil && len(body) != len(s.Owner) {
			err = ErrDamaged
		}
		if err != nil {
			return s, fmt.Errorf("whose the file is: %w", err)
		}
		s.Owner, s.Owned = [16]byte(body), true
	}
	if v := get(serialKey); v != nil {
		body, err := Unseal(v, fileFormat)
		if err == nil && len(body) != 8 {
			err = ErrDamaged
		}
		if err != nil {
			return s, fmt.Errorf("number of the last transaction: %w", err)
		}
		s.Txid, s.Signed = binary.BigEndian.Uint64(body), true
	}
	return s, nil
}

// put stores the records; one that is there already is replaced.
func (c *Change) put(records *bolt.Bucket, n *counts, scratch *[]byte) error {
	need := 0
	for i := range c.Puts {
		need += c.Puts[i].Size()
	}
	if cap(*scratch) < need {
		*scratch = make([]byte, 0, need)
	}
	buf := (*scratch)[:0]
	records.FillPercent = 1 // positions grow
	for i := range c.Puts {
		v := &c.Puts[i]
		if err := n.raise(v.Key.Epoch, v.Key.Position+1); err != nil {
			return err
		}
		key := RecordKey(v.Key)
		start := len(buf)
		buf = v.AppendTo(buf)
		b, err := records.CreateBucket(key)
		if errors.Is(err, bolterrors.ErrBucketExists) {
			gone, derr := deleteRecord(records, key)
			if derr != nil {
				return derr
			}
			n.rows[v.Key.Epoch].Sub(gone)
			n.rows[v.Key.Epoch].sum -= hashOf(v.Key.Position)
			b, err = records.CreateBucket(key)
		}
		if err != nil {
			return err
		}
		if err := b.Put(ValueKey, buf[start:len(buf):len(buf)]); err != nil {
			return err
		}
		n.rows[v.Key.Epoch].Add(TallyOf(v.Rows, len(buf)-start))
		n.rows[v.Key.Epoch].sum += hashOf(v.Key.Position)
	}
	return nil
}

// delete deletes records, but for those of a newer version: what these count for is not known.
func (c *Change) delete(records *bolt.Bucket, n *counts, e Epoch, set ranges.Set) (newer ranges.Set, err error) {
	if err := n.raise(e, 0); err != nil {
		return newer, err
	}
	for _, r := range set.Ranges() {
		for p := r.From; p < r.To; p++ {
			gone, err := deleteRecord(records, RecordKey(Key{e, p}))
			if errors.Is(err, ErrNewer) {
				newer.Add(p, p+1)
				continue
			}
			if err != nil {
				return newer, err
			}
			n.rows[e].Sub(gone)
			n.rows[e].sum -= hashOf(p)
		}
	}
	return newer, nil
}

// deleteRecord deletes a record and returns what it was. It refuses when the pages
// are not as they were written: a wrong page count would free a neighbour's.
func deleteRecord(records *bolt.Bucket, key []byte) (Tally, error) {
	b := records.Bucket(key)
	if b == nil {
		return Tally{}, fmt.Errorf("%w: record %x is not there", ErrDamaged, key)
	}
	value := b.Get(ValueKey)
	v, err := parseHead(value)
	if err != nil {
		return Tally{}, err
	}
	if !bytes.Equal(RecordKey(v.Key), key) {
		return Tally{}, fmt.Errorf("%w: record %x is another one", ErrDamaged, key)
	}
	if s := b.Stats(); s.BranchPageN != 0 || s.LeafOverflowN != overflowOf(len(value)) && len(value) > inlineLimit {
		return Tally{}, fmt.Errorf("%w: record %x has %d pages", ErrDamaged, key, s.LeafPageN+s.LeafOverflowN)
	}
	return TallyOf(v.Rows, len(value)), records.DeleteBucket(key)
}

// ReadRecord returns the record with that name, checked, its payload in memory of its
// own.
func ReadRecord(tx *bolt.Tx, k Key) (Envelope, error) {
	records := tx.Bucket(RecordsBucket)
	if records == nil {
		return Envelope{}, fmt.Errorf("%w: no records", ErrDamaged)
	}
	b := records.Bucket(RecordKey(k))
	if b == nil {
		return Envelope{}, fmt.Errorf("%w: no such record", ErrDamaged)
	}
	v, err := ParseEnvelope(b.Get(ValueKey))
	if err != nil {
		return Envelope{}, err
	}
	if v.Key != k {
		return Envelope{}, fmt.Errorf("%w: the record is another one", ErrDamaged)
	}
	v.Payload = bytes.Clone(v.Payload)
	return v, nil
}
