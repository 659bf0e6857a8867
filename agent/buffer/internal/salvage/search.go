package salvage

import (
	"bytes"
	"encoding/binary"
	"io"

	"andon.internal/agent/buffer/internal/format"
)

// search takes records from the pages that no index leads to. Where it is known which
// pages are free, those are left out: what lies there was deleted. Where it is not, a
// record may come that was acknowledged, or moved to another epoch, so it says that it
// was moved: then the database looks whether it has it already.
func (s *salvager) search() error {
	sure := s.sure()
	doubt := s.stale || s.free == nil
	var at int64
	page := make([]byte, format.PageSize+2)
	for id := range s.end {
		if s.used[id] || !doubt && s.free[id] || at > int64(id+1)*format.PageSize {
			continue
		}
		n, err := s.f.ReadAt(page, int64(id)*format.PageSize)
		if err != nil && err != io.EOF {
			continue // does not read back
		}
		for off := max(0, at-int64(id)*format.PageSize); ; off++ {
			i := bytes.Index(page[min(off, int64(n)):n], []byte("ANR"))
			if i < 0 {
				break
			}
			off += int64(i)
			v, size, ok := s.envelopeAt(int64(id)*format.PageSize + off)
			if !ok || sure && !setFor(s.names, v.Key.Epoch).Contains(v.Key.Position) {
				continue
			}
			v.Moved = v.Moved || doubt
			if err := s.accept(v); err != nil {
				return err
			}
			at = int64(id)*format.PageSize + off + size
			off += size - 1
		}
	}
	return nil
}

// envelopeAt reads a record at a place in the file.
func (s *salvager) envelopeAt(at int64) (v format.Envelope, size int64, ok bool) {
	var head [format.EnvelopeHead]byte
	if _, err := s.f.ReadAt(head[:], at); err != nil {
		return v, 0, false
	}
	payload := binary.LittleEndian.Uint32(head[63:])
	size = format.EnvelopeHead + int64(head[6]) + int64(payload) + format.EnvelopeTail
	if payload > format.RecordLimit || at+size > int64(s.end)*format.PageSize {
		return v, 0, false
	}
	b := make([]byte, size)
	if _, err := s.f.ReadAt(b, at); err != nil {
		return v, 0, false
	}
	v, err := format.ParseEnvelope(b)
	return v, size, err == nil
}
