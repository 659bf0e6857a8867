package buffer_test

import (
	"bytes"
	"encoding/binary"
	"os"
	"testing"

	"andon.internal/agent/buffer"
	"andon.internal/agent/buffer/internal/format"
	"andon.internal/shared/ranges"
)

// harm is what damage took of a record file, seen from outside: by comparing its pages with
// what they were.
type harm struct {
	records map[buffer.Key]bool // a copy of them lies in pages that are others now
	counts  bool                // how many there were, and up to where
	free    bool                // which pages are free is another list now
}

func harmOf(t *testing.T, path string, sound []byte) (h harm) {
	t.Helper()
	damaged, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	n, meta := len(sound)/4096, newestMeta(t, sound)
	changed := make([]bool, n)
	for p := range n {
		page := sound[p*4096:][:4096]
		if len(damaged) >= (p+1)*4096 && bytes.Equal(page, damaged[p*4096:][:4096]) {
			continue
		}
		more := 0 // pages behind, to which the head of this one leads
		if binary.NativeEndian.Uint64(page) == uint64(p) {
			more = min(int(binary.NativeEndian.Uint32(page[12:])), n-1-p)
		}
		for q := range more + 1 {
			changed[p+q] = true
		}
	}
	h.counts = changed[0] || changed[1] || changed[meta.Root]
	if at := int(meta.Freelist) * 4096; len(damaged) >= at+4096 {
		h.free = changed[meta.Freelist] && binary.NativeEndian.Uint16(damaged[at+8:]) == format.FreelistFlag
	}
	h.records = map[buffer.Key]bool{}
	eachRecord(sound, func(k buffer.Key, from, to int) {
		for p := from / 4096; p*4096 < to; p++ {
			if changed[p] {
				h.records[k] = true
			}
		}
	})
	return h
}

// eachRecord calls fn for all copies of records that lie anywhere in a file.
func eachRecord(data []byte, fn func(k buffer.Key, from, to int)) {
	for at := 0; ; at++ {
		i := bytes.Index(data[at:], []byte("ANR"))
		if at += i; i < 0 || at+format.EnvelopeHead > len(data) {
			return
		}
		size := format.EnvelopeHead + int(data[at+6]) + int(binary.LittleEndian.Uint32(data[at+63:])) + format.EnvelopeTail
		if size > len(data)-at {
			continue
		}
		if v, err := format.ParseEnvelope(data[at:][:size]); err == nil {
			fn(v.Key, at, at+size)
		}
	}
}

func newestMeta(t *testing.T, data []byte) (newest format.BoltMeta) {
	t.Helper()
	for i := range 2 {
		m, ok := format.ParseMeta(data[i*4096+format.PageHead:][:format.MetaLength])
		if !ok {
			t.Fatal("a meta page of a sound file does not read back")
		}
		if m.Txid >= newest.Txid {
			newest = m
		}
	}
	return newest
}

// compare counts what became of the records that were held.
func (c *corruption) compare(what string, seen map[buffer.Key]bool, lost map[buffer.Epoch]*ranges.Set) (sum outcome) {
	missing := 0
	for k := range c.field.live {
		switch told := lost[k.Epoch] != nil && lost[k.Epoch].Contains(k.Position); {
		case seen[k]:
			sum.Delivered++
		case told:
			sum.Lost++
		default:
			missing++
		}
	}
	switch {
	case missing > 0 && c.oldMeta:
		sum.UndetectedOlderState += missing
	case missing > 0:
		c.t.Errorf("%s: %d records are silently gone", what, missing)
	}
	for e, set := range lost {
		for _, r := range set.Ranges() {
			for p := r.From; p < r.To; p++ {
				if _, held := c.field.live[buffer.Key{Epoch: e, Position: p}]; !held {
					sum.LostOfOthers++
				}
			}
		}
	}
	return sum
}

// tellsNoMore checks that nothing is told as lost that the damage did not harm. Where the list
// of free pages is another one, what lies in those is taken for deleted. Where the counts are
// gone, told is all that may have been there, up to 4096 positions that never were.
func (c *corruption) tellsNoMore(what string, h harm, seen map[buffer.Key]bool, lost map[buffer.Epoch]*ranges.Set) {
	whole, never := 0, 0
	for e, set := range lost {
		for _, r := range set.Ranges() {
			for p := r.From; p < r.To; p++ {
				k := buffer.Key{Epoch: e, Position: p}
				_, held := c.field.live[k]
				switch {
				case held && !seen[k] && !h.records[k]:
					whole++
				case !held && !c.field.acked[k]:
					never++
				}
			}
		}
	}
	if whole > 0 && !h.free {
		c.t.Errorf("%s: %d records are told lost whose pages are as they were", what, whole)
	}
	if never > 0 && !h.counts || never > 4096 {
		c.t.Errorf("%s: %d positions are told lost that never were", what, never)
	}
}
