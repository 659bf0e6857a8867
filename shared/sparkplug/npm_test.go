package sparkplug_test

import (
	"encoding/hex"
	"fmt"
	"math"
	"math/rand/v2"
	"reflect"
	"strconv"
	"testing"

	"andon.internal/shared/sparkplug"
	"andon.internal/shared/telemetry"
)

// describe writes a payload as the peer does, so that the two can be compared.
// types names the datatypes that the births have given, by alias and by name.
func describe(p *sparkplug.Payload, types map[string]sparkplug.DataType) npmPayload {
	text := func(set bool, s string) *string {
		if !set {
			return nil
		}
		return &s
	}
	number := func(set bool, n uint64) *string { return text(set, strconv.FormatUint(n, 10)) }
	out := npmPayload{
		Timestamp: strconv.FormatUint(p.Timestamp, 10), Seq: number(p.HasSeq, p.Seq),
		UUID: text(p.UUID != "", p.UUID), Body: text(p.Body != nil, hex.EncodeToString(p.Body)), Metrics: []npmMetric{},
	}
	for i := range p.Metrics {
		m := &p.Metrics[i]
		t := m.DataType
		if t == sparkplug.Unknown {
			t = types[key(m)]
		}
		d := npmMetric{
			Name: text(m.Name != "", m.Name), Alias: number(m.HasAlias, m.Alias), Timestamp: number(m.HasTimestamp, m.Timestamp),
			Type: t.String(), Historical: m.Historical, Value: describeValue(t, m.Value), Properties: map[string]string{},
		}
		for _, prop := range m.Properties {
			value := "null"
			if v := describeValue(prop.DataType, prop.Value); v != nil {
				value = *v
			}
			d.Properties[prop.Key] = prop.DataType.String() + " " + value
		}
		out.Metrics = append(out.Metrics, d)
	}
	return out
}

func key(m *sparkplug.Metric) string {
	if m.HasAlias {
		return "alias " + strconv.FormatUint(m.Alias, 10)
	}
	return "name " + m.Name
}

func typesOf(births ...*sparkplug.Payload) map[string]sparkplug.DataType {
	types := make(map[string]sparkplug.DataType)
	for _, b := range births {
		for i := range b.Metrics {
			types[key(&b.Metrics[i])] = b.Metrics[i].DataType
		}
	}
	return types
}

func describeValue(t sparkplug.DataType, v sparkplug.Value) *string {
	var s string
	switch v.Kind() {
	case sparkplug.KindNone:
		return nil
	case sparkplug.KindDouble:
		s = fmt.Sprintf("%016x", v.Bits())
	case sparkplug.KindFloat:
		s = fmt.Sprintf("%08x", v.Bits())
	case sparkplug.KindBool:
		b, _ := v.Bool()
		s = strconv.FormatBool(b)
	case sparkplug.KindString:
		s, _ = v.Text()
	case sparkplug.KindBytes:
		b, _ := v.Bytes()
		s = hex.EncodeToString(b)
	default:
		if u, ok := v.Uint64(t); ok {
			s = strconv.FormatUint(u, 10)
		} else {
			i, _ := v.Int64(t)
			s = strconv.FormatInt(i, 10)
		}
	}
	return &s
}

// TestNpmReadsWhatWeWrite has sparkplug-payload decode every message that Andon
// sends, and compares all values, aliases, timestamps and historical flags.
func TestNpmReadsWhatWeWrite(t *testing.T) {
	peer := startPeer(t)
	node, unit, heartbeat := sampleNodeBirth(), sampleUnitBirth(), sampleHeartbeat()
	births := [][]byte{node.Append(nil), unit.Append(nil, 1)}
	types := typesOf(decode(t, births[0]), decode(t, births[1]))
	record := sampleRecord()
	record.Values[12] = telemetry.DoubleValue(math.Inf(1)) // JavaScript does not promise the payload of a NaN
	messages := map[string][]byte{
		"NBIRTH":          births[0],
		"DBIRTH":          births[1],
		"heartbeat":       heartbeat.Append(nil, now, 2),
		"live DDATA":      sparkplug.AppendRecord(nil, sampleHeader(), record, unit.FirstAlias, now, 3, false),
		"historical":      sparkplug.AppendRecord(nil, sampleHeader(), record, unit.FirstAlias, now, 4, true),
		"loss":            sparkplug.AppendLoss(nil, sampleHeader(), sampleLoss(), now, 5),
		"DDEATH":          sparkplug.AppendUnitDeath(nil, now, 6),
		"NDEATH":          sparkplug.AppendNodeDeath(nil, now, 7),
		"rebirth":         sparkplug.AppendRebirth(nil, now),
		"acknowledgement": sparkplug.AppendAck(nil, now, sampleAck()),
	}
	rnd := rand.New(rand.NewPCG(3, 4))
	for i := range 20 {
		r := randomRecord(rnd, mixed(), 20)
		for k, v := range r.Values {
			if f, _ := v.Float(); f != f {
				r.Values[k] = telemetry.Value{}
			}
		}
		messages[fmt.Sprintf("random record %d", i)] = sparkplug.AppendRecord(nil, sampleHeader(), r, unit.FirstAlias, now, 8, i%2 == 0)
	}
	for name, msg := range messages {
		t.Run(name, func(t *testing.T) {
			var got npmPayload
			peer.ask(t, npmRequest{Op: "decode", Births: births, Message: msg}, &got)
			want := describe(decode(t, msg), types)
			if !reflect.DeepEqual(got, want) {
				t.Errorf("sparkplug-payload reads\n%+v\nwant\n%+v", got, want)
				for i := range min(len(got.Metrics), len(want.Metrics)) {
					if !reflect.DeepEqual(got.Metrics[i], want.Metrics[i]) {
						t.Fatalf("metric %d: %+v, want %+v", i, got.Metrics[i], want.Metrics[i])
					}
				}
			}
		})
	}
}

