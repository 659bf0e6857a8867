package sparkplug_test

import (
	"reflect"
	"testing"

	"google.golang.org/protobuf/proto"

	"andon.internal/shared/sparkplug"
	"andon.internal/shared/sparkplug/internal/sparkplugpb"
)

// toGenerated builds the same payload of generated code, field by field.
func toGenerated(p *sparkplug.Payload) *sparkplugpb.Payload {
	out := &sparkplugpb.Payload{Body: p.Body}
	if p.HasTimestamp {
		out.Timestamp = &p.Timestamp
	}
	if p.HasSeq {
		out.Seq = &p.Seq
	}
	if p.UUID != "" {
		out.Uuid = &p.UUID
	}
	for i := range p.Metrics {
		out.Metrics = append(out.Metrics, metricToGenerated(&p.Metrics[i]))
	}
	return out
}

func metricToGenerated(m *sparkplug.Metric) *sparkplugpb.Metric {
	out := &sparkplugpb.Metric{}
	if m.Name != "" {
		out.Name = &m.Name
	}
	if m.HasAlias {
		out.Alias = &m.Alias
	}
	if m.HasTimestamp {
		out.Timestamp = &m.Timestamp
	}
	if m.DataType != sparkplug.Unknown {
		out.Datatype = proto.Uint32(uint32(m.DataType))
	}
	for _, flag := range []struct {
		set bool
		dst **bool
	}{{m.Historical, &out.IsHistorical}, {m.Transient, &out.IsTransient}, {m.Null, &out.IsNull}} {
		if flag.set {
			*flag.dst = proto.Bool(true)
		}
	}
	v := m.Value
	switch v.Kind() {
	case sparkplug.KindInt:
		out.Value = &sparkplugpb.Metric_IntValue{IntValue: uint32(v.Bits())}
	case sparkplug.KindLong:
		out.Value = &sparkplugpb.Metric_LongValue{LongValue: v.Bits()}
	case sparkplug.KindFloat:
		f, _ := v.Float()
		out.Value = &sparkplugpb.Metric_FloatValue{FloatValue: f}
	case sparkplug.KindDouble:
		f, _ := v.Double()
		out.Value = &sparkplugpb.Metric_DoubleValue{DoubleValue: f}
	case sparkplug.KindBool:
		b, _ := v.Bool()
		out.Value = &sparkplugpb.Metric_BooleanValue{BooleanValue: b}
	case sparkplug.KindString:
		s, _ := v.Text()
		out.Value = &sparkplugpb.Metric_StringValue{StringValue: s}
	case sparkplug.KindBytes:
		b, _ := v.Bytes()
		out.Value = &sparkplugpb.Metric_BytesValue{BytesValue: b}
	}
	if len(m.Properties) > 0 {
		out.Properties = &sparkplugpb.PropertySet{}
	}
	for _, p := range m.Properties {
		out.Properties.Keys = append(out.Properties.Keys, p.Key)
		out.Properties.Values = append(out.Properties.Values, propertyToGenerated(p))
	}
	return out
}

func propertyToGenerated(p sparkplug.Property) *sparkplugpb.PropertyValue {
	out, v := &sparkplugpb.PropertyValue{Type: proto.Uint32(uint32(p.DataType))}, p.Value
	switch v.Kind() {
	case sparkplug.KindNone:
		out.IsNull = proto.Bool(true)
	case sparkplug.KindInt:
		out.Value = &sparkplugpb.PropertyValue_IntValue{IntValue: uint32(v.Bits())}
	case sparkplug.KindLong:
		out.Value = &sparkplugpb.PropertyValue_LongValue{LongValue: v.Bits()}
	case sparkplug.KindFloat:
		f, _ := v.Float()
		out.Value = &sparkplugpb.PropertyValue_FloatValue{FloatValue: f}
	case sparkplug.KindDouble:
		f, _ := v.Double()
		out.Value = &sparkplugpb.PropertyValue_DoubleValue{DoubleValue: f}
	case sparkplug.KindBool:
		b, _ := v.Bool()
		out.Value = &sparkplugpb.PropertyValue_BooleanValue{BooleanValue: b}
	case sparkplug.KindString:
		s, _ := v.Text()
		out.Value = &sparkplugpb.PropertyValue_StringValue{StringValue: s}
	}
	return out
}

// TestPayloadIsThatOfGeneratedCode compares bytes: the hand-written code writes
// what generated code writes, and each reads the other.
func TestPayloadIsThatOfGeneratedCode(t *testing.T) {
	p := everything()
	ours := p.Append(nil)
	theirs, err := proto.MarshalOptions{Deterministic: true}.Marshal(toGenerated(p))
	if err != nil {
		t.Fatal(err)
	}
	if string(ours) != string(theirs) {
		t.Errorf("wrote\n%x\ngenerated code writes\n%x", ours, theirs)
	}
	if got := decode(t, theirs); !reflect.DeepEqual(got, p) {
		t.Errorf("read\n%+v\nwant\n%+v", got, p)
	}
	if again := marshal(t, generated(t, ours)); string(again) != string(ours) {
		t.Errorf("generated code reads %x and writes %x", ours, again)
	}
}
