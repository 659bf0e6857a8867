package sparkplug_test

import (
	"errors"
	"math"
	"reflect"
	"strings"
	"testing"

	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"

	"andon.internal/shared/sparkplug"
	"andon.internal/shared/sparkplug/internal/sparkplugpb"
)

// everything is a payload that uses all the general codec can say.
func everything() *sparkplug.Payload {
	metric := func(name string, t sparkplug.DataType, v sparkplug.Value) sparkplug.Metric {
		return sparkplug.Metric{Name: name, Timestamp: now, HasTimestamp: true, DataType: t, Value: v}
	}
	p := &sparkplug.Payload{
		Timestamp: now, HasTimestamp: true, Seq: 255, HasSeq: true, UUID: "some.uuid", Body: []byte{0, 1, 2, 0xff},
		Metrics: []sparkplug.Metric{
			metric("int8", sparkplug.Int8, sparkplug.IntValue(-128)),
			metric("int16", sparkplug.Int16, sparkplug.IntValue(-32768)),
			metric("int32", sparkplug.Int32, sparkplug.IntValue(math.MinInt32)),
			metric("int64", sparkplug.Int64, sparkplug.LongValue(math.MinInt64)),
			metric("uint8", sparkplug.UInt8, sparkplug.IntValue(255)),
			metric("uint32", sparkplug.UInt32, sparkplug.UlongValue(math.MaxUint32)),
			metric("uint64", sparkplug.UInt64, sparkplug.UlongValue(math.MaxUint64)),
			metric("float", sparkplug.Float, sparkplug.FloatValue(math.Float32frombits(0x7fc0dead))),
			metric("double", sparkplug.Double, sparkplug.DoubleValue(math.Float64frombits(0x7ff8deadbeef0001))),
			metric("-0", sparkplug.Double, sparkplug.DoubleValue(math.Copysign(0, -1))),
			metric("true", sparkplug.Boolean, sparkplug.BoolValue(true)),
			metric("false", sparkplug.Boolean, sparkplug.BoolValue(false)),
			metric("string", sparkplug.String, sparkplug.StringValue("Größe\x00")),
			metric("empty string", sparkplug.String, sparkplug.StringValue("")),
			metric("date", sparkplug.DateTime, sparkplug.UlongValue(now)),
			metric("bytes", sparkplug.Bytes, sparkplug.BytesValue([]byte{0xff, 0, 0xfe})),
			metric(strings.Repeat("long/", 100), sparkplug.Text, sparkplug.StringValue(strings.Repeat("x", 20_000))),
		},
	}
	all := metric("all flags", sparkplug.Int32, sparkplug.Value{})
	all.Alias, all.HasAlias = math.MaxUint64, true
	all.Historical, all.Transient, all.Null = true, true, true
	all.Properties = []sparkplug.Property{
		{Key: "engUnit", DataType: sparkplug.String, Value: sparkplug.StringValue("N·m")},
		{Key: "Quality", DataType: sparkplug.Int32, Value: sparkplug.IntValue(192)},
		{Key: "null", DataType: sparkplug.Double},
		{Key: "long", DataType: sparkplug.Int64, Value: sparkplug.LongValue(-5)},
		{Key: "float", DataType: sparkplug.Float, Value: sparkplug.FloatValue(-0.5)},
		{Key: "double", DataType: sparkplug.Double, Value: sparkplug.DoubleValue(math.Inf(-1))},
		{Key: "bool", DataType: sparkplug.Boolean, Value: sparkplug.BoolValue(true)},
	}
	aliasOnly := sparkplug.Metric{HasAlias: true, HasTimestamp: true, Value: sparkplug.DoubleValue(1)} // alias 0, time 0
	p.Metrics = append(p.Metrics, all, aliasOnly, sparkplug.Metric{})
	return p
}

func TestPayloadRoundTrip(t *testing.T) {
	for name, want := range map[string]*sparkplug.Payload{
		"everything": everything(),
		"nothing":    {},
		"empty body": {Body: []byte{}},
		"seq 0":      {HasSeq: true, HasTimestamp: true},
	} {
		t.Run(name, func(t *testing.T) {
			b := want.Append([]byte("before"))[len("before"):]
			if got := decode(t, b); !reflect.DeepEqual(got, want) {
				t.Errorf("read back\n%+v\nwant\n%+v", got, want)
			}
		})
	}
}

func TestPayloadKeepsNoReference(t *testing.T) {
	b := everything().Append(nil)
	got := decode(t, b)
	clear(b)
	if !reflect.DeepEqual(got, everything()) {
		t.Error("the payload changed with the message it was read from")
	}
}

