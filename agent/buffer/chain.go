package buffer

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"sync/atomic"
	"time"

	bolt "go.etcd.io/bbolt"
	bolterrors "go.etcd.io/bbolt/errors"

	"andon.internal/agent/buffer/internal/format"
	"andon.internal/shared/ranges"
)

// chainFile holds the chain of epochs: their headers, how each ended, and the
// moves that are under way. It is written a few times in an epoch's life.
const chainFile = "chain.db"

var (
	linkBucket = []byte("epochs")
	moveBucket = []byte("moves")
	fileBucket = []byte("files")
)

// link is an epoch as the chain file knows it.
type link struct {
	seq      uint64 // orders the chain; its key
	id, prev Epoch
	boot     [16]byte
	began    int64 // unix ns
	ended    EndKind
	next     uint64 // see EndKind; while it is open, that many were assigned: see next.go
}

// move says that records of one epoch are on their way into another: the k-th
// position of set becomes position k. The target of each is settled before the
// first is copied, so a move that was cut off can be run again and ends the same.
type move struct {
	seq      uint64 // orders the moves, one may go on where another ended; its key
	from, to Epoch
	set      ranges.Set // does not change once it is used
	below    []uint64   // how many positions are before each of its ranges; made by rank
}

// chain is the chain file. It is not safe for concurrent use.
type chain struct {
	db      *bolt.DB
	file    os.FileInfo  // which file that is
	stuck   bool         // db cannot be closed: see format.Stuck
	err     error        // a write failed: the file is not written again, but replaced
	written atomic.Int64 // bytes of pages, about
}

// openChain opens or creates the chain file. An error wraps errDamaged when the
// content is at fault.
func openChain(dir string) (*chain, error) {
	path := filepath.Join(dir, chainFile)
	o := bolt.Options{Timeout: time.Second}
	open := format.Open
	before, err := os.Stat(path)
	if errors.Is(err, fs.ErrNotExist) {
		open = createDB
	} else if err := format.CheckTree(path); err != nil {
		return nil, err
	}
	db, err := open(path, o)
	if err != nil {
		return nil, err
	}
	now, err := os.Stat(path)
	if err == nil && before != nil && !os.SameFile(before, now) {
		// Who has the folder has put another file there: see renew. Its lock is the one that counts.
		err = bolterrors.ErrTimeout
	}
	c := &chain{db: db, file: now}
	if err == nil {
		err = c.update(makeBuckets)
	}
	if err != nil {
		return nil, errors.Join(err, c.close())
	}
	reserveBlocks(path)
	return c, nil
}

func makeBuckets(tx *bolt.Tx) error {
	for _, name := range [][]byte{linkBucket, moveBucket, fileBucket, cursorBucket, stateBucket} {
		if _, err := tx.CreateBucketIfNotExists(name); err != nil {
			return err
		}
	}
	return nil
}

func (c *chain) close() error {
	if c.stuck {
		return nil // the lock goes with the process
	}
	return format.Close(c.db)
}

// update runs one synced transaction. After one that failed there is no other before renew,
// unless it failed for lack of space.
func (c *chain) update(fn func(tx *bolt.Tx) error) error {
	if c.err != nil {
		return c.err
	}
	var done *bolt.Tx
	err := wrap("write "+chainFile, format.Guarded(func() error {
		return c.db.Update(func(tx *bolt.Tx) error {
			done = tx
			return fn(tx)
		})
	}))
	if err == nil {
		c.written.Add(format.PagesOf(done))
	}
	c.stuck = format.Stuck(err, done)
	if !noSpace(err) {
		c.err = err
	}
	return err
}

// view runs fn in a transaction that reads. After one that left the file stuck there is no other
// of any kind before renew.
func (c *chain) view(fn func(tx *bolt.Tx) error) error {
	if c.stuck {
		return c.err
	}
	stuck, err := format.View(c.db, fn)
	if stuck {
		c.stuck, c.err = true, err
	}
	return err
}

