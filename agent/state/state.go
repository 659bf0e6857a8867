// Package state is a small durable map for what the agent must remember beside its
// records: the session counter, the units on test, the profiles it has used.
//
// It is one bbolt file, a [Store], in which every change is on disk when the call returns, so
// it is for things that change seldom. Counters are kept apart from the buckets of values.
// The agent uses it by way of a [Front], for which nobody waits when the disk is stuck.
package state

import (
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime/debug"
	"sync/atomic"
	"time"

	bolt "go.etcd.io/bbolt"
	bolterrors "go.etcd.io/bbolt/errors"
)

var (
	// ErrInUse is returned by Open when another process has the file open.
	ErrInUse = errors.New("in use by another process")
	// ErrDamaged is returned when the file does not read back. Moving the file away
	// lets the agent start; it then knows no units and counts its sessions anew.
	ErrDamaged = errors.New("damaged; move the file away to start without it")
	// ErrClosed is returned after Close.
	ErrClosed = errors.New("state is closed")
)

var (
	countersBucket = []byte("counters")
	valuesBucket   = []byte("values")
)

const pageSize = 4096

// Store is the map. All methods are safe for concurrent use.
type Store struct {
	db      *bolt.DB
	path    string
	written atomic.Int64
}

// Open opens or creates the file, and its folder. It waits at most a second for
// another process that has it open, then returns ErrInUse.
func Open(path string) (*Store, error) {
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return nil, fmt.Errorf("open state: %w", err)
	}
	s := &Store{path: path}
	err := s.guard(func() (err error) {
		// The database has an error without a name for a file of a page, which a full disk or
		// a power cut leaves of a first start.
		if info, err := os.Stat(path); err == nil && info.Size() > 0 && info.Size() < 2*pageSize {
			return fmt.Errorf("%w: %d bytes", ErrDamaged, info.Size())
		}
		s.db, err = bolt.Open(path, 0o600, &bolt.Options{
			Timeout: time.Second, FreelistType: bolt.FreelistMapType, PageSize: pageSize,
		})
		return err
	})
	if err == nil {
		if err = s.prepare(); err != nil {
			err = errors.Join(err, s.db.Close())
		}
	}
	if err != nil {
		return nil, fmt.Errorf("open state %s: %w", path, told(err))
	}
	return s, nil
}

// OpenReadOnly opens an existing file to be read; it is not changed. While it is open no
// agent can open it, so it is for moments. It returns ErrInUse where a process has the
// file open.
func OpenReadOnly(path string) (*Store, error) {
	s := &Store{path: path}
	err := s.guard(func() (err error) {
		if info, err := os.Stat(path); err != nil {
			return err
		} else if info.Size() < 2*pageSize {
			return ErrDamaged // the database would fill an empty one
		}
		s.db, err = bolt.Open(path, 0, &bolt.Options{Timeout: 10 * time.Millisecond, ReadOnly: true, PageSize: pageSize})
		if err != nil {
			return err
		}
		return s.db.View(func(tx *bolt.Tx) error {
			if tx.Bucket(countersBucket) == nil || tx.Bucket(valuesBucket) == nil {
				return ErrDamaged
			}
			return nil
		})
	})
	if err == nil {
		return s, nil
	}
	if s.db != nil {
		err = errors.Join(err, s.guard(s.db.Close))
	}
	return nil, fmt.Errorf("open state %s: %w", path, told(err))
}

// told puts this package's words before an error of the database.
func told(err error) error {
	switch {
	case errors.Is(err, bolterrors.ErrTimeout):
		return ErrInUse
	case errors.Is(err, bolterrors.ErrInvalid), errors.Is(err, bolterrors.ErrChecksum), errors.Is(err, bolterrors.ErrVersionMismatch):
		return fmt.Errorf("%w: %w", ErrDamaged, err)
	}
	return err
}

// prepare makes the buckets and the file's name durable.
func (s *Store) prepare() error {
	err := s.db.Update(func(tx *bolt.Tx) error {
		if _, err := tx.CreateBucketIfNotExists(countersBucket); err != nil {
			return err
		}
		_, err := tx.CreateBucketIfNotExists(valuesBucket)
		return err
	})
	if err != nil {
		return err
	}
	dir, err := os.Open(filepath.Dir(s.path))
	if err != nil {
		return err
	}
	return errors.Join(dir.Sync(), dir.Close())
}

