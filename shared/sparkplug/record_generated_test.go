package sparkplug_test

import (
	"bytes"
	"math/rand/v2"
	"reflect"
	"strings"
	"testing"

	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"

	"andon.internal/shared/sparkplug"
	"andon.internal/shared/sparkplug/internal/sparkplugpb"
	"andon.internal/shared/telemetry"
)

// TestRecordReadByGeneratedCode has generated protobuf code read what AppendRecord
// wrote, and compares every field.
func TestRecordReadByGeneratedCode(t *testing.T) {
	for _, historical := range []bool{false, true} {
		r, h := sampleRecord(), sampleHeader()
		h.Moved = historical
		p := generated(t, sparkplug.AppendRecord(nil, h, r, 300, now, 11, historical))
		if want := recordMessage(r, h, 300, historical); !proto.Equal(p, want) {
			t.Errorf("generated code reads\n%v\nwant\n%v", p, want)
		}
	}
}

// TestRecordWrittenByGeneratedCode reads records that generated code wrote, in the
// order of the field numbers, and that carry what a bridge may have added.
func TestRecordWrittenByGeneratedCode(t *testing.T) {
	for _, historical := range []bool{false, true} {
		want, h := sampleRecord(), sampleHeader()
		h.Moved = historical
		p := recordMessage(want, h, 300, historical)
		for _, m := range p.Metrics {
			m.Name, m.Datatype = proto.String("added/by a bridge"), proto.Uint32(10)
			m.Properties = &sparkplugpb.PropertySet{Keys: []string{strings.Repeat("k", 200)}}
		}
		layout := sparkplug.Layout{Profile: want.Profile, FirstAlias: 300}
		gotHeader, got, gotHistorical, err := sparkplug.DecodeRecord(marshal(t, p), want.Unit, layout, sparkplug.Limits{})
		if err != nil {
			t.Fatal(err)
		}
		if gotHeader != h || gotHistorical != historical || !reflect.DeepEqual(got, want) {
			t.Errorf("read %+v %+v, want %+v %+v", gotHeader, got, h, want)
		}
	}
}

// recordMessage is the message of a record, built field by field.
func recordMessage(r *telemetry.Record, h sparkplug.Header, firstAlias uint64, historical bool) *sparkplugpb.Payload {
	p := &sparkplugpb.Payload{
		Timestamp: proto.Uint64(now), Seq: proto.Uint64(11), Uuid: proto.String(sparkplug.RecordUUID),
	}
	body := &sparkplugpb.Body{
		Epoch: h.Epoch[:], Position: &h.Position, Session: &h.Session, SentBoot: proto.Uint64(uint64(h.SentBoot)),
		Fingerprint: proto.Uint64(r.Profile.Fingerprint()), RunCount: &r.Count, Born: &r.Born,
		Boot: r.Clock.Boot[:], ClockOffset: &r.Clock.Offset, TimeQuality: proto.Uint32(uint32(r.Clock.Quality)),
		EndTime: &r.End.Time, EndReason: &r.End.Reason,
	}
	if h.Moved {
		body.Moved = &h.Moved
	}
	for i, at := range r.Times {
		metrics := rowMetrics(r.Row(i), uint64(at/milli), firstAlias, historical)
		p.Metrics = append(p.Metrics, metrics...)
		body.RowLen = append(body.RowLen, uint32(len(metrics)))
		body.SubMsNs = append(body.SubMsNs, uint32(at%milli))
		body.Quality = append(body.Quality, uint32(r.Qualities[i]))
	}
	p.Body, _ = proto.MarshalOptions{Deterministic: true}.Marshal(body)
	return p
}

func rowMetrics(row []telemetry.Value, ms, firstAlias uint64, historical bool) []*sparkplugpb.Metric {
	var list []*sparkplugpb.Metric
	add := func(i int) *sparkplugpb.Metric {
		m := &sparkplugpb.Metric{Alias: proto.Uint64(firstAlias + uint64(i)), Timestamp: &ms}
		if historical {
			m.IsHistorical = proto.Bool(true)
		}
		list = append(list, m)
		return m
	}
	for i, v := range row {
		f, _ := v.Float()
		switch v.Type() {
		case telemetry.Double:
			add(i).Value = &sparkplugpb.Metric_DoubleValue{DoubleValue: f}
		case telemetry.Real:
			add(i).Value = &sparkplugpb.Metric_FloatValue{FloatValue: float32(f)}
		case telemetry.Integer:
			add(i).Value = &sparkplugpb.Metric_LongValue{LongValue: uint64(v.Int())}
		case telemetry.Boolean:
			add(i).Value = &sparkplugpb.Metric_BooleanValue{BooleanValue: v.Bool()}
		}
	}
	if len(list) == 0 {
		add(0).IsNull = proto.Bool(true)
	}
	return list
}

// fieldsOf cuts a message into its fields, tags and all.
func fieldsOf(t *testing.T, b []byte) [][]byte {
	t.Helper()
	var list [][]byte
	for len(b) > 0 {
		_, _, n := protowire.ConsumeField(b)
		if n < 0 {
			t.Fatal(protowire.ParseError(n))
		}
		list, b = append(list, b[:n]), b[n:]
	}
	return list
}

// TestRecordFieldsInAnyOrder shuffles the fields of every metric, and puts the
// other fields of the payload in between them: protobuf promises no order.
func TestRecordFieldsInAnyOrder(t *testing.T) {
	want := sampleRecord()
	for i := range 200 {
		rnd := rand.New(rand.NewPCG(5, uint64(i)))
		historical := i%2 == 0
		var metrics, others [][]byte
		for _, f := range fieldsOf(t, sparkplug.AppendRecord(nil, sampleHeader(), want, 300, now, 1, historical)) {
			if num, _, _ := protowire.ConsumeTag(f); num != 2 {
				others = append(others, f)
				continue
			}
			content, _ := protowire.ConsumeBytes(f[1:])
			fields := fieldsOf(t, content)
			rnd.Shuffle(len(fields), func(a, b int) { fields[a], fields[b] = fields[b], fields[a] })
			metrics = append(metrics, protowire.AppendBytes([]byte{f[0]}, bytes.Join(fields, nil)))
		}
		rnd.Shuffle(len(others), func(a, b int) { others[a], others[b] = others[b], others[a] })
		var msg []byte
		for _, m := range metrics {
			if len(others) > 0 && rnd.IntN(2) == 0 {
				msg, others = append(msg, others[0]...), others[1:]
			}
			msg = append(msg, m...)
		}
		msg = append(msg, bytes.Join(others, nil)...)
		layout := sparkplug.Layout{Profile: want.Profile, FirstAlias: 300}
		h, got, gotHistorical, err := sparkplug.DecodeRecord(msg, want.Unit, layout, sparkplug.Limits{})
		if err != nil || h != sampleHeader() || gotHistorical != historical || !reflect.DeepEqual(got, want) {
			t.Fatalf("order %d: %+v %+v, %v", i, h, got, err)
		}
	}
}
