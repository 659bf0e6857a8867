package state

import (
	"cmp"
	"encoding/binary"
	"errors"
	"fmt"
	"maps"
	"time"

	bolt "go.etcd.io/bbolt"
)

// changes are what one transaction writes. A value that is nil is deleted.
type changes struct {
	counters map[string]uint64
	values   map[place][]byte
}

type place struct{ bucket, key string }

func (c *changes) empty() bool { return len(c.counters)+len(c.values) == 0 }

func newChanges() changes {
	return changes{counters: map[string]uint64{}, values: map[place][]byte{}}
}

// Written returns the bytes of the pages that were written, about. It may be called after
// Close.
func (f *Front) Written() int64 {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.store == nil {
		return 0
	}
	return f.store.Written()
}

// Close writes what waits, which it gives ten seconds, and closes the store. The error
// says what is not on disk. It may be called again.
func (f *Front) Close() error {
	f.mu.Lock()
	if f.closed {
		f.mu.Unlock()
		return nil
	}
	f.closed = true
	s := f.store
	f.mu.Unlock()
	close(f.stop)
	limit := time.NewTimer(closePatience)
	defer limit.Stop()
	select {
	case <-f.done:
	case <-limit.C:
		return fmt.Errorf("close state: the disk does not answer: %d changes are not written", f.waiting())
	}
	f.mu.Lock()
	err := f.err
	f.mu.Unlock()
	if n := f.waiting(); n > 0 && s != nil {
		err = fmt.Errorf("close state: %d changes are not written: %w", n, cmp.Or(err, ErrNoStore))
	} else {
		err = nil
	}
	if s != nil {
		err = errors.Join(err, s.Close())
	}
	return err
}

func (f *Front) waiting() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return len(f.pending.counters) + len(f.pending.values)
}

// write is the writer: one transaction after the other, until Close.
func (f *Front) write() {
	defer close(f.done)
	wait := time.Duration(0)
	for {
		var again <-chan time.Time
		if wait > 0 {
			again = time.After(wait)
		}
		stopping := false
		select {
		case <-f.stop:
			stopping = true
		case <-f.kick:
			if wait > 0 { // the disk has its rest first
				select {
				case <-f.stop:
					stopping = true
				case <-again:
				}
			}
		case <-again:
		}
		if f.writeAll() == nil {
			wait = 0
		} else {
			wait = min(max(2*wait, retryMin), retryMax)
		}
		if stopping {
			return
		}
	}
}

// writeAll writes what waits, in one transaction.
func (f *Front) writeAll() error {
	f.mu.Lock()
	s, c, upTo := f.store, f.pending, f.last
	if f.notes != nil { // what is noted goes with the others
		f.notes.Stop()
		f.notes = nil
	}
	if s == nil || c.empty() {
		if s != nil && f.written < upTo { // what waited became what is on disk
			f.wroteLocked(&c, upTo)
			f.nextTurnLocked()
		}
		f.mu.Unlock()
		return nil
	}
	c = changes{counters: maps.Clone(c.counters), values: maps.Clone(c.values)}
	f.mu.Unlock()
	err := s.write(&c)
	f.mu.Lock()
	defer f.mu.Unlock()
	f.err = err
	if err != nil {
		f.lateLocked()
		if !f.told {
			f.told = true
			f.log.Warn("the state cannot be written: a crash takes what is not; trying again", "error", err)
		}
	} else {
		f.wroteLocked(&c, upTo)
	}
	f.nextTurnLocked()
	return err
}

// nextTurnLocked wakes all that wait.
func (f *Front) nextTurnLocked() {
	close(f.turn)
	f.turn = make(chan struct{})
}

// wroteLocked takes what is on disk now from what waits.
func (f *Front) wroteLocked(c *changes, upTo uint64) {
	f.written = upTo
	for name, n := range c.counters {
		if f.pending.counters[name] == n {
			delete(f.pending.counters, name)
		}
	}
	for at, v := range c.values {
		if now, ok := f.pending.values[at]; ok && sameValue(now, v) {
			delete(f.pending.values, at)
		}
	}
	switch {
	case !f.late:
	case !f.pending.empty():
		f.wake() // it was only noted, which wakes nobody
	default:
		f.late = false
		if lasted := time.Since(f.since); f.told || lasted > time.Second {
			f.log.Info("the state is on disk again, which was slow or failed", "lasted", lasted)
		}
		f.told = false
	}
}

// sameValue reports whether two values are one and the same, not only equal: each change
// has memory of its own.
func sameValue(a, b []byte) bool {
	if a == nil || b == nil || len(a) == 0 || len(b) == 0 {
		return (a == nil) == (b == nil) && len(a) == len(b)
	}
	return &a[0] == &b[0]
}

// counted returns all counters.
func (s *Store) counted() (map[string]uint64, error) {
	out := map[string]uint64{}
	err := s.view(func(tx *bolt.Tx) error {
		return tx.Bucket(countersBucket).ForEach(func(k, v []byte) error {
			if len(v) == 8 {
				out[string(k)] = binary.BigEndian.Uint64(v)
			}
			return nil
		})
	})
	if err != nil {
		return nil, fmt.Errorf("read counters: %w", err)
	}
	return out, nil
}

// write makes changes in one transaction: all or none.
func (s *Store) write(c *changes) error {
	err := s.update(func(tx *bolt.Tx) error {
		for name, n := range c.counters {
			if err := tx.Bucket(countersBucket).Put([]byte(name), binary.BigEndian.AppendUint64(nil, n)); err != nil {
				return err
			}
		}
		for at, v := range c.values {
			b, err := tx.Bucket(valuesBucket).CreateBucketIfNotExists([]byte(at.bucket))
			if err != nil {
				return err
			}
			if v == nil {
				err = b.Delete([]byte(at.key))
			} else {
				err = b.Put([]byte(at.key), v)
			}
			if err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("write state: %w", err)
	}
	return nil
}