// TestNpmWritesAnew has sparkplug-payload decode our messages and encode them
// again, as a bridge would: what Andon's own fields say must survive it.
func TestNpmWritesAnew(t *testing.T) {
	peer := startPeer(t)
	node, unit, record := sampleNodeBirth(), sampleUnitBirth(), sampleRecord()
	record.Values[12] = telemetry.DoubleValue(-1e300)
	births := [][]byte{node.Append(nil), unit.Append(nil, 1)}
	recode := func(msg []byte) (out []byte) {
		peer.ask(t, npmRequest{Op: "recode", Births: births, Message: msg}, &out)
		return out
	}
	if got, err := sparkplug.ParseNodeBirth(decode(t, recode(births[0]))); err != nil || !reflect.DeepEqual(got, node) {
		t.Errorf("NBIRTH: %+v, %v", got, err)
	}
	if got, err := sparkplug.ParseUnitBirth(unit.Unit, decode(t, recode(births[1]))); err != nil || !reflect.DeepEqual(got, unit) {
		t.Errorf("DBIRTH: %+v, %v", got, err)
	}
	for _, historical := range []bool{false, true} {
		msg := recode(sparkplug.AppendRecord(nil, sampleHeader(), record, unit.FirstAlias, now, 3, historical))
		h, got, gotHistorical, err := sparkplug.DecodeRecord(msg, record.Unit, unit.Layout(), sparkplug.Limits{})
		if err != nil || h != sampleHeader() || gotHistorical != historical || !reflect.DeepEqual(got, record) {
			t.Errorf("record, historical %v: %+v %+v, %v", historical, h, got, err)
		}
	}
	h, loss, err := sparkplug.DecodeLoss(recode(sparkplug.AppendLoss(nil, sampleHeader(), sampleLoss(), now, 5)), sparkplug.Limits{})
	if err != nil || h != sampleHeader() || !reflect.DeepEqual(loss, sampleLoss()) {
		t.Errorf("loss: %+v %+v, %v", h, loss, err)
	}
	c, err := sparkplug.ParseCommand(decode(t, recode(sparkplug.AppendAck(nil, now, sampleAck()))))
	if want := sampleAck(); err != nil || !reflect.DeepEqual(c.Ack, &want) {
		t.Errorf("acknowledgement: %+v, %v", c, err)
	}
}

