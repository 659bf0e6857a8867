package record

import (
	"encoding/binary"
	"math/bits"

	"andon.internal/shared/telemetry"
)

// A column is one signal's values over the rows. It begins with a mode byte:
//
//	bits 0-2  kind
//	bit  3    nulls: a bitmap of the rows (1 = has a value) follows; the values are
//	          those of the rows that have one
//	bit  4    same: only the first value is written, the others are equal to it
//	bits 5-7  decimal places (kinds decimal and patched)
//
// Sensors mostly give decimals of a few places, and differences of those are one or
// two bytes where a float64 has eight: see decimal.go.
const (
	kindNone    = 0 // no row has a value
	kindPlain   = 1 // fixed width: 4 bytes for real, 8 for double and integer
	kindDecimal = 2 // varints: first, then differences, of the value times 10^places
	kindPatched = 3 // decimal; then uvarint count, and for each value that is none: gap uvarint, fixed
	kindBits    = 4 // boolean: a bitmap
	kindSingle  = 5 // double: fixed 4 bytes, because each is a float32

	kindMask   = 7
	modeNulls  = 1 << 3
	modeSame   = 1 << 4
	placesBits = 5
)

// width returns the bytes of a value of kindPlain.
func width(t telemetry.Type) int {
	switch t {
	case telemetry.Real:
		return 4
	case telemetry.Boolean:
		return 1
	}
	return 8
}

// fewRows is how many rows need no memory from the heap to encode or decode.
const fewRows = 64

// scratch is room for one column: the bits of its values, and their decimals.
type scratch struct {
	bits []uint64
	n    []int64
}

func appendColumns(dst []byte, r *telemetry.Record) []byte {
	var bits [fewRows]uint64
	var decimals [fewRows]int64
	room := scratch{bits[:], decimals[:]}
	if len(r.Times) > fewRows {
		room = scratch{make([]uint64, len(r.Times)), make([]int64, len(r.Times))}
	}
	n := len(r.Profile.Signals)
	for c := range r.Profile.Signals {
		dst = appendColumn(dst, r.Values[c:], n, len(r.Times), r.Profile.Signals[c].Type, room)
	}
	return dst
}

// appendColumn writes the values at v[0], v[step], v[2*step], ...
func appendColumn(dst []byte, v []telemetry.Value, step, rows int, t telemetry.Type, room scratch) []byte {
	m, same := 0, true
	for i, at := 0, 0; i < rows; i, at = i+1, at+step {
		if x := &v[at]; !x.Missing() {
			room.bits[m] = x.Bits()
			same = same && room.bits[m] == room.bits[0]
			m++
		}
	}
	if m == 0 {
		return append(dst, kindNone)
	}
	mode := byte(0)
	at := len(dst)
	dst = append(dst, 0)
	if m < rows {
		mode |= modeNulls
		dst = appendBitmap(dst, rows, func(i int) bool { return !v[i*step].Missing() })
	}
	present := room.bits[:m]
	if same {
		mode |= modeSame
		present = present[:1]
	}
	dst, kind := appendValues(dst, t, present, room.n)
	dst[at] = mode | kind
	return dst
}

// appendValues picks the form of at least one value and writes them. kind includes
// the decimal places.
func appendValues(dst []byte, t telemetry.Type, vals []uint64, n []int64) (out []byte, kind byte) {
	switch t {
	case telemetry.Boolean:
		return appendBitmap(dst, len(vals), func(i int) bool { return vals[i] != 0 }), kindBits
	case telemetry.Integer:
		return appendIntegers(dst, vals), kindDecimal
	}
	if out, kind, ok := appendDecimals(dst, t, vals, n); ok {
		return out, kind
	}
	if t == telemetry.Double && allSingle(vals) {
		for _, v := range vals {
			dst = binary.LittleEndian.AppendUint32(dst, toSingle(v))
		}
		return dst, kindSingle
	}
	for _, v := range vals {
		dst = appendFixed(dst, t, v)
	}
	return dst, kindPlain
}

func appendFixed(dst []byte, t telemetry.Type, v uint64) []byte {
	if width(t) == 4 {
		return binary.LittleEndian.AppendUint32(dst, uint32(v))
	}
	return binary.LittleEndian.AppendUint64(dst, v)
}

