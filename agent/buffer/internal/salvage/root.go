package salvage

import (
	"bytes"
	"encoding/binary"

	"andon.internal/agent/buffer/internal/format"
)

// readRoot finds the buckets and the free pages of the newest state that there is. Where
// not both meta pages read back, or the root is another transaction's, all pages are
// searched for the newest root: each says which transaction wrote it.
func (s *salvager) readRoot() {
	newest, both := format.BothMetas(s.f)
	if !both {
		newest = s.oneMeta()
	}
	if newest.Root != 0 {
		if b, h, err := s.page(newest.Root); err == nil && h.Flags == format.LeafFlag {
			s.buckets = bucketsOf(b, h)
		}
		s.readFree(newest.Freelist)
	}
	txid, signed := s.transaction()
	if both && (!signed && len(s.buckets) > 0 || signed && txid == newest.Txid) {
		return
	}
	was := s.buckets
	found := newest.Txid
	if !signed || txid != newest.Txid {
		found = 0 // what the meta page leads to is not its root
	}
	s.stale = true
	for id := range s.end {
		b := make([]byte, format.PageSize)
		if _, err := s.f.ReadAt(b, int64(id)*format.PageSize); err != nil {
			continue
		}
		h := format.PageHeader{Flags: binary.NativeEndian.Uint16(b[8:]), Count: binary.NativeEndian.Uint16(b[10:])}
		if h.Flags != format.LeafFlag || h.Count > 8 {
			continue
		}
		s.buckets = bucketsOf(b, h)
		if txid, ok := s.transaction(); ok && txid >= found {
			s.stale = txid < newest.Txid
			if txid > newest.Txid {
				s.free = nil // is another transaction's
			}
			found, was = txid, s.buckets
		}
	}
	s.buckets = was
}

// oneMeta returns the meta page that reads back, if one does.
func (s *salvager) oneMeta() (m format.BoltMeta) {
	for i := range int64(2) {
		var page [format.PageHead + format.MetaLength]byte
		if _, err := s.f.ReadAt(page[:], i*format.PageSize); err != nil {
			continue
		}
		if good, ok := format.ParseMeta(page[format.PageHead:]); ok {
			m = good
		}
	}
	return m
}

func bucketsOf(b []byte, h format.PageHeader) map[string][]byte {
	out := map[string][]byte{}
	_ = format.EachElement(b, int(h.Count), func(flags uint32, key, value []byte) bool {
		if flags&format.BucketFlag != 0 {
			out[string(key)] = value
		}
		return true
	})
	return out
}

// transaction returns which transaction wrote the root that is looked at.
func (s *salvager) transaction() (txid uint64, ok bool) {
	sign, err := s.signature()
	return sign.Txid, err == nil && sign.Signed
}

func (s *salvager) signature() (format.Signature, error) {
	return format.SignatureOf(func(key []byte) (v []byte) {
		_ = s.bucket(format.FormatBucket, func(k, value []byte) bool {
			if bytes.Equal(k, key) {
				v = value
			}
			return true
		})
		return v
	})
}
