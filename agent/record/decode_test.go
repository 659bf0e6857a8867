package record_test

import (
	"encoding/binary"
	"math"
	"reflect"
	"strconv"
	"strings"
	"testing"

	"andon.internal/agent/record"
	"andon.internal/shared/telemetry"
)

func TestDecodeRefuses(t *testing.T) {
	good := record.Append(nil, double(1.5, 2.5, 3.5))
	p := double(1).Profile
	edit := func(f func(b []byte) []byte) []byte { return f(append([]byte(nil), good...)) }
	rowsAt := 10 + 2 + 1 + 1 + 1 + 1 // behind unit, born, count, offset, quality
	tests := map[string]struct {
		b    []byte
		want string
	}{
		"empty":           {nil, "no fingerprint"},
		"header only":     {good[:9], "no fingerprint"},
		"other version":   {edit(func(b []byte) []byte { b[0] = 9; return b }), "has version 9; this program reads version 1"},
		"other profile":   {edit(func(b []byte) []byte { b[2]++; return b }), "not known here"},
		"unknown flags":   {edit(func(b []byte) []byte { b[1] = 0x80; return b }), "flags 0x80"},
		"trailing bytes":  {edit(func(b []byte) []byte { return append(b, 0) }), "1 bytes too many"},
		"long unit":       {edit(func(b []byte) []byte { b[10] = 100; return b }), "not in the form"},
		"malformed unit":  {edit(func(b []byte) []byte { b[11] = '/'; return b }), "unit id"},
		"too many rows":   {edit(func(b []byte) []byte { return binary.AppendUvarint(b[:rowsAt], 5000) }), "too many"},
		"no rows, no end": {edit(func(b []byte) []byte { return append(b[:rowsAt], 0) }), "neither a row nor an end"},
		"huge row count":  {edit(func(b []byte) []byte { return binary.AppendUvarint(b[:rowsAt], math.MaxUint64) }), "too many"},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			r, err := record.Decode(tc.b, lookup(p))
			if err == nil || !strings.Contains(err.Error(), tc.want) {
				t.Fatalf("got %v, %v, want an error with %q", r, err, tc.want)
			}
		})
	}
	gap := double(1, 0, 2)
	gap.Values[1] = telemetry.Value{}
	b := checkRoundTrip(t, gap)
	b[len(b)-3] |= 1 << 3 // of the bitmap: a fourth row
	if _, err := record.Decode(b, lookup(p)); err == nil {
		t.Error("a value beyond the last row: no error")
	}
	for n := range good {
		if _, err := record.Decode(good[:n], lookup(p)); err == nil {
			t.Errorf("cut to %d of %d bytes: no error", n, len(good))
		}
	}
}

// TestDecodeBoundsMemory checks that a few bytes do not claim millions of values.
func TestDecodeBoundsMemory(t *testing.T) {
	wide := &telemetry.Profile{Name: "wide", Version: 1}
	for i := range telemetry.MaxSignals {
		wide.Signals = append(wide.Signals, telemetry.Signal{Name: "s" + strconv.Itoa(i), Type: telemetry.Double})
	}
	r := &telemetry.Record{Unit: "u", Profile: wide}
	for i := range telemetry.MaxRows {
		r.Append(int64(i)*1e6, 0, make([]telemetry.Value, telemetry.MaxSignals))
	}
	b := record.Append(nil, r)
	if _, err := record.Decode(b, lookup(wide)); err == nil || !strings.Contains(err.Error(), "4096 rows of 512 signals are too many") {
		t.Errorf("%d bytes decode to %d values: %v", len(b), len(r.Values), err)
	}
}

// TestGolden holds the form of version 1: a buffer written by an older agent must
// stay readable.
func TestGolden(t *testing.T) {
	r := &telemetry.Record{
		Unit: "act-0042", Profile: mixed, Born: 1767323045000000000, Count: 300,
		Clock: telemetry.Clock{Boot: [16]byte{1, 2, 3}, Offset: 1767000000123456789, Quality: telemetry.TimeStepped},
		End:   &telemetry.End{Time: 1767323048000000000, Reason: "finished"},
	}
	for i, v := range []float64{10.25, 10.5, math.Pi} {
		r.Append(1767323046000000000+int64(i)*1e9, telemetry.Quality(i), []telemetry.Value{
			telemetry.DoubleValue(v), telemetry.RealValue(0.1), telemetry.IntegerValue(int64(i)), telemetry.BooleanValue(i > 0),
		})
	}
	r.Values[4] = telemetry.Value{}
	compareGolden(t, "v1.hex", checkRoundTrip(t, r))
}

func FuzzDecode(f *testing.F) {
	r := &telemetry.Record{Unit: "u", Profile: mixed, End: &telemetry.End{Reason: "x"}}
	for i := range 10 {
		r.Append(int64(i)*1e6, 0, []telemetry.Value{
			telemetry.DoubleValue(float64(i) / 10), telemetry.RealValue(float32(math.Pi * float64(i))),
			telemetry.IntegerValue(int64(i)), telemetry.BooleanValue(i > 3),
		})
	}
	r.Values[9] = telemetry.Value{}
	f.Add(record.Append(nil, r))
	f.Add(record.Append(nil, double(math.Copysign(0, -1), 1, 2, 3, 4, 5, 6, 7, 8)))
	f.Fuzz(func(t *testing.T, b []byte) {
		r, err := record.Decode(b, func(fp uint64) *telemetry.Profile {
			if fp == mixed.Fingerprint() {
				return mixed
			}
			return double(1).Profile
		})
		if err != nil {
			return
		}
		// What decodes is a valid record, which survives another round.
		again, err := record.Decode(record.Append(nil, r), lookup(r.Profile))
		if err != nil || !reflect.DeepEqual(again, r) {
			t.Fatalf("second round differs: %v\n got %+v\nwant %+v", err, again, r)
		}
	})
}
