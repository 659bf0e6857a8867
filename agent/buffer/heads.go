package buffer

import (
	"fmt"

	bolt "go.etcd.io/bbolt"

	"andon.internal/agent/buffer/internal/format"
	"andon.internal/shared/ranges"
)

// head is what is read of a record that may have to go.
type head struct {
	format.Envelope
	space int64
	told  LossInfo // of a loss record
}

// heads reads records of one file. Where one does not read back, it returns those before
// it, and the error.
func (b *Buffer) heads(f *file, e Epoch, run ranges.Range) (out []head, err error) {
	b.reading.Lock()
	defer b.reading.Unlock()
	db, err := b.acquire(f)
	if err != nil {
		return nil, err
	}
	defer b.handles.release(f.handle)
	err = b.view(f, db, func(tx *bolt.Tx) error {
		records := tx.Bucket(format.RecordsBucket)
		if records == nil {
			return fmt.Errorf("%w: no records", errDamaged)
		}
		for p := run.From; p < run.To; p++ {
			h, err := headOf(records, Key{Epoch: e, Position: p})
			if err != nil {
				return err
			}
			out = append(out, h)
		}
		return nil
	})
	return out, err
}

func headOf(records *bolt.Bucket, k Key) (h head, err error) {
	bucket := records.Bucket(format.RecordKey(k))
	if bucket == nil {
		return h, fmt.Errorf("%w: no such record", errDamaged)
	}
	value := bucket.Get(format.ValueKey)
	if h.Envelope, err = format.ParseEnvelope(value); err != nil {
		return h, err
	}
	if h.Key != k {
		return h, fmt.Errorf("%w: the record is another one", errDamaged)
	}
	h.space = int64(format.SpaceOf(len(value)))
	if h.Class == Loss {
		data, err := h.Data()
		if err != nil {
			return h, err
		}
		if h.told, err = DecodeLoss(data); err != nil {
			return h, fmt.Errorf("%w: %w", errDamaged, err)
		}
	}
	h.Payload = nil // of the file's map
	return h, nil
}
