package buffer

import (
	"encoding/binary"
	"fmt"

	"andon.internal/agent/buffer/internal/format"
)

// recordsOf calls fn for every record of a file and for everything that does not read back.
// What it counted by epoch is compared with what the file says.
func recordsOf(w *format.Walker, name string, fn func(Found) error) error {
	seen := map[Epoch]uint64{}
	for e := range w.Elements(format.RecordsBucket) {
		f := Found{File: name, Offset: int64(e.Page) * format.PageSize, Err: e.Err}
		switch {
		case e.Err != nil:
		case len(e.Key) != len(Epoch{})+8:
			f.Err = fmt.Errorf("%w: key %x", errDamaged, e.Key)
		default:
			f = foundAt(w, &e)
			f.File = name
			seen[f.Epoch]++
		}
		if err := fn(f); err != nil {
			return err
		}
	}
	counts := map[Epoch]uint64{}
	for e := range w.Elements(format.EpochsBucket) {
		n, err := format.DecodeCount(e.Value)
		switch {
		case e.Err != nil:
			err = e.Err
		case err != nil || len(e.Key) != len(Epoch{}):
			err = fmt.Errorf("%w: count of an epoch", errDamaged)
		default:
			counts[Epoch(e.Key)] = n.Records
		}
		if err != nil {
			if err = fn(Found{File: name, Offset: int64(e.Page) * format.PageSize, Err: err}); err != nil {
				return err
			}
		}
	}
	return compareCounts(seen, counts, func(e Epoch, err error) error {
		return fn(Found{File: name, Stored: Stored{Key: Key{Epoch: e}}, Err: err})
	})
}

// foundAt reads the record that an element of the index names.
func foundAt(w *format.Walker, e *format.Element) (f Found) {
	k := Key{Epoch: Epoch(e.Key), Position: binary.BigEndian.Uint64(e.Key[len(Epoch{}):])}
	at, data, err := w.Record(e.Page, e.Value)
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
	return f
}

// compareCounts calls bad for each epoch of which not as many records are there as were
// counted, and returns its first error.
func compareCounts(seen, counts map[Epoch]uint64, bad func(e Epoch, err error) error) error {
	for e, n := range seen {
		if counts[e] != n {
			if err := bad(e, fmt.Errorf("%w: %d records where %d were counted", errDamaged, n, counts[e])); err != nil {
				return err
			}
		}
	}
	for e, n := range counts {
		if _, ok := seen[e]; !ok && n > 0 {
			if err := bad(e, fmt.Errorf("%w: no records where %d were counted", errDamaged, n)); err != nil {
				return err
			}
		}
	}
	return nil
}
