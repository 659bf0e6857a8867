package buffer

import (
	"encoding/binary"
	"errors"
	"fmt"

	bolt "go.etcd.io/bbolt"

	"andon.internal/agent/buffer/internal/format"
	"andon.internal/shared/ranges"
)

const (
	noteVersion = 1
	maxNoted    = 64 // ranges an epoch
)

// note stores what a file held when it was full, for the day on which it is found
// damaged, and drops the notes of files not in keep. Files go by their base names: they
// may be sealed before that day.
func (c *chain) note(base string, held map[Epoch]ranges.Set, keep map[string]bool) error {
	return c.update(func(tx *bolt.Tx) error {
		b := tx.Bucket(fileBucket)
		var old [][]byte
		err := b.ForEach(func(k, _ []byte) error {
			if !keep[string(k)] {
				old = append(old, k)
			}
			return nil
		})
		for _, k := range old {
			err = errors.Join(err, b.Delete(k))
		}
		return errors.Join(err, putNote(tx, base, held))
	})
}

func putNote(tx *bolt.Tx, base string, held map[Epoch]ranges.Set) error {
	v := []byte{noteVersion}
	for e, set := range held {
		text := coalesce(set, maxNoted).String()
		v = append(v, e[:]...)
		v = binary.AppendUvarint(v, uint64(len(text)))
		v = append(v, text...)
	}
	return tx.Bucket(fileBucket).Put([]byte(base), format.Seal(v))
}

// noted returns what note stored about a file; nothing where it did not.
func (c *chain) noted(base string) (held map[Epoch]ranges.Set, err error) {
	err = c.view(func(tx *bolt.Tx) error {
		v := tx.Bucket(fileBucket).Get([]byte(base))
		if v == nil {
			return nil
		}
		body, err := format.Unseal(v, noteVersion)
		if err != nil {
			return err
		}
		held = map[Epoch]ranges.Set{}
		for d := (decoder{b: body}); len(d.b) > 0 && !d.bad; {
			e := Epoch(append(make([]byte, 0, 16), d.take(16)...)[:16])
			set, err := ranges.Parse(string(d.take(int(d.uvarint()))), maxNoted)
			if d.bad || err != nil {
				return fmt.Errorf("note of a file: %w", errors.Join(err, errDamaged))
			}
			held[e] = set
		}
		return nil
	})
	return held, err
}

// coalesce returns a set of at most limit ranges that has every position of s.
func coalesce(s ranges.Set, limit int) ranges.Set {
	list := s.Ranges()
	if len(list) <= limit {
		return s
	}
	out := ranges.Of(list[:limit-1]...)
	out.Add(list[limit-1].From, s.End())
	return out
}
