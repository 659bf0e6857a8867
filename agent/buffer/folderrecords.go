package buffer

import (
	"encoding/binary"
	"fmt"

	"andon.internal/agent/buffer/internal/format"
)

// recordsOf calls fn for every record of a file and for everything that does not read back.
// What it counted by epoch is compared with what the file says.
func recordsOf(w *format.Walker, name string, fn func(Found) error) error {
	bad := func(page uint64, err error) error {
		return fn(Found{File: name, Offset: int64(page) * format.PageSize, Err: err})
	}
	seen := map[Epoch]uint64{}
	err := w.Each(string(format.RecordsBucket), func(page uint64, key, value []byte) error {
		f := Found{File: name, Offset: int64(page) * format.PageSize}
		if len(key) != len(Epoch{})+8 {
			f.Err = fmt.Errorf("%w: key %x", errDamaged, key)
			return fn(f)
		}
		k := Key{Epoch: Epoch(key), Position: binary.BigEndian.Uint64(key[len(Epoch{}):])}
		seen[k.Epoch]++
		at, data, err := w.Record(page, value)
		f.Offset = int64(at) * format.PageSize
		if err == nil {
			f.Stored, err = ParseStored(data)
		}
		if err == nil && f.Key != k {
			err = fmt.Errorf("%w: the record is another one, position %d", errDamaged, f.Position)
		}
		if err != nil {
			f.Stored, f.Err = Stored{Key: k}, err
		}
		return fn(f)
	}, bad)
	if err != nil {
		return err
	}
	counts := map[Epoch]uint64{}
	err = w.Each(string(format.EpochsBucket), func(page uint64, key, value []byte) error {
		n, err := format.DecodeCount(value)
		if err != nil || len(key) != len(Epoch{}) {
			return bad(page, fmt.Errorf("%w: count of an epoch", errDamaged))
		}
		counts[Epoch(key)] = n.Records
		return nil
	}, bad)
	for e, n := range seen {
		if err == nil && counts[e] != n {
			err = fn(Found{File: name, Stored: Stored{Key: Key{Epoch: e}}, Err: fmt.Errorf("%w: %d records where %d were counted", errDamaged, n, counts[e])})
		}
		delete(counts, e)
	}
	for e, n := range counts {
		if err == nil && n > 0 {
			err = fn(Found{File: name, Stored: Stored{Key: Key{Epoch: e}}, Err: fmt.Errorf("%w: no records where %d were counted", errDamaged, n)})
		}
	}
	return err
}
