package buffer

import (
	"bytes"
	"encoding/binary"
)

// readRoot finds the buckets and the free pages of the newest state that there is. Where
// not both meta pages read back, or the root is another transaction's, all pages are
// searched for the newest root: each says which transaction wrote it.
func (s *salvager) readRoot() {
	newest, both := bothMetas(s.f)
	if !both {
		newest = s.oneMeta()
	}
	if newest.root != 0 {
		if b, h, err := s.page(newest.root); err == nil && h.flags == leafFlag {
			s.buckets = bucketsOf(b, h)
		}
		s.readFree(newest.freelist)
	}
	txid, signed := s.transaction()
	if both && (!signed && len(s.buckets) > 0 || signed && txid == newest.txid) {
		return
	}
	was := s.buckets
	found := newest.txid
	if !signed || txid != newest.txid {
		found = 0 // what the meta page leads to is not its root
	}
	s.stale = true
	for id := range s.end {
		b := make([]byte, pageSize)
		if _, err := s.f.ReadAt(b, int64(id)*pageSize); err != nil {
			continue
		}
		h := pageHeader{binary.NativeEndian.Uint16(b[8:]), binary.NativeEndian.Uint16(b[10:])}
		if h.flags != leafFlag || h.count > 8 {
			continue
		}
		s.buckets = bucketsOf(b, h)
		if txid, ok := s.transaction(); ok && txid >= found {
			s.stale = txid < newest.txid
			if txid > newest.txid {
				s.free = nil // is another transaction's
			}
			found, was = txid, s.buckets
		}
	}
	s.buckets = was
}

// oneMeta returns the meta page that reads back, if one does.
func (s *salvager) oneMeta() (m boltMeta) {
	for i := range int64(2) {
		var page [pageHead + metaLength]byte
		if _, err := s.f.ReadAt(page[:], i*pageSize); err != nil {
			continue
		}
		if good, ok := parseMeta(page[pageHead:]); ok {
			m = good
		}
	}
	return m
}

func bucketsOf(b []byte, h pageHeader) map[string][]byte {
	out := map[string][]byte{}
	_ = eachElement(b, int(h.count), func(flags uint32, key, value []byte) bool {
		if flags&bucketFlag != 0 {
			out[string(key)] = value
		}
		return true
	})
	return out
}

// transaction returns which transaction wrote the root that is looked at.
func (s *salvager) transaction() (txid uint64, ok bool) {
	sign, err := s.signature()
	return sign.txid, err == nil && sign.signed
}

func (s *salvager) signature() (signature, error) {
	return signatureOf(func(key []byte) (v []byte) {
		_ = s.bucket(formatBucket, func(k, value []byte) bool {
			if bytes.Equal(k, key) {
				v = value
			}
			return true
		})
		return v
	})
}
