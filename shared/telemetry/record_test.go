package telemetry_test

import (
	"slices"
	"strings"
	"testing"

	"andon.internal/shared/telemetry"
)

const (
	pressFingerprint = 0x261e272f74fe6c32
	milli            = 1_000_000 // ns
)

// pressRecord is a valid record of two rows.
func pressRecord() *telemetry.Record {
	r := &telemetry.Record{Unit: "press-1", Profile: press(), Born: 1}
	r.Append(5*milli, 0, []telemetry.Value{
		telemetry.DoubleValue(1), telemetry.IntegerValue(2), telemetry.BooleanValue(true),
	})
	r.Append(6*milli, telemetry.QualityMissing, []telemetry.Value{{}, telemetry.IntegerValue(3), {}})
	return r
}

func TestRecordCheck(t *testing.T) {
	tests := []struct {
		name   string
		change func(*telemetry.Record)
		want   string // part of the error; empty for none
	}{
		{"valid", func(*telemetry.Record) {}, ""},
		{"bad unit", func(r *telemetry.Record) { r.Unit = "a/b" }, "unit id"},
		{"no profile", func(r *telemetry.Record) { r.Profile = nil }, "no profile"},
		{"neither row nor end", func(r *telemetry.Record) {
			r.Times, r.Qualities, r.Values = nil, nil, nil
		}, "neither"},
		{"end alone", func(r *telemetry.Record) {
			r.Times, r.Qualities, r.Values = nil, nil, nil
			r.End = &telemetry.End{Time: 7, Reason: "finished"}
		}, ""},
		{"long reason", func(r *telemetry.Record) {
			r.End = &telemetry.End{Reason: strings.Repeat("x", 257)}
		}, "257 bytes"},
		{"a quality too few", func(r *telemetry.Record) { r.Qualities = r.Qualities[:1] }, "1 qualities"},
		{"a value too few", func(r *telemetry.Record) { r.Values = r.Values[:5] }, "5 values"},
		{"same millisecond", func(r *telemetry.Record) { r.Times[1] = r.Times[0] + milli - 1 }, "later millisecond"},
		{"backwards", func(r *telemetry.Record) { r.Times[1] = r.Times[0] - milli }, "later millisecond"},
		{"before 1970", func(r *telemetry.Record) { r.Times[0], r.Times[1] = -1, 0 }, ""},
		{"same millisecond before 1970", func(r *telemetry.Record) {
			r.Times[0], r.Times[1] = -milli, -1
		}, "later millisecond"},
		{"wrong type", func(r *telemetry.Record) { r.Values[4] = telemetry.DoubleValue(3) }, "signal strokes is integer"},
		{"too many rows", func(r *telemetry.Record) {
			r.Times = make([]int64, telemetry.MaxRows+1)
		}, "4097 rows"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			r := pressRecord()
			tt.change(r)
			err := r.Check()
			if tt.want == "" && err != nil || tt.want != "" && (err == nil || !strings.Contains(err.Error(), tt.want)) {
				t.Errorf("Check() = %v, want an error with %q", err, tt.want)
			}
		})
	}
}

func TestRecordRowsAndFits(t *testing.T) {
	r := pressRecord()
	if r.Len() != 2 {
		t.Fatalf("Len() = %d", r.Len())
	}
	row := r.Row(1)
	if !slices.Equal(row, []telemetry.Value{{}, telemetry.IntegerValue(3), {}}) {
		t.Errorf("Row(1) = %v", row)
	}
	if _ = append(r.Row(0), telemetry.IntegerValue(9)); r.Row(1)[0] != (telemetry.Value{}) {
		t.Error("appending to a row changed the next")
	}
	last := r.Times[1]
	for _, tt := range []struct {
		at   int64
		want bool
	}{{last, false}, {last + milli - 1, false}, {last + milli, true}, {last - milli, false}} {
		if got := r.Fits(tt.at); got != tt.want {
			t.Errorf("Fits(%d) = %v after %d", tt.at, got, last)
		}
	}
	full := telemetry.Record{Times: make([]int64, telemetry.MaxRows)}
	if full.Fits(1 << 60) {
		t.Error("a full record takes another row")
	}
	if !(&telemetry.Record{}).Fits(-5) {
		t.Error("an empty record does not take a first row")
	}
}

func TestReasonKnown(t *testing.T) {
	for _, r := range []telemetry.Reason{
		telemetry.LossOverflow, telemetry.LossCrash, telemetry.LossDamaged, telemetry.LossOversize, telemetry.LossDatabase,
	} {
		if !r.Known() {
			t.Errorf("%q is not known", r)
		}
	}
	if telemetry.Reason("bored").Known() {
		t.Error("an invented reason is known")
	}
}
