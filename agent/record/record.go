// Package record is the form that a telemetry.Record has inside the buffer: columnar
// and byte-aligned, small by itself and smaller under zstd or s2.
//
// It stands between the sampler, which encodes, and the uplink, which decodes and
// writes the wire's form. An encoded record holds its profile's fingerprint, not the
// profile. Every value, time and quality comes back bit for bit. The form carries a
// version and its decoder reads every version that was ever written; it does not
// carry a checksum, because the buffer does.
//
// The form, version 1 (uvarint and varint as in encoding/binary; fixed widths are
// little-endian):
//
//	version byte | flags byte | fingerprint 8 bytes
//	unit: length uvarint, bytes | born varint (ns) | count uvarint
//	clock: [boot id 16 bytes] offset varint (ns), quality byte
//	[end: time varint (ns), reason: length uvarint, bytes]
//	rows uvarint
//	times: scale byte, then varints: first, first difference, differences of differences
//	qualities: runs of (length uvarint, quality uvarint) until they cover the rows
//	one column for each signal, see column.go
//
// Nothing here does I/O or keeps state; all functions are safe for concurrent use.
package record

import (
	"encoding/binary"
	"errors"
	"fmt"

	"andon.internal/shared/telemetry"
)

// version is the first byte of an encoded record.
const version = 1

// MaxValues is the largest number of values (rows times signals) in one record. It
// bounds the memory that decoding takes; a message on the wire holds far fewer.
const MaxValues = 1 << 18

// The bits of the flags byte.
const (
	flagBoot = 1 << 0 // a boot id follows
	flagEnd  = 1 << 1 // the end of the run follows
	flagMask = flagBoot | flagEnd
)

// Append appends the encoded record to dst and returns the extended slice. The
// record must pass its own Check and hold at most [MaxValues] values.
func Append(dst []byte, r *telemetry.Record) []byte {
	flags := byte(0)
	if r.Clock.Boot != ([16]byte{}) {
		flags |= flagBoot
	}
	if r.End != nil {
		flags |= flagEnd
	}
	dst = append(dst, version, flags)
	dst = binary.LittleEndian.AppendUint64(dst, r.Profile.Fingerprint())
	dst = appendText(dst, r.Unit)
	dst = binary.AppendVarint(dst, r.Born)
	dst = binary.AppendUvarint(dst, r.Count)
	if flags&flagBoot != 0 {
		dst = append(dst, r.Clock.Boot[:]...)
	}
	dst = binary.AppendVarint(dst, r.Clock.Offset)
	dst = append(dst, byte(r.Clock.Quality))
	if r.End != nil {
		dst = binary.AppendVarint(dst, r.End.Time)
		dst = appendText(dst, r.End.Reason)
	}
	dst = binary.AppendUvarint(dst, uint64(len(r.Times)))
	if len(r.Times) == 0 {
		return dst
	}
	dst = appendTimes(dst, r.Times)
	dst = appendQualities(dst, r.Qualities)
	return appendColumns(dst, r)
}

// Fingerprint returns the fingerprint of an encoded record's profile.
func Fingerprint(b []byte) (uint64, error) {
	if len(b) < 10 {
		return 0, fmt.Errorf("encoded record of %d bytes has no fingerprint", len(b))
	}
	if b[0] != version {
		return 0, fmt.Errorf("encoded record has version %d; this program reads version %d", b[0], version)
	}
	return binary.LittleEndian.Uint64(b[2:]), nil
}

// Decode reads an encoded record. It asks profile once, for the profile with the
// record's fingerprint, and gives an error when that returns nil. Everything is
// checked; the record shares no memory with b.
func Decode(b []byte, profile func(fingerprint uint64) *telemetry.Profile) (*telemetry.Record, error) {
	fp, err := Fingerprint(b)
	if err != nil {
		return nil, err
	}
	p := profile(fp)
	if p == nil {
		return nil, fmt.Errorf("encoded record has the profile %016x, which is not known here", fp)
	}
	r := &telemetry.Record{Profile: p}
	d := decoder{b: b[10:]}
	if err := d.record(r, b[1]); err != nil {
		return nil, fmt.Errorf("decode record of %d bytes at byte %d: %w", len(b), len(b)-len(d.b), err)
	}
	if err := r.Check(); err != nil {
		return nil, fmt.Errorf("decode record: %w", err)
	}
	return r, nil
}

// record reads everything behind the fingerprint.
func (d *decoder) record(r *telemetry.Record, flags byte) error {
	if flags&^flagMask != 0 {
		return fmt.Errorf("flags %#x are unknown", flags)
	}
	r.Unit = d.text(64)
	r.Born = d.varint()
	r.Count = d.uvarint()
	if flags&flagBoot != 0 {
		copy(r.Clock.Boot[:], d.bytes(16))
	}
	r.Clock.Offset = d.varint()
	r.Clock.Quality = telemetry.TimeQuality(d.byte())
	if flags&flagEnd != 0 {
		r.End = &telemetry.End{Time: d.varint(), Reason: d.text(telemetry.MaxTextLength)}
	}
	rows := d.uvarint()
	if d.err != nil {
		return d.err
	}
	if rows > telemetry.MaxRows || rows*uint64(len(r.Profile.Signals)) > MaxValues {
		return fmt.Errorf("%d rows of %d signals are too many", rows, len(r.Profile.Signals))
	}
	if rows > 0 {
		r.Times = make([]int64, rows)
		r.Qualities = make([]telemetry.Quality, rows)
		r.Values = make([]telemetry.Value, int(rows)*len(r.Profile.Signals))
		d.times(r.Times)
		d.qualities(r.Qualities)
		d.columns(r)
	}
	if d.err == nil && len(d.b) > 0 {
		return fmt.Errorf("%d bytes too many", len(d.b))
	}
	return d.err
}

var (
	errShort   = errors.New("it ends too early")
	errInvalid = errors.New("it is not in the form of a record")
)

// decoder reads b from its front. After the first error it gives zeros.
type decoder struct {
	b   []byte
	err error
}

func (d *decoder) fail(err error) {
	if d.err == nil {
		d.err = err
	}
}

func (d *decoder) bytes(n int) []byte {
	if d.err != nil || len(d.b) < n {
		d.fail(errShort)
		return nil
	}
	out := d.b[:n]
	d.b = d.b[n:]
	return out
}

func (d *decoder) byte() byte {
	if b := d.bytes(1); b != nil {
		return b[0]
	}
	return 0
}

func (d *decoder) uvarint() uint64 {
	// Most numbers are small differences.
	if d.err == nil && len(d.b) > 0 && d.b[0] < 0x80 {
		v := uint64(d.b[0])
		d.b = d.b[1:]
		return v
	}
	v, n := binary.Uvarint(d.b)
	if d.err != nil || n <= 0 {
		d.fail(errShort)
		return 0
	}
	d.b = d.b[n:]
	return v
}

func (d *decoder) varint() int64 {
	v := d.uvarint()
	return int64(v>>1) ^ -int64(v&1)
}

func (d *decoder) text(limit uint64) string {
	n := d.uvarint()
	if n > limit {
		d.fail(errInvalid)
		return ""
	}
	return string(d.bytes(int(n)))
}

func appendText(dst []byte, s string) []byte {
	dst = binary.AppendUvarint(dst, uint64(len(s)))
	return append(dst, s...)
}