// load reads the links, oldest first, and the moves that are under way.
func (c *chain) load() ([]link, []*move, error) {
	var links []link
	var moves []*move
	err := c.view(func(tx *bolt.Tx) error {
		err := tx.Bucket(linkBucket).ForEach(func(k, v []byte) error {
			l, err := decodeLink(k, v)
			links = append(links, l)
			return err
		})
		if err != nil {
			return err
		}
		return tx.Bucket(moveBucket).ForEach(func(k, v []byte) error {
			m, err := decodeMove(k, v)
			moves = append(moves, m)
			return err
		})
	})
	return links, moves, err
}

// begin makes a new epoch durable, together with what changed in those before it, which
// of them are forgotten and, if there is one, the move into it.
func (c *chain) begin(l link, changed []link, unused []uint64, m *move) error {
	return c.update(func(tx *bolt.Tx) error {
		b := tx.Bucket(linkBucket)
		for i := range changed {
			if err := putLink(b, &changed[i]); err != nil {
				return err
			}
		}
		for _, seq := range unused {
			if err := b.Delete(seqKey(seq)); err != nil {
				return err
			}
		}
		if m != nil {
			if err := putMove(tx, m); err != nil {
				return err
			}
		}
		return putLink(b, &l)
	})
}

// end notes how an epoch ended.
func (c *chain) end(l link) error {
	return c.update(func(tx *bolt.Tx) error { return putLink(tx.Bucket(linkBucket), &l) })
}

// forget takes epochs out of the chain.
func (c *chain) forget(seqs []uint64) error {
	return c.update(func(tx *bolt.Tx) error {
		for _, seq := range seqs {
			if err := tx.Bucket(linkBucket).Delete(seqKey(seq)); err != nil {
				return err
			}
		}
		return nil
	})
}

// moved notes that a move is complete.
func (c *chain) moved(m *move) error {
	return c.update(func(tx *bolt.Tx) error { return tx.Bucket(moveBucket).Delete(seqKey(m.seq)) })
}

func seqKey(seq uint64) []byte { return binary.BigEndian.AppendUint64(nil, seq) }

const linkVersion = 1

// putLink stores a link: version, id, predecessor, boot id, begin, kind of end, next
// position, CRC-32C; numbers big-endian.
func putLink(b *bolt.Bucket, l *link) error {
	v := []byte{linkVersion}
	v = append(v, l.id[:]...)
	v = append(v, l.prev[:]...)
	v = append(v, l.boot[:]...)
	v = binary.BigEndian.AppendUint64(v, uint64(l.began))
	v = append(v, byte(l.ended))
	v = binary.BigEndian.AppendUint64(v, l.next)
	return b.Put(seqKey(l.seq), format.Seal(v))
}

func decodeLink(k, v []byte) (link, error) {
	body, err := format.Unseal(v, linkVersion)
	if err != nil || len(k) != 8 {
		return link{}, fmt.Errorf("header of an epoch: %w", errors.Join(err, errDamaged))
	}
	d := decoder{b: body}
	l := link{seq: binary.BigEndian.Uint64(k)}
	copy(l.id[:], d.take(16))
	copy(l.prev[:], d.take(16))
	copy(l.boot[:], d.take(16))
	l.began = int64(d.uint64())
	l.ended = EndKind(d.byte())
	l.next = d.uint64()
	if d.bad || len(d.b) != 0 || l.ended > EndUnclean {
		return link{}, fmt.Errorf("header of an epoch: %w", errDamaged)
	}
	return l, nil
}

const (
	moveVersion = 1
	maxRanges   = 1 << 20 // in a stored set
)

func putMove(tx *bolt.Tx, m *move) error {
	return tx.Bucket(moveBucket).Put(seqKey(m.seq), encodeMove(m))
}

func encodeMove(m *move) []byte {
	v := []byte{moveVersion}
	v = append(v, m.from[:]...)
	v = append(v, m.to[:]...)
	return format.Seal(append(v, m.set.String()...))
}

func decodeMove(k, v []byte) (*move, error) {
	body, err := format.Unseal(v, moveVersion)
	if err != nil || len(body) < 32 || len(k) != 8 {
		return nil, fmt.Errorf("move between epochs: %w", errors.Join(err, errDamaged))
	}
	m := &move{seq: binary.BigEndian.Uint64(k), from: Epoch(body[:16]), to: Epoch(body[16:32])}
	m.set, err = ranges.Parse(string(body[32:]), maxRanges)
	return m, err
}