func TestDecodePassesOver(t *testing.T) {
	dataset := &sparkplugpb.DataSet{NumOfColumns: proto.Uint64(1), Columns: []string{"a"}}
	template := &sparkplugpb.Template{Metrics: []*sparkplugpb.Metric{{Name: proto.String("inner")}}}
	msg := marshal(t, &sparkplugpb.Payload{Metrics: []*sparkplugpb.Metric{
		{Name: proto.String("dataset"), Value: &sparkplugpb.Metric_DatasetValue{DatasetValue: dataset}},
		{Name: proto.String("template"), Value: &sparkplugpb.Metric_TemplateValue{TemplateValue: template}},
		{Name: proto.String("meta"), Metadata: &sparkplugpb.MetaData{FileName: proto.String("f")}},
	}})
	msg = protowire.AppendTag(msg, 6, protowire.BytesType) // an extension
	msg = protowire.AppendString(msg, "theirs")
	msg = protowire.AppendTag(msg, 77, protowire.StartGroupType)
	msg = protowire.AppendTag(msg, 77, protowire.EndGroupType)
	msg = protowire.AppendTag(msg, 1, protowire.Fixed64Type) // a timestamp of another type
	msg = protowire.AppendFixed64(msg, 1)
	p := decode(t, msg)
	if len(p.Metrics) != 3 || p.HasTimestamp {
		t.Fatalf("read %+v", p)
	}
	for i, name := range []string{"dataset", "template", "meta"} {
		if m := p.Metrics[i]; m.Name != name || m.Value.Kind() != sparkplug.KindNone || m.Null {
			t.Errorf("metric %d is %+v", i, m)
		}
	}
}

func TestDecodePropertySets(t *testing.T) {
	text := func(s string) *sparkplugpb.PropertyValue {
		return &sparkplugpb.PropertyValue{Type: proto.Uint32(12), Value: &sparkplugpb.PropertyValue_StringValue{StringValue: s}}
	}
	nested := &sparkplugpb.PropertyValue{Type: proto.Uint32(20), Value: &sparkplugpb.PropertyValue_PropertysetValue{
		PropertysetValue: &sparkplugpb.PropertySet{Keys: []string{"x"}, Values: []*sparkplugpb.PropertyValue{text("y")}},
	}}
	tests := []struct {
		name string
		set  *sparkplugpb.PropertySet
		want int
	}{
		{"balanced", &sparkplugpb.PropertySet{Keys: []string{"a", "b"}, Values: []*sparkplugpb.PropertyValue{text("1"), text("2")}}, 2},
		{"a key too many", &sparkplugpb.PropertySet{Keys: []string{"a", "b"}, Values: []*sparkplugpb.PropertyValue{text("1")}}, 1},
		{"a value too many", &sparkplugpb.PropertySet{Keys: []string{"a"}, Values: []*sparkplugpb.PropertyValue{text("1"), text("2")}}, 1},
		{"nested", &sparkplugpb.PropertySet{Keys: []string{"a"}, Values: []*sparkplugpb.PropertyValue{nested}}, 1},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			m := &sparkplugpb.Metric{Properties: tt.set}
			p := decode(t, marshal(t, &sparkplugpb.Payload{Metrics: []*sparkplugpb.Metric{m}}))
			if got := p.Metrics[0].Properties; len(got) != tt.want {
				t.Errorf("read %+v, want %d", got, tt.want)
			}
			want, _ := p.Metrics[0].Property("a").Text()
			if tt.name != "nested" && want != "1" {
				t.Errorf("property a is %q", want)
			}
		})
	}
	if v := (&sparkplug.Metric{}).Property("a"); v.Kind() != sparkplug.KindNone {
		t.Errorf("a property that is not there is %v", v)
	}
}

func TestDecodeLimits(t *testing.T) {
	p := everything()
	b := p.Append(nil)
	tests := []struct {
		name       string
		below, fit sparkplug.Limits
	}{
		{"message", sparkplug.Limits{Message: len(b) - 1}, sparkplug.Limits{Message: len(b)}},
		{"metrics", sparkplug.Limits{Metrics: len(p.Metrics) - 1}, sparkplug.Limits{Metrics: len(p.Metrics)}},
		{"properties", sparkplug.Limits{Properties: 6}, sparkplug.Limits{Properties: 7}},
		{"text", sparkplug.Limits{Text: 19_999}, sparkplug.Limits{Text: 20_000}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if _, err := sparkplug.Decode(b, tt.below); !errors.Is(err, sparkplug.ErrLimit) {
				t.Errorf("beyond: %v, want ErrLimit", err)
			}
			if _, err := sparkplug.Decode(b, tt.fit); err != nil {
				t.Errorf("at the limit: %v", err)
			}
		})
	}
}

