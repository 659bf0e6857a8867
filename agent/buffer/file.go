package buffer

import (
	"bytes"
	"encoding/binary"
	"fmt"

	bolt "go.etcd.io/bbolt"

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
	recordsBucket = []byte("records")
	epochsBucket  = []byte("epochs")
	cursorsBucket = []byte("cursors")
	formatBucket  = []byte("file")
	formatKey     = []byte("format")
	ownerKey      = []byte("buffer")
	serialKey     = []byte("transaction")
	valueKey      = []byte("r")
)

const (
	fileFormat     = 1 // of values
	unsignedFormat = 1 // of a file without a signature
	signedFormat   = 2
)

// cursor is a cursor with the number of its change, which tells the newest of the
// copies in several files.
type cursor struct {
	generation uint64
	data       []byte
}

// change is what one transaction does to a file.
type change struct {
	puts    []envelope
	deletes map[Epoch]ranges.Set
	cursors map[string]cursor
	epoch   Epoch    // whose next position is known to be at least
	next    uint64   // this
	home    bool     // the file has all cursors after it
	owner   [16]byte // the buffer's id
}

// outcome is what a transaction did.
type outcome struct {
	tallies map[Epoch]tally // of the epochs that it touched, afterwards
	size    int64           // of the file in use, afterwards
	written int64           // bytes, about
}

// apply runs the change as one synced transaction. scratch holds the encoded
// records until it returns. On an error the change may or may not be in the file. The
// file does not grow beyond limit, unless it is for deletes, which must always work.
func (c *change) apply(db *bolt.DB, scratch *[]byte, limit int) (outcome, error) {
	var out outcome
	if db.MaxSize = limit; len(c.puts) == 0 {
		db.MaxSize = 0
	}
	err := guarded(func() error {
		tx, err := db.Begin(true)
		if err != nil {
			return err
		}
		defer func() { _ = tx.Rollback() }() // nothing to undo after Commit
		if out.tallies, err = c.fill(tx, scratch); err != nil {
			return err
		}
		if err := tx.Commit(); err != nil {
			return err
		}
		out.written = pagesOf(tx)
		return db.View(func(tx *bolt.Tx) error { out.size = tx.Size(); return nil })
	})
	return out, err
}

// pagesOf returns the bytes of the pages that a committed transaction wrote, its meta page
// with them.
func pagesOf(tx *bolt.Tx) int64 {
	stats := tx.Stats()
	return stats.GetPageAlloc() + pageSize
}

func (c *change) fill(tx *bolt.Tx, scratch *[]byte) (map[Epoch]tally, error) {
	var buckets [4]*bolt.Bucket
	for i, name := range [...][]byte{recordsBucket, epochsBucket, cursorsBucket, formatBucket} {
		var err error
		if buckets[i], err = tx.CreateBucketIfNotExists(name); err != nil {
			return nil, err
		}
	}
	records, n := buckets[0], counts{b: buckets[1], rows: map[Epoch]*count{}}
	for e, set := range c.deletes {
		if err := c.delete(records, &n, e, set); err != nil {
			return nil, err
		}
	}
	if err := c.put(records, &n, scratch); err != nil {
		return nil, err
	}
	if err := n.raise(c.epoch, c.next); err != nil {
		return nil, err
	}
	for name, cur := range c.cursors {
		v := binary.BigEndian.AppendUint64([]byte{fileFormat}, cur.generation)
		if err := buckets[2].Put([]byte(name), seal(append(v, cur.data...))); err != nil {
			return nil, err
		}
	}
	if err := c.sign(buckets[3], uint64(tx.ID())); err != nil {
		return nil, err
	}
	return n.store()
}

// sign writes the format of the file, whose it is, and the transaction's number.
func (c *change) sign(b *bolt.Bucket, txid uint64) error {
	if !bytes.Equal(b.Get(formatKey), []byte{signedFormat}) {
		if err := b.Put(formatKey, []byte{signedFormat}); err != nil {
			return err
		}
	}
	if c.owner != ([16]byte{}) && b.Get(ownerKey) == nil {
		if err := b.Put(ownerKey, seal(append([]byte{fileFormat}, c.owner[:]...))); err != nil {
			return err
		}
	}
	return b.Put(serialKey, seal(binary.BigEndian.AppendUint64([]byte{fileFormat}, txid)))
}

// signature is what a file says of itself. Zero and false where an earlier version wrote it.
type signature struct {
	owner  [16]byte
	owned  bool
	txid   uint64
	signed bool
}

