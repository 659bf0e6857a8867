package telemetry_test

import (
	"math"
	"testing"

	"andon.internal/shared/telemetry"
)

func TestValueKeepsEveryBit(t *testing.T) {
	nan := math.Float64frombits(0x7ff8dead_beef0001)
	nan32 := math.Float32frombits(0x7fc0dead)
	tests := []struct {
		name  string
		value telemetry.Value
		typ   telemetry.Type
		bits  uint64
		text  string
	}{
		{"missing", telemetry.Value{}, 0, 0, "missing"},
		{"double", telemetry.DoubleValue(1.5), telemetry.Double, 0x3ff8000000000000, "1.5"},
		{"negative zero", telemetry.DoubleValue(math.Copysign(0, -1)), telemetry.Double, 1 << 63, "-0"},
		{"NaN with a payload", telemetry.DoubleValue(nan), telemetry.Double, 0x7ff8deadbeef0001, "NaN"},
		{"real", telemetry.RealValue(0.1), telemetry.Real, 0x3dcccccd, "0.1"},
		{"real NaN with a payload", telemetry.RealValue(nan32), telemetry.Real, 0x7fc0dead, "NaN"},
		{"lowest integer", telemetry.IntegerValue(math.MinInt64), telemetry.Integer, 1 << 63, "-9223372036854775808"},
		{"true", telemetry.BooleanValue(true), telemetry.Boolean, 1, "true"},
		{"false", telemetry.BooleanValue(false), telemetry.Boolean, 0, "false"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			v := tt.value
			if v.Type() != tt.typ || v.Bits() != tt.bits || v.String() != tt.text || v.Missing() != (tt.typ == 0) {
				t.Errorf("got %v, bits %x, text %q, missing %v", v.Type(), v.Bits(), v.String(), v.Missing())
			}
			if back := telemetry.FromBits(v.Type(), v.Bits()); back != v {
				t.Errorf("FromBits(Type, Bits) = %v, want %v", back, v)
			}
		})
	}
}

func TestFromBitsDropsWhatTheTypeHasNot(t *testing.T) {
	if got := telemetry.FromBits(telemetry.Real, 0xffffffff_00000000); got != telemetry.RealValue(0) {
		t.Errorf("Real: %v", got)
	}
	if got := telemetry.FromBits(telemetry.Boolean, 2); got != telemetry.BooleanValue(true) {
		t.Errorf("Boolean: %v", got)
	}
	if got := telemetry.FromBits(9, 1); !got.Missing() {
		t.Errorf("unknown type: %v", got)
	}
}

func TestValueFloat(t *testing.T) {
	tests := []struct {
		name  string
		value telemetry.Value
		want  float64
		ok    bool
	}{
		{"missing", telemetry.Value{}, 0, false},
		{"double", telemetry.DoubleValue(-2.25), -2.25, true},
		{"real", telemetry.RealValue(0.5), 0.5, true},
		{"integer", telemetry.IntegerValue(-7), -7, true},
		{"true", telemetry.BooleanValue(true), 1, true},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if got, ok := tt.value.Float(); got != tt.want || ok != tt.ok {
				t.Errorf("Float() = %v, %v; want %v, %v", got, ok, tt.want, tt.ok)
			}
		})
	}
	if i := telemetry.IntegerValue(-7).Int(); i != -7 {
		t.Errorf("Int() = %d", i)
	}
	if telemetry.IntegerValue(1).Bool() || !telemetry.BooleanValue(true).Bool() {
		t.Error("Bool() is not that of a Boolean only")
	}
}

func TestParseValue(t *testing.T) {
	tests := []struct {
		typ  telemetry.Type
		text string
		want telemetry.Value
		ok   bool
	}{
		{telemetry.Double, "1e3", telemetry.DoubleValue(1000), true},
		{telemetry.Double, "-0", telemetry.DoubleValue(math.Copysign(0, -1)), true},
		{telemetry.Double, "nan", telemetry.Value{}, false},
		{telemetry.Double, "1e999", telemetry.Value{}, false},
		{telemetry.Double, "", telemetry.Value{}, false},
		{telemetry.Real, "0.1", telemetry.RealValue(0.1), true},
		{telemetry.Real, "1e39", telemetry.Value{}, false},
		{telemetry.Integer, "-9223372036854775808", telemetry.IntegerValue(math.MinInt64), true},
		{telemetry.Integer, "9223372036854775808", telemetry.Value{}, false},
		{telemetry.Integer, "1.0", telemetry.Value{}, false},
		{telemetry.Boolean, "true", telemetry.BooleanValue(true), true},
		{telemetry.Boolean, "yes", telemetry.Value{}, false},
		{0, "1", telemetry.Value{}, false},
	}
	for _, tt := range tests {
		t.Run(tt.typ.String()+" "+tt.text, func(t *testing.T) {
			got, err := telemetry.ParseValue(tt.typ, tt.text)
			if got != tt.want || (err == nil) != tt.ok {
				t.Errorf("ParseValue = %v, %v; want %v, ok %v", got, err, tt.want, tt.ok)
			}
		})
	}
}

func TestTypeText(t *testing.T) {
	for typ := telemetry.Double; typ <= telemetry.Boolean; typ++ {
		if got, err := telemetry.ParseType(typ.String()); err != nil || got != typ {
			t.Errorf("ParseType(%q) = %v, %v", typ.String(), got, err)
		}
	}
	if _, err := telemetry.ParseType("float"); err == nil {
		t.Error("ParseType took a type that is none")
	}
}

func TestQuality(t *testing.T) {
	q := (telemetry.QualityMissing | telemetry.QualitySimulated).WithTime(telemetry.TimeSource)
	if got := q.String(); got != "missing,simulated,time-source" {
		t.Errorf("String() = %q", got)
	}
	if q.Time() != telemetry.TimeSource || q.WithTime(telemetry.TimeOK) != telemetry.QualityMissing|telemetry.QualitySimulated {
		t.Errorf("WithTime changed more than the time: %v", q.WithTime(telemetry.TimeOK))
	}
	if got := telemetry.Quality(0).String(); got != "good" {
		t.Errorf("zero quality is %q", got)
	}
	if telemetry.QualityMask > math.MaxInt16 {
		t.Errorf("QualityMask %x does not fit a smallint", uint16(telemetry.QualityMask))
	}
	if got := telemetry.TimeQuality(15).String(); got != "unknown" {
		t.Errorf("time quality 15 is %q", got)
	}
}
