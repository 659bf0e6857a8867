package sampler

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"slices"

	"andon.internal/agent/source"
	"andon.internal/shared/telemetry"
)

// mark is the cursor that the buffer stores: where the source stands, and the runs
// that are active there with their counts. Where a batch was stored in parts, the
// mark is before the batch, and Skip events behind it are stored.
type mark struct {
	source.Resume
	Skip int
}

// The form of a stored mark, version 1:
//
//	version byte
//	cursor of the source: length + 1 uvarint, or 0 where it has none yet; bytes
//	skip uvarint
//	profiles: count uvarint, fingerprints 8 bytes each, little-endian
//	runs, sorted by unit: count uvarint, and for each:
//	    unit: bytes shared with the one before uvarint, length of the rest uvarint, rest
//	    profile's place uvarint | born varint, difference to the one before | count uvarint
//	CRC-32C of all that, 4 bytes, little-endian
const cursorVersion = 1

// Bounds of a mark.
const (
	maxRuns = 1 << 16
	maxSkip = 1 << 24
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// encodeMark is the inverse of decodeMark. The runs are sorted by unit.
func encodeMark(r mark) []byte {
	b := []byte{cursorVersion}
	if r.Cursor == nil {
		b = append(b, 0)
	} else {
		b = binary.AppendUvarint(b, uint64(len(r.Cursor))+1)
		b = append(b, r.Cursor...)
	}
	b = binary.AppendUvarint(b, uint64(r.Skip))
	var profiles []uint64
	places := map[*telemetry.Profile]int{}
	for i := range r.Runs {
		p := r.Runs[i].Profile
		if _, ok := places[p]; ok {
			continue
		}
		fp := p.Fingerprint()
		at := slices.Index(profiles, fp)
		if at < 0 {
			at = len(profiles)
			profiles = append(profiles, fp)
		}
		places[p] = at
	}
	b = binary.AppendUvarint(b, uint64(len(profiles)))
	for _, fp := range profiles {
		b = binary.LittleEndian.AppendUint64(b, fp)
	}
	b = binary.AppendUvarint(b, uint64(len(r.Runs)))
	unit, born := "", int64(0)
	for i := range r.Runs {
		run := &r.Runs[i]
		n := 0
		for n < min(len(unit), len(run.Unit)) && unit[n] == run.Unit[n] {
			n++
		}
		b = binary.AppendUvarint(b, uint64(n))
		b = binary.AppendUvarint(b, uint64(len(run.Unit)-n))
		b = append(b, run.Unit[n:]...)
		b = binary.AppendUvarint(b, uint64(places[run.Profile]))
		b = binary.AppendVarint(b, run.Born-born)
		b = binary.AppendUvarint(b, run.Count)
		unit, born = run.Unit, run.Born
	}
	return binary.LittleEndian.AppendUint32(b, crc32.Checksum(b, castagnoli))
}

// decodeMark reads a stored mark. profile finds the profiles that the runs had.
func decodeMark(b []byte, profile func(fingerprint uint64) *telemetry.Profile) (mark, error) {
	var r mark
	if len(b) < 5 {
		return r, fmt.Errorf("stored cursor of %d bytes is damaged; %s", len(b), cursorCure)
	}
	if b[0] != cursorVersion {
		return r, fmt.Errorf("stored cursor has version %d and this program reads version %d; use the program that wrote it",
			b[0], cursorVersion)
	}
	body, sum := b[:len(b)-4], binary.LittleEndian.Uint32(b[len(b)-4:])
	if crc32.Checksum(body, castagnoli) != sum {
		return r, fmt.Errorf("stored cursor is damaged; %s", cursorCure)
	}
	d := cursorReader{b: body[1:]}
	if n := d.number(len(body) + 1); n > 0 {
		r.Cursor = append([]byte{}, d.take(n-1)...)
	}
	r.Skip = d.number(maxSkip)
	profiles := make([]*telemetry.Profile, 0, 4)
	for n := d.number(maxRuns); n > 0 && d.err == nil; n-- {
		fp := d.fingerprint()
		p := profile(fp)
		if p == nil && d.err == nil {
			return r, fmt.Errorf("profile %016x of the units on test is not known any more; put state.db back, or %s", fp, cursorCure)
		}
		profiles = append(profiles, p)
	}
	d.runs(&r, profiles)
	if d.err == nil && len(d.b) > 0 {
		d.err = errCursorForm
	}
	if d.err != nil {
		return mark{}, fmt.Errorf("stored cursor: %w; %s", d.err, cursorCure)
	}
	return r, nil
}

const cursorCure = "give the source a new name to begin again"

var errCursorForm = errors.New("not in the form of a cursor")

// cursorReader reads b from its front; after the first error it gives zeros.
type cursorReader struct {
	b   []byte
	err error
}

func (d *cursorReader) runs(r *mark, profiles []*telemetry.Profile) {
	unit, born := "", int64(0)
	for n := d.number(maxRuns); n > 0 && d.err == nil; n-- {
		shared := d.number(len(unit))
		unit = unit[:shared] + string(d.take(d.number(64)))
		place := d.number(len(profiles) - 1)
		born += d.varint()
		run := source.Run{Unit: unit, Born: born, Count: d.uvarint()}
		if d.err == nil && (place >= len(profiles) || telemetry.CheckID("unit", unit) != nil) {
			d.err = errCursorForm
		}
		if d.err != nil {
			return
		}
		run.Profile = profiles[place]
		r.Runs = append(r.Runs, run)
	}
}

func (d *cursorReader) uvarint() uint64 {
	v, n := binary.Uvarint(d.b)
	if d.err != nil || n <= 0 {
		d.err = errCursorForm
		return 0
	}
	d.b = d.b[n:]
	return v
}

func (d *cursorReader) varint() int64 {
	v := d.uvarint()
	return int64(v>>1) ^ -int64(v&1)
}

// number reads a number from 0 to most.
func (d *cursorReader) number(most int) int {
	v := d.uvarint()
	if d.err != nil || most < 0 || v > uint64(most) {
		d.err = errCursorForm
		return 0
	}
	return int(v)
}

// take reads n bytes.
func (d *cursorReader) take(n int) []byte {
	if d.err != nil || n > len(d.b) {
		d.err = errCursorForm
		return nil
	}
	out := d.b[:n]
	d.b = d.b[n:]
	return out
}

func (d *cursorReader) fingerprint() uint64 {
	if b := d.take(8); b != nil {
		return binary.LittleEndian.Uint64(b)
	}
	return 0
}
