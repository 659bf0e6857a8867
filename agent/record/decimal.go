package record

import (
	"encoding/binary"
	"math"

	"andon.internal/shared/telemetry"
)

// A float that was read from a decimal text of few places is the nearest float to
// n / 10^places for a small integer n, and IEEE 754 division gives exactly that
// float back. So n is written in its stead, where the division is seen to give the
// very bits. The idea is that of ALP (Afroozeh, Kuffo, Boncz: "ALP: Adaptive Lossless
// floating-Point Compression", SIGMOD 2024).

// maxPlaces is the most decimal places tried; it has three bits.
const maxPlaces = 7

// maxDecimal bounds n, so that n and its conversions are exact.
const maxDecimal = 1 << 51

var powers = [maxPlaces + 1]float64{1, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7}

// toFloat returns the number that the bits of a Double or Real stand for.
func toFloat(t telemetry.Type, v uint64) float64 {
	if t == telemetry.Real {
		return float64(math.Float32frombits(uint32(v)))
	}
	return math.Float64frombits(v)
}

// fromDecimal returns the bits of n / power.
func fromDecimal(t telemetry.Type, n int64, power float64) uint64 {
	f := float64(n) / power
	if t == telemetry.Real {
		return uint64(math.Float32bits(float32(f)))
	}
	return math.Float64bits(f)
}

// toDecimal returns n such that fromDecimal gives back v.
func toDecimal(t telemetry.Type, v uint64, power float64) (n int64, ok bool) {
	scaled := toFloat(t, v) * power
	if !(math.Abs(scaled) < maxDecimal) { // also NaN
		return 0, false
	}
	n = int64(scaled + math.Copysign(0.5, scaled))
	return n, fromDecimal(t, n, power) == v
}

// notDecimal stands for a value that is none.
const notDecimal = math.MinInt64

// places returns the least number of decimal places, from least on, that v has.
func places(t telemetry.Type, v uint64, least int) (int, bool) {
	for k := least; k <= maxPlaces; k++ {
		if _, ok := toDecimal(t, v, powers[k]); ok {
			return k, true
		}
	}
	return least, false
}

// decimalsOf fills n with the decimals of vals, or notDecimal, and returns their
// common number of places. It gives up when there are too many others.
func decimalsOf(t telemetry.Type, vals []uint64, n []int64) (k, others int, ok bool) {
	most := len(vals) / 8
	for i := 0; i < len(vals); i++ {
		var is bool
		if n[i], is = toDecimal(t, vals[i], powers[k]); is {
			continue
		}
		if need, is := places(t, vals[i], k); is {
			k, others, i = need, 0, -1 // from the start again, with more places
			continue
		}
		n[i] = notDecimal
		if others++; others > most {
			return 0, 0, false
		}
	}
	return k, others, true
}

// appendDecimals writes floats as decimals when nearly all of them are. Those that
// are not (a negative zero, a NaN, a spike with more places) are patched. n is room
// for as many numbers as there are values.
func appendDecimals(dst []byte, t telemetry.Type, vals []uint64, n []int64) (out []byte, kind byte, ok bool) {
	k, others, ok := decimalsOf(t, vals, n)
	if !ok {
		return dst, 0, false
	}
	last := int64(0)
	for i := range vals {
		x := n[i]
		if x == notDecimal {
			x = last
		}
		dst = binary.AppendVarint(dst, x-last)
		last = x
	}
	mode := byte(k) << placesBits
	if others == 0 {
		return dst, mode | kindDecimal, true
	}
	dst = binary.AppendUvarint(dst, uint64(others))
	next := 0
	for i := range vals {
		if n[i] == notDecimal {
			dst = binary.AppendUvarint(dst, uint64(i-next))
			dst = appendFixed(dst, t, vals[i])
			next = i + 1
		}
	}
	return dst, mode | kindPatched, true
}

func (d *decoder) decimals(t telemetry.Type, places int, vals []uint64) {
	power, last := powers[places], int64(0)
	for i := range vals {
		last += d.varint()
		vals[i] = fromDecimal(t, last, power)
	}
}

// patches puts the values in place that are no decimals.
func (d *decoder) patches(t telemetry.Type, vals []uint64) {
	n, next := d.uvarint(), uint64(0)
	for ; n > 0 && d.err == nil; n-- {
		i := next + d.uvarint()
		if i < next || i >= uint64(len(vals)) {
			d.fail(errInvalid)
			return
		}
		d.fixed(t, vals[i:i+1])
		next = i + 1
	}
}

// allSingle reports whether each float64 is a float32 exactly. A NaN is not: what
// its conversion does to its bits depends on the machine.
func allSingle(vals []uint64) bool {
	for _, v := range vals {
		if f := math.Float64frombits(v); f != f || fromSingle(toSingle(v)) != v {
			return false
		}
	}
	return true
}

func toSingle(v uint64) uint32   { return math.Float32bits(float32(math.Float64frombits(v))) }
func fromSingle(v uint32) uint64 { return math.Float64bits(float64(math.Float32frombits(v))) }