// signatureOf reads what sign wrote, given how a value is got.
func signatureOf(get func(key []byte) []byte) (s signature, err error) {
	if v := get(ownerKey); v != nil {
		body, err := unseal(v, fileFormat)
		if err == nil && len(body) != len(s.owner) {
			err = errDamaged
		}
		if err != nil {
			return s, fmt.Errorf("whose the file is: %w", err)
		}
		s.owner, s.owned = [16]byte(body), true
	}
	if v := get(serialKey); v != nil {
		body, err := unseal(v, fileFormat)
		if err == nil && len(body) != 8 {
			err = errDamaged
		}
		if err != nil {
			return s, fmt.Errorf("number of the last transaction: %w", err)
		}
		s.txid, s.signed = binary.BigEndian.Uint64(body), true
	}
	return s, nil
}

// put stores the records; one that is there already is replaced.
func (c *change) put(records *bolt.Bucket, n *counts, scratch *[]byte) error {
	need := 0
	for i := range c.puts {
		need += c.puts[i].size()
	}
	if cap(*scratch) < need {
		*scratch = make([]byte, 0, need)
	}
	buf := (*scratch)[:0]
	records.FillPercent = 1 // positions grow
	for i := range c.puts {
		v := &c.puts[i]
		if err := n.raise(v.key.Epoch, v.key.Position+1); err != nil {
			return err
		}
		key := recordKey(v.key)
		if records.Bucket(key) != nil {
			gone, err := deleteRecord(records, key)
			if err != nil {
				return err
			}
			n.rows[v.key.Epoch].sub(gone)
			n.rows[v.key.Epoch].sum -= hashOf(v.key.Position)
		}
		start := len(buf)
		buf = v.appendTo(buf)
		b, err := records.CreateBucket(key)
		if err != nil {
			return err
		}
		if err := b.Put(valueKey, buf[start:len(buf):len(buf)]); err != nil {
			return err
		}
		n.rows[v.key.Epoch].add(tallyOf(v.rows, len(buf)-start))
		n.rows[v.key.Epoch].sum += hashOf(v.key.Position)
	}
	return nil
}

func (c *change) delete(records *bolt.Bucket, n *counts, e Epoch, set ranges.Set) error {
	if err := n.raise(e, 0); err != nil {
		return err
	}
	for _, r := range set.Ranges() {
		for p := r.From; p < r.To; p++ {
			gone, err := deleteRecord(records, recordKey(Key{e, p}))
			if err != nil {
				return err
			}
			n.rows[e].sub(gone)
			n.rows[e].sum -= hashOf(p)
		}
	}
	return nil
}

// deleteRecord deletes a record and returns what it was. It refuses when the pages
// are not as they were written: a wrong page count would free a neighbour's.
func deleteRecord(records *bolt.Bucket, key []byte) (tally, error) {
	b := records.Bucket(key)
	if b == nil {
		return tally{}, fmt.Errorf("%w: record %x is not there", errDamaged, key)
	}
	value := b.Get(valueKey)
	v, err := parseHead(value)
	if err != nil {
		return tally{}, err
	}
	if !bytes.Equal(recordKey(v.key), key) {
		return tally{}, fmt.Errorf("%w: record %x is another one", errDamaged, key)
	}
	if s := b.Stats(); s.BranchPageN != 0 || s.LeafOverflowN != overflowOf(len(value)) && len(value) > inlineLimit {
		return tally{}, fmt.Errorf("%w: record %x has %d pages", errDamaged, key, s.LeafPageN+s.LeafOverflowN)
	}
	return tallyOf(v.rows, len(value)), records.DeleteBucket(key)
}

// readRecord returns the record with that name, checked, its payload in memory of its
// own.
func readRecord(db *bolt.DB, k Key) (v envelope, err error) {
	err = guarded(func() error {
		return db.View(func(tx *bolt.Tx) error {
			records := tx.Bucket(recordsBucket)
			if records == nil {
				return fmt.Errorf("%w: no records", errDamaged)
			}
			b := records.Bucket(recordKey(k))
			if b == nil {
				return fmt.Errorf("%w: no such record", errDamaged)
			}
			var err error
			if v, err = parseEnvelope(b.Get(valueKey)); err != nil {
				return err
			}
			if v.key != k {
				return fmt.Errorf("%w: the record is another one", errDamaged)
			}
			v.payload = bytes.Clone(v.payload)
			return nil
		})
	})
	return v, err
}

func recordKey(k Key) []byte {
	return binary.BigEndian.AppendUint64(bytes.Clone(k.Epoch[:]), k.Position)
}