// TestWeReadWhatNpmWrites has sparkplug-payload encode the messages of a node that
// is not Andon's.
func TestWeReadWhatNpmWrites(t *testing.T) {
	peer := startPeer(t)
	type metric map[string]any
	payload := map[string]any{
		"timestamp": "1767323045678", "seq": 0, "uuid": "theirs", "body": "00ff10",
		"metrics": []metric{
			{"name": "bdSeq", "type": "UInt64", "value": "3"},
			{"name": "Node Control/Rebirth", "type": "Boolean", "value": false},
			{"name": "i8", "type": "Int8", "value": -128, "alias": "0", "timestamp": "1767323045000"},
			{"name": "i16", "type": "Int16", "value": -32768, "alias": "18446744073709551615"},
			{"name": "i32", "type": "Int32", "value": math.MinInt32},
			{"name": "i64", "type": "Int64", "value": "-9223372036854775808"},
			{"name": "u8", "type": "UInt8", "value": 255},
			{"name": "u16", "type": "UInt16", "value": 65535},
			{"name": "u32", "type": "UInt32", "value": "4294967295"},
			{"name": "u64", "type": "UInt64", "value": "18446744073709551615"},
			{"name": "f", "type": "Float", "value": "c2280000", "isHistorical": true},
			{"name": "d", "type": "Double", "value": "8000000000000000", "isTransient": true},
			{"name": "b", "type": "Boolean", "value": true},
			{"name": "s", "type": "String", "value": "Größe"},
			{"name": "t", "type": "DateTime", "value": "1767323045678"},
			{"name": "x", "type": "Bytes", "value": "ff00fe"},
			{"name": "null", "type": "Double", "value": nil, "properties": map[string]any{
				"engUnit": metric{"type": "String", "value": "bar"}, "Quality": metric{"type": "Int32", "value": 192},
			}},
		},
	}
	var msg []byte
	peer.ask(t, npmRequest{Op: "encode", Payload: payload}, &msg)
	p := decode(t, msg)
	if p.Timestamp != now || !p.HasSeq || p.Seq != 0 || p.UUID != "theirs" || string(p.Body) != "\x00\xff\x10" {
		t.Errorf("payload %+v", p)
	}
	want := []struct{ name, typ, value string }{
		{"bdSeq", "UInt64", "3"},
		{"Node Control/Rebirth", "Boolean", "false"},
		{"i8", "Int8", "-128"},
		{"i16", "Int16", "-32768"},
		{"i32", "Int32", "-2147483648"},
		{"i64", "Int64", "-9223372036854775808"},
		{"u8", "UInt8", "255"},
		{"u16", "UInt16", "65535"},
		{"u32", "UInt32", "4294967295"},
		{"u64", "UInt64", "18446744073709551615"},
		{"f", "Float", "c2280000"},
		{"d", "Double", "8000000000000000"},
		{"b", "Boolean", "true"},
		{"s", "String", "Größe"},
		{"t", "DateTime", "1767323045678"},
		{"x", "Bytes", "ff00fe"},
		{"null", "Double", "null"},
	}
	if len(p.Metrics) != len(want) {
		t.Fatalf("%d metrics, want %d", len(p.Metrics), len(want))
	}
	for i, w := range want {
		m := &p.Metrics[i]
		value := "null"
		if v := describeValue(m.DataType, m.Value); v != nil {
			value = *v
		}
		if m.Name != w.name || m.DataType.String() != w.typ || value != w.value || m.Null != (w.value == "null") ||
			m.Historical != (w.name == "f") || m.Transient != (w.name == "d") {
			t.Errorf("metric %d is %+v, want %+v", i, m, w)
		}
	}
	if m := p.Metric("i8"); !m.HasAlias || m.Alias != 0 || m.Timestamp != 1767323045000 {
		t.Errorf("alias 0: %+v", m)
	}
	if m := p.Metric("i16"); m.Alias != math.MaxUint64 || m.HasTimestamp {
		t.Errorf("highest alias: %+v", m)
	}
	unit, _ := p.Metric("null").Property("engUnit").Text()
	quality, _ := p.Metric("null").Property("Quality").Int64(sparkplug.Int32)
	if unit != "bar" || quality != 192 {
		t.Errorf("properties: %q, %d", unit, quality)
	}
	if n, err := sparkplug.ParseNodeDeath(p); err != nil || n != 3 {
		t.Errorf("bdSeq %d, %v", n, err)
	}
}

// TestNpmCommands has sparkplug-payload write the commands that other hosts send.
func TestNpmCommands(t *testing.T) {
	peer := startPeer(t)
	var msg []byte
	peer.ask(t, npmRequest{Op: "encode", Payload: map[string]any{
		"timestamp": "1767323045678",
		"metrics":   []map[string]any{{"name": "Node Control/Rebirth", "type": "Boolean", "value": true}},
	}}, &msg)
	if c, err := sparkplug.ParseCommand(decode(t, msg)); err != nil || !c.Rebirth {
		t.Errorf("rebirth: %+v, %v", c, err)
	}
	peer.ask(t, npmRequest{Op: "encode", Payload: map[string]any{
		"timestamp": "1767323045678",
		"metrics":   []map[string]any{{"name": "Andon/Ack", "type": "String", "value": sampleAck().String()}},
	}}, &msg)
	want := sampleAck()
	if c, err := sparkplug.ParseCommand(decode(t, msg)); err != nil || !reflect.DeepEqual(c.Ack, &want) {
		t.Errorf("acknowledgement: %+v, %v", c, err)
	}
}