// appendIntegers writes the first value and then differences, which wrap.
func appendIntegers(dst []byte, vals []uint64) []byte {
	last := uint64(0)
	for _, v := range vals {
		dst = binary.AppendVarint(dst, int64(v-last))
		last = v
	}
	return dst
}

func appendBitmap(dst []byte, n int, set func(i int) bool) []byte {
	for i := 0; i < n; i += 8 {
		b := byte(0)
		for j := i; j < min(i+8, n); j++ {
			if set(j) {
				b |= 1 << (j - i)
			}
		}
		dst = append(dst, b)
	}
	return dst
}

func (d *decoder) columns(r *telemetry.Record) {
	var few [fewRows]uint64
	scratch := few[:]
	if len(r.Times) > fewRows {
		scratch = make([]uint64, len(r.Times))
	}
	n := len(r.Profile.Signals)
	for c := range r.Profile.Signals {
		if d.err != nil {
			return
		}
		d.column(r.Values[c:], n, len(r.Times), r.Profile.Signals[c].Type, scratch)
	}
}

// column is the inverse of appendColumn.
func (d *decoder) column(v []telemetry.Value, step, rows int, t telemetry.Type, scratch []uint64) {
	mode := d.byte()
	if mode&kindMask == kindNone {
		if mode != kindNone {
			d.fail(errInvalid)
		}
		return // the values are missing as they were made
	}
	var present []byte
	m := rows
	if mode&modeNulls != 0 {
		present = d.bytes((rows + 7) / 8)
		m = 0
		for _, b := range present {
			m += bits.OnesCount8(b)
		}
		// No bit may lie beyond the last row.
		if d.err == nil && (m == 0 || m >= rows || uint(present[len(present)-1])>>((rows-1)%8+1) != 0) {
			d.fail(errInvalid)
		}
	}
	if d.err != nil {
		return
	}
	vals := scratch[:m]
	if mode&modeSame != 0 {
		vals = scratch[:1]
	}
	d.values(mode, t, vals)
	if d.err != nil {
		return
	}
	for i := len(vals); i < m; i++ {
		scratch[i] = scratch[0]
	}
	if present == nil {
		for i, at := 0, 0; i < rows; i, at = i+1, at+step {
			v[at] = telemetry.FromBits(t, scratch[i])
		}
		return
	}
	for i, k := 0, 0; i < rows; i++ {
		if present[i/8]&(1<<(i%8)) != 0 {
			v[i*step] = telemetry.FromBits(t, scratch[k])
			k++
		}
	}
}

// values reads len(vals) values of the given mode.
func (d *decoder) values(mode byte, t telemetry.Type, vals []uint64) {
	kind, places := mode&kindMask, mode>>placesBits
	isFloat := t == telemetry.Double || t == telemetry.Real
	switch {
	case kind == kindPlain && isFloat:
		d.fixed(t, vals)
	case kind == kindSingle && t == telemetry.Double:
		if b := d.bytes(4 * len(vals)); b != nil {
			for i := range vals {
				vals[i] = fromSingle(binary.LittleEndian.Uint32(b[4*i:]))
			}
		}
	case kind == kindDecimal && t == telemetry.Integer && places == 0:
		last := uint64(0)
		for i := range vals {
			last += uint64(d.varint())
			vals[i] = last
		}
	case (kind == kindDecimal || kind == kindPatched) && isFloat:
		d.decimals(t, int(places), vals)
		if kind == kindPatched {
			d.patches(t, vals)
		}
	case kind == kindBits && t == telemetry.Boolean:
		if b := d.bytes((len(vals) + 7) / 8); b != nil {
			for i := range vals {
				vals[i] = uint64(b[i/8] >> (i % 8) & 1)
			}
		}
	default:
		d.fail(errInvalid)
	}
}

func (d *decoder) fixed(t telemetry.Type, vals []uint64) {
	w := width(t)
	b := d.bytes(w * len(vals))
	if b == nil {
		return
	}
	for i := range vals {
		if w == 4 {
			vals[i] = uint64(binary.LittleEndian.Uint32(b[4*i:]))
		} else {
			vals[i] = binary.LittleEndian.Uint64(b[8*i:])
		}
	}
}