// Next adds one to the named counter and returns the new value, which is on disk
// by then: no value is ever returned twice. The first is 1.
func (s *Store) Next(counter string) (uint64, error) {
	var n uint64
	err := s.update(func(tx *bolt.Tx) error {
		b := tx.Bucket(countersBucket)
		if v := b.Get([]byte(counter)); len(v) == 8 {
			n = binary.BigEndian.Uint64(v)
		} else if v != nil {
			return fmt.Errorf("%w: counter of %d bytes", ErrDamaged, len(v))
		}
		n++
		return b.Put([]byte(counter), binary.BigEndian.AppendUint64(nil, n))
	})
	if err != nil {
		return 0, fmt.Errorf("count %s: %w", counter, err)
	}
	return n, nil
}

// Get returns a copy of the value, or nil when there is none. A value that was stored
// empty is not nil.
func (s *Store) Get(bucket, key string) ([]byte, error) {
	var out []byte
	err := s.view(func(tx *bolt.Tx) error {
		if b := tx.Bucket(valuesBucket).Bucket([]byte(bucket)); b != nil {
			if v := b.Get([]byte(key)); v != nil {
				out = append([]byte{}, v...)
			}
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("read state %s/%s: %w", bucket, key, err)
	}
	return out, nil
}

// All returns copies of all values of the bucket by key.
func (s *Store) All(bucket string) (map[string][]byte, error) {
	out := map[string][]byte{}
	err := s.view(func(tx *bolt.Tx) error {
		b := tx.Bucket(valuesBucket).Bucket([]byte(bucket))
		if b == nil {
			return nil
		}
		return b.ForEach(func(k, v []byte) error {
			out[string(k)] = append([]byte{}, v...)
			return nil
		})
	})
	if err != nil {
		return nil, fmt.Errorf("read state %s: %w", bucket, err)
	}
	return out, nil
}

// Put stores the value under the key. Neither bucket nor key may be empty.
func (s *Store) Put(bucket, key string, value []byte) error {
	return s.PutAll(bucket, map[string][]byte{key: value})
}

// Note is Put: a Store waits with nothing, as a [Front] does.
func (s *Store) Note(bucket, key string, value []byte) error { return s.Put(bucket, key, value) }

// PutAll stores several values of one bucket in one transaction: all or none.
func (s *Store) PutAll(bucket string, values map[string][]byte) error {
	if len(values) == 0 {
		return nil
	}
	err := s.update(func(tx *bolt.Tx) error {
		b, err := tx.Bucket(valuesBucket).CreateBucketIfNotExists([]byte(bucket))
		if err != nil {
			return err
		}
		for k, v := range values {
			if err := b.Put([]byte(k), v); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("write state %s: %w", bucket, err)
	}
	return nil
}

// Delete removes the key. It is no error when it is not there.
func (s *Store) Delete(bucket, key string) error {
	err := s.update(func(tx *bolt.Tx) error {
		if b := tx.Bucket(valuesBucket).Bucket([]byte(bucket)); b != nil {
			return b.Delete([]byte(key))
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("delete state %s/%s: %w", bucket, key, err)
	}
	return nil
}

// Close releases the file. It may be called again.
func (s *Store) Close() error {
	if err := s.guard(s.db.Close); err != nil {
		return fmt.Errorf("close state: %w", err)
	}
	return nil
}

// Written returns the bytes of the pages that were written since Open, about. It may be
// called after Close.
func (s *Store) Written() int64 { return s.written.Load() }

func (s *Store) update(fn func(tx *bolt.Tx) error) error {
	return s.guard(func() error {
		var done *bolt.Tx
		err := s.db.Update(func(tx *bolt.Tx) error {
			done = tx
			return fn(tx)
		})
		if err == nil {
			stats := done.Stats()
			s.written.Add(stats.GetPageAlloc() + pageSize) // and a meta page
		}
		return err
	})
}

func (s *Store) view(fn func(tx *bolt.Tx) error) error {
	return s.guard(func() error { return s.db.View(fn) })
}

// guard turns a panic, which is bbolt's answer to damage, into an error.
func (s *Store) guard(fn func() error) (err error) {
	old := debug.SetPanicOnFault(true) // a page that is not in the file, or that the disk cannot read
	defer debug.SetPanicOnFault(old)
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("%w: %v", ErrDamaged, r)
		}
	}()
	if err = fn(); errors.Is(err, bolterrors.ErrDatabaseNotOpen) {
		err = ErrClosed
	}
	return err
}
