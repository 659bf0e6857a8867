package sparkplug

import "math"

// Kind says which field of the protobuf carries a value. It is not the datatype:
// an Int8 and a UInt16 both travel as KindInt.
type Kind uint8

// The kinds of values. The standard's datasets, templates and extensions are not
// decoded: a metric of these has KindNone.
const (
	KindNone   Kind = iota
	KindInt         // int_value, 32 bits; negative numbers in two's complement
	KindLong        // long_value, 64 bits; negative numbers in two's complement
	KindFloat       // float_value
	KindDouble      // double_value
	KindBool        // boolean_value
	KindString      // string_value
	KindBytes       // bytes_value
)

// Value is the value of a metric or a property as it travels. The zero Value is
// none. A Value is comparable: two are the same when their kinds and bits are.
type Value struct {
	kind Kind
	bits uint64
	text string // of KindString and KindBytes
}

// IntValue returns a value for Int8, Int16, Int32, UInt8 and UInt16.
func IntValue(i int32) Value { return Value{kind: KindInt, bits: uint64(uint32(i))} }

// LongValue returns a value for Int64.
func LongValue(i int64) Value { return Value{kind: KindLong, bits: uint64(i)} }

// UlongValue returns a value for UInt32, UInt64 and DateTime.
func UlongValue(u uint64) Value { return Value{kind: KindLong, bits: u} }

// FloatValue returns a value for Float. Every bit pattern is kept.
func FloatValue(f float32) Value {
	return Value{kind: KindFloat, bits: uint64(math.Float32bits(f))}
}

// DoubleValue returns a value for Double. Every bit pattern is kept.
func DoubleValue(f float64) Value { return Value{kind: KindDouble, bits: math.Float64bits(f)} }

// BoolValue returns a value for Boolean.
func BoolValue(b bool) Value {
	v := Value{kind: KindBool}
	if b {
		v.bits = 1
	}
	return v
}

// StringValue returns a value for String, Text and UUID.
func StringValue(s string) Value { return Value{kind: KindString, text: s} }

// BytesValue returns a value for Bytes, File and the arrays. It copies b.
func BytesValue(b []byte) Value { return Value{kind: KindBytes, text: string(b)} }

// Kind returns the field that carries the value.
func (v Value) Kind() Kind { return v.kind }

// Bits returns the bits of a number or a boolean as they travel; 0 for the others.
func (v Value) Bits() uint64 { return v.bits }

// Int64 returns a whole number of datatype t, with the sign that t gives it. It
// takes either width of field: senders disagree on which carries a UInt32. ok is
// false when the value is no whole number, or t is unsigned and above 2^63-1.
func (v Value) Int64(t DataType) (i int64, ok bool) {
	if v.kind != KindInt && v.kind != KindLong {
		return 0, false
	}
	switch t {
	case Int8:
		return int64(int8(v.bits)), true
	case Int16:
		return int64(int16(v.bits)), true
	case Int32:
		return int64(int32(v.bits)), true
	case Int64:
		if v.kind == KindInt {
			return int64(int32(v.bits)), true
		}
		return int64(v.bits), true
	}
	return int64(v.bits), v.bits <= math.MaxInt64
}

// Uint64 returns a whole number that is not negative as datatype t.
func (v Value) Uint64(t DataType) (u uint64, ok bool) {
	if t == UInt64 || t == DateTime {
		return v.bits, v.kind == KindInt || v.kind == KindLong
	}
	i, ok := v.Int64(t)
	if !ok || i < 0 {
		return 0, false
	}
	return uint64(i), true
}

// Float returns the value of a Float.
func (v Value) Float() (f float32, ok bool) {
	return math.Float32frombits(uint32(v.bits)), v.kind == KindFloat
}

// Double returns the value of a Double.
func (v Value) Double() (f float64, ok bool) {
	return math.Float64frombits(v.bits), v.kind == KindDouble
}

// Bool returns the value of a Boolean.
func (v Value) Bool() (b, ok bool) { return v.bits != 0, v.kind == KindBool }

// Text returns the value of a String, Text or UUID.
func (v Value) Text() (s string, ok bool) {
	if v.kind != KindString {
		return "", false
	}
	return v.text, true
}

// Bytes returns a copy of the value of a Bytes, File or array.
func (v Value) Bytes() (b []byte, ok bool) {
	if v.kind != KindBytes {
		return nil, false
	}
	return []byte(v.text), true
}
