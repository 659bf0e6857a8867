package telemetry

import (
	"fmt"
	"math"
	"strconv"
)

// Type is the type of a signal, which decides its Sparkplug datatype and its
// PostgreSQL column.
type Type uint8

// The types of signals.
const (
	Double  Type = 1 // float64; Sparkplug Double; double precision
	Real    Type = 2 // float32; Sparkplug Float; real
	Integer Type = 3 // int64; Sparkplug Int64; bigint
	Boolean Type = 4 // bool; Sparkplug Boolean; boolean
)

// ParseType is the inverse of [Type.String].
func ParseType(s string) (Type, error) {
	for t := Double; t <= Boolean; t++ {
		if t.String() == s {
			return t, nil
		}
	}
	return 0, fmt.Errorf("signal type %q is none of double, real, integer, boolean", s)
}

func (t Type) String() string {
	switch t {
	case Double:
		return "double"
	case Real:
		return "real"
	case Integer:
		return "integer"
	case Boolean:
		return "boolean"
	}
	return "Type(" + strconv.Itoa(int(t)) + ")"
}

// Value is one signal's value in one reading. The zero Value is missing: the
// source had none. A Value is comparable; two Values are the same when their
// types and bits are, so a float compares bit for bit.
type Value struct {
	bits uint64
	typ  Type
}

// DoubleValue returns a value of a Double signal. Every bit pattern is kept.
func DoubleValue(f float64) Value { return Value{math.Float64bits(f), Double} }

// RealValue returns a value of a Real signal. Every bit pattern is kept.
func RealValue(f float32) Value { return Value{uint64(math.Float32bits(f)), Real} }

// IntegerValue returns a value of an Integer signal.
func IntegerValue(i int64) Value { return Value{uint64(i), Integer} }

// BooleanValue returns a value of a Boolean signal.
func BooleanValue(b bool) Value {
	if b {
		return Value{1, Boolean}
	}
	return Value{0, Boolean}
}

// Missing reports whether the source had no value.
func (v Value) Missing() bool { return v.typ == 0 }

// Type returns the value's type, or 0 for a missing value.
func (v Value) Type() Type { return v.typ }

// Bits returns the value's bits: IEEE 754 for Double and Real (the low 32 bits),
// two's complement for Integer, 0 or 1 for Boolean.
func (v Value) Bits() uint64 { return v.bits }

// FromBits is the inverse of [Value.Type] and [Value.Bits]. Bits that the type
// does not have are dropped; an unknown type gives the missing value.
func FromBits(t Type, bits uint64) Value {
	switch t {
	case Double, Integer:
		return Value{bits, t}
	case Real:
		return Value{bits & math.MaxUint32, t}
	case Boolean:
		return BooleanValue(bits != 0)
	}
	return Value{}
}

// Float returns the value as a number, for charts, ranges and rules: false is 0,
// true is 1, and an integer above 2^53 is rounded. ok is false for a missing value.
func (v Value) Float() (f float64, ok bool) {
	switch v.typ {
	case Double:
		return math.Float64frombits(v.bits), true
	case Real:
		return float64(math.Float32frombits(uint32(v.bits))), true
	case Integer:
		return float64(int64(v.bits)), true
	case Boolean:
		return float64(v.bits), true
	}
	return 0, false
}

// Int returns the bits as an integer; it is meaningful for Integer only.
func (v Value) Int() int64 { return int64(v.bits) }

// Bool returns the value of a Boolean; it is false for every other type.
func (v Value) Bool() bool { return v.typ == Boolean && v.bits != 0 }

func (v Value) String() string {
	switch v.typ {
	case Double:
		return strconv.FormatFloat(math.Float64frombits(v.bits), 'g', -1, 64)
	case Real:
		return strconv.FormatFloat(float64(math.Float32frombits(uint32(v.bits))), 'g', -1, 32)
	case Integer:
		return strconv.FormatInt(int64(v.bits), 10)
	case Boolean:
		return strconv.FormatBool(v.bits != 0)
	}
	return "missing"
}

// ParseValue reads the text of a value of type t, as [Value.String] writes it.
// Numbers must be finite: a text such as "nan" or "1e999" is not a reading.
func ParseValue(t Type, s string) (Value, error) {
	switch t {
	case Double, Real:
		size := 64
		if t == Real {
			size = 32
		}
		f, err := strconv.ParseFloat(s, size)
		if err != nil || math.IsNaN(f) || math.IsInf(f, 0) {
			return Value{}, fmt.Errorf("%q is not a finite number", s)
		}
		if t == Real {
			return RealValue(float32(f)), nil
		}
		return DoubleValue(f), nil
	case Integer:
		i, err := strconv.ParseInt(s, 10, 64)
		if err != nil {
			return Value{}, fmt.Errorf("%q is not a 64-bit integer", s)
		}
		return IntegerValue(i), nil
	case Boolean:
		b, err := strconv.ParseBool(s)
		if err != nil {
			return Value{}, fmt.Errorf("%q is not a boolean", s)
		}
		return BooleanValue(b), nil
	}
	return Value{}, fmt.Errorf("signal type %v is unknown", t)
}