func TestDecodeRefusesDamage(t *testing.T) {
	invalid := marshal(t, &sparkplugpb.Payload{Metrics: []*sparkplugpb.Metric{{Name: proto.String("a\xff")}}})
	cases := map[string][]byte{
		"text that is not UTF-8":   invalid,
		"tag cut off":              {0x80},
		"field number 0":           {0x00, 0x00},
		"length beyond the end":    {0x12, 0x05, 0x08},
		"metric cut off":           {0x12, 0x01, 0x08},
		"property cut off":         {0x12, 0x03, 0x4a, 0x01, 0x0a},
		"group without an end":     {0x0b, 0x08, 0x01},
		"varint of eleven bytes":   {0x08, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01},
		"wire type that is none":   {0x0f, 0x00},
		"end of a group not begun": {0x0c},
	}
	for name, b := range cases {
		t.Run(name, func(t *testing.T) {
			if p, err := sparkplug.Decode(b, sparkplug.Limits{}); err == nil || errors.Is(err, sparkplug.ErrLimit) {
				t.Errorf("Decode = %+v, %v", p, err)
			}
		})
	}
}

func TestValueSigns(t *testing.T) {
	tests := []struct {
		name  string
		value sparkplug.Value
		typ   sparkplug.DataType
		want  int64
		ok    bool
	}{
		{"Int8 sign-extended by the sender", sparkplug.IntValue(-1), sparkplug.Int8, -1, true},
		{"Int8 of 8 bits", sparkplug.IntValue(0xff), sparkplug.Int8, -1, true},
		{"Int16 of 16 bits", sparkplug.IntValue(0x8000), sparkplug.Int16, -32768, true},
		{"Int32", sparkplug.IntValue(math.MinInt32), sparkplug.Int32, math.MinInt32, true},
		{"Int64", sparkplug.LongValue(-1), sparkplug.Int64, -1, true},
		{"Int64 in the small field", sparkplug.IntValue(-1), sparkplug.Int64, -1, true},
		{"UInt8", sparkplug.IntValue(200), sparkplug.UInt8, 200, true},
		{"UInt32 in the small field", sparkplug.IntValue(-1), sparkplug.UInt32, math.MaxUint32, true},
		{"UInt32 in the large field", sparkplug.UlongValue(math.MaxUint32), sparkplug.UInt32, math.MaxUint32, true},
		{"UInt64 beyond int64", sparkplug.UlongValue(1 << 63), sparkplug.UInt64, math.MinInt64, false},
		{"a double", sparkplug.DoubleValue(1), sparkplug.Int64, 0, false},
		{"none", sparkplug.Value{}, sparkplug.Int64, 0, false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if got, ok := tt.value.Int64(tt.typ); got != tt.want || ok != tt.ok {
				t.Errorf("Int64(%v) = %d, %v; want %d, %v", tt.typ, got, ok, tt.want, tt.ok)
			}
		})
	}
	if u, ok := sparkplug.UlongValue(math.MaxUint64).Uint64(sparkplug.UInt64); u != math.MaxUint64 || !ok {
		t.Errorf("Uint64 = %d, %v", u, ok)
	}
	if u, ok := sparkplug.LongValue(-1).Uint64(sparkplug.Int64); ok {
		t.Errorf("a negative number reads as %d", u)
	}
}

func TestDataTypeNumbers(t *testing.T) {
	for number, name := range map[sparkplug.DataType]string{
		0: "Unknown", 1: "Int8", 4: "Int64", 8: "UInt64", 9: "Float", 10: "Double", 11: "Boolean", 12: "String",
		13: "DateTime", 14: "Text", 15: "UUID", 16: "DataSet", 17: "Bytes", 19: "Template", 21: "PropertySetList",
		22: "Int8Array", 34: "DateTimeArray", 35: "DataType(35)", math.MaxUint32: "DataType(4294967295)",
	} {
		if got := number.String(); got != name {
			t.Errorf("datatype %d is %q, want %q", uint32(number), got, name)
		}
	}
	if sparkplug.DateTime != 13 || sparkplug.UUID != 15 || sparkplug.Bytes != 17 || sparkplug.DateTimeArray != 34 {
		t.Error("a datatype has not the standard's number")
	}
}
