package sparkplug_test

import (
	"reflect"
	"slices"
	"strings"
	"testing"

	"google.golang.org/protobuf/proto"

	"andon.internal/shared/sparkplug"
	"andon.internal/shared/sparkplug/internal/sparkplugpb"
	"andon.internal/shared/telemetry"
)

// The tests of this file hold Andon's messages, as generated protobuf code reads
// them, against the normative statements of Sparkplug 3.0; docs/sparkplug.md says
// which against which.

// checkEnvelope checks what all messages of an edge node have in common.
func checkEnvelope(t *testing.T, p *sparkplugpb.Payload, seq uint64) {
	t.Helper()
	if p.Timestamp == nil || p.GetTimestamp() != now {
		t.Errorf("payload timestamp %v, want %d ms", p.Timestamp, uint64(now))
	}
	if p.Seq == nil || p.GetSeq() != seq || p.GetSeq() > 255 {
		t.Errorf("seq %v, want %d", p.Seq, seq)
	}
}

// checkBirthMetrics checks what every metric of a birth has: name, datatype of the
// standard, timestamp, and a value of that type or null, never both.
func checkBirthMetrics(t *testing.T, p *sparkplugpb.Payload) {
	t.Helper()
	checkOrder(t, p)
	var names []string
	for _, m := range p.Metrics {
		names = append(names, strings.ToLower(m.GetName()))
		if m.Name == nil || m.GetName() == "" {
			t.Errorf("metric without a name: %v", m)
		}
		if m.Timestamp == nil {
			t.Errorf("%s has no timestamp", m.GetName())
		}
		if m.GetDatatype() == 0 || m.GetDatatype() > uint32(sparkplug.DateTimeArray) {
			t.Errorf("%s has datatype %d", m.GetName(), m.GetDatatype())
		}
		if m.GetIsNull() != (m.Value == nil) {
			t.Errorf("%s: null %v with value %v", m.GetName(), m.GetIsNull(), m.Value)
		}
		if m.Value != nil && !fits(sparkplug.DataType(m.GetDatatype()), m) {
			t.Errorf("%s is %v with value %T", m.GetName(), sparkplug.DataType(m.GetDatatype()), m.Value)
		}
		if props := m.Properties; len(props.GetKeys()) != len(props.GetValues()) {
			t.Errorf("%s has %d property keys and %d values", m.GetName(), len(props.Keys), len(props.Values))
		}
		for _, v := range m.Properties.GetValues() {
			if v.Type == nil || v.GetType() == 0 || v.GetType() > uint32(sparkplug.Text) {
				t.Errorf("a property of %s has type %v", m.GetName(), v.Type)
			}
		}
	}
	slices.Sort(names)
	if n := len(slices.Compact(slices.Clone(names))); n != len(names) {
		t.Errorf("names are not distinct in lower case: %q", names)
	}
}

// checkOrder checks that the values of a message are in chronological order.
func checkOrder(t *testing.T, p *sparkplugpb.Payload) {
	t.Helper()
	var last uint64
	for _, m := range p.Metrics {
		if m.GetTimestamp() < last {
			t.Errorf("%s is of %d ms, behind a value of %d ms", m.GetName(), m.GetTimestamp(), last)
		}
		last = m.GetTimestamp()
	}
}

// fits reports whether the value lies in the field that the datatype calls for.
func fits(t sparkplug.DataType, m *sparkplugpb.Metric) bool {
	switch m.Value.(type) {
	case *sparkplugpb.Metric_LongValue:
		return t == sparkplug.Int64 || t == sparkplug.UInt64 || t == sparkplug.UInt32 || t == sparkplug.DateTime
	case *sparkplugpb.Metric_FloatValue:
		return t == sparkplug.Float
	case *sparkplugpb.Metric_DoubleValue:
		return t == sparkplug.Double
	case *sparkplugpb.Metric_BooleanValue:
		return t == sparkplug.Boolean
	case *sparkplugpb.Metric_StringValue:
		return t == sparkplug.String || t == sparkplug.Text || t == sparkplug.UUID
	}
	return false
}

func metricNamed(p *sparkplugpb.Payload, name string) *sparkplugpb.Metric {
	for _, m := range p.Metrics {
		if m.GetName() == name {
			return m
		}
	}
	return nil
}

func TestSparkplugNodeBirth(t *testing.T) {
	p := generated(t, sampleNodeBirth().Append(nil))
	checkEnvelope(t, p, 0)
	checkBirthMetrics(t, p)
	bdSeq := metricNamed(p, "bdSeq")
	if bdSeq.GetDatatype() != uint32(sparkplug.Int64) || bdSeq.GetLongValue() != 200 {
		t.Errorf("bdSeq is %v", bdSeq)
	}
	rebirth := metricNamed(p, "Node Control/Rebirth")
	if rebirth.GetDatatype() != uint32(sparkplug.Boolean) || rebirth.Value == nil || rebirth.GetBooleanValue() || rebirth.Alias != nil {
		t.Errorf("Node Control/Rebirth is %v", rebirth)
	}
	for _, m := range p.Metrics { // nothing of the node goes by alias, so names stay in its data and commands
		if m.Alias != nil {
			t.Errorf("%s has alias %d", m.GetName(), m.GetAlias())
		}
	}
}

func TestSparkplugUnitBirth(t *testing.T) {
	birth := sampleUnitBirth()
	p := generated(t, birth.Append(nil, 255))
	checkEnvelope(t, p, 255)
	checkBirthMetrics(t, p)
	var aliases []uint64
	for _, m := range p.Metrics {
		if m.Alias != nil {
			aliases = append(aliases, m.GetAlias())
		}
	}
	if !slices.Equal(aliases, []uint64{300, 301, 302, 303}) {
		t.Errorf("aliases %v", aliases)
	}
	if m := metricNamed(p, "case_temp_c"); !m.GetIsNull() || m.Value != nil {
		t.Errorf("a signal without a value is %v", m)
	}
	if m := metricNamed(p, "torque_nm"); m.GetDoubleValue() != -0.5 || m.Properties.Keys[0] != "engUnit" {
		t.Errorf("a signal with a value is %v", m)
	}
}

func TestSparkplugNodeDeath(t *testing.T) {
	p := generated(t, sparkplug.AppendNodeDeath(nil, now, 200))
	if p.Seq != nil {
		t.Errorf("NDEATH has seq %d", p.GetSeq())
	}
	if len(p.Metrics) != 1 || p.GetTimestamp() != now {
		t.Fatalf("NDEATH is %v", p)
	}
	m := p.Metrics[0]
	if m.GetName() != "bdSeq" || m.GetDatatype() != uint32(sparkplug.Int64) || m.GetLongValue() != 200 || m.Timestamp == nil {
		t.Errorf("its metric is %v", m)
	}
}

func TestSparkplugUnitDeath(t *testing.T) {
	p := generated(t, sparkplug.AppendUnitDeath(nil, now, 7))
	checkEnvelope(t, p, 7)
	if len(p.Metrics) != 0 {
		t.Errorf("DDEATH has metrics: %v", p.Metrics)
	}
}

func TestSparkplugRecord(t *testing.T) {
	r := sampleRecord()
	birth := generated(t, sampleUnitBirth().Append(nil, 1))
	types := make(map[uint64]sparkplug.DataType)
	for _, m := range birth.Metrics {
		if m.Alias != nil {
			types[m.GetAlias()] = sparkplug.DataType(m.GetDatatype())
		}
	}
	for _, historical := range []bool{false, true} {
		p := generated(t, sparkplug.AppendRecord(nil, sampleHeader(), r, 300, now, 255, historical))
		checkEnvelope(t, p, 255)
		var last uint64
		seen := make(map[[2]uint64]bool) // alias and time
		for _, m := range p.Metrics {
			typ, born := types[m.GetAlias()]
			switch at := [2]uint64{m.GetAlias(), m.GetTimestamp()}; {
			case m.Alias == nil || m.Name != nil || m.Datatype != nil:
				t.Errorf("metric %v does not go by its alias alone", m)
			case !born:
				t.Errorf("alias %d was not in the birth", m.GetAlias())
			case m.Timestamp == nil || m.GetTimestamp() < last:
				t.Errorf("metric %v is out of chronological order", m)
			case seen[at]:
				t.Errorf("alias %d has two values at %d", m.GetAlias(), m.GetTimestamp())
			case m.GetIsHistorical() != historical:
				t.Errorf("metric %v in a message with historical %v", m, historical)
			case m.GetIsNull() != (m.Value == nil) || m.Value != nil && !fits(typ, m):
				t.Errorf("metric %v is of type %v", m, typ)
			default:
				seen[at], last = true, m.GetTimestamp()
			}
		}
		if len(p.Metrics) != 4+2+1+4 {
			t.Errorf("%d metrics", len(p.Metrics))
		}
	}
	if got := r.Times[0] / milli; got != now {
		t.Errorf("the first row is at %d ms", got)
	}
}

func TestSparkplugHeartbeat(t *testing.T) {
	birth := generated(t, sampleNodeBirth().Append(nil))
	heartbeat := sampleHeartbeat()
	p := generated(t, heartbeat.Append(nil, now, 12))
	checkEnvelope(t, p, 12)
	checkOrder(t, p)
	for _, m := range p.Metrics {
		born := metricNamed(birth, m.GetName())
		if born == nil || born.Alias != nil || m.Alias != nil {
			t.Errorf("%s is not in the birth by that name", m.GetName())
			continue
		}
		if m.Datatype != nil || m.Timestamp == nil || !fits(sparkplug.DataType(born.GetDatatype()), m) {
			t.Errorf("%s is %v, born as %v", m.GetName(), m, born)
		}
	}
	// What a birth would say otherwise than the one before, the heartbeat says.
	other := sampleNodeBirth()
	other.Heartbeat = sparkplug.Heartbeat{}
	changed := 0
	for _, was := range generated(t, other.Append(nil)).Metrics {
		is := metricNamed(birth, was.GetName())
		if proto.Equal(was, is) {
			continue
		}
		changed++
		if told := metricNamed(p, was.GetName()); told == nil || !reflect.DeepEqual(told.Value, is.Value) {
			t.Errorf("%s changed to %v and is told as %v", was.GetName(), is.Value, told)
		}
	}
	if fields := reflect.TypeFor[sparkplug.Heartbeat]().NumField(); changed != fields {
		t.Errorf("%d metrics changed, want one for each of the %d fields", changed, fields)
	}
}

func TestSparkplugLoss(t *testing.T) {
	p := generated(t, sparkplug.AppendLoss(nil, sampleHeader(), sampleLoss(), now, 13))
	checkEnvelope(t, p, 13)
	if len(p.Metrics) != 0 || p.GetUuid() != sparkplug.LossUUID {
		t.Errorf("a loss is %v", p)
	}
}

func TestSparkplugCommands(t *testing.T) {
	birth := generated(t, sampleNodeBirth().Append(nil))
	for name, msg := range map[string][]byte{
		"Node Control/Rebirth": sparkplug.AppendRebirth(nil, now),
		"Andon/Ack":            sparkplug.AppendAck(nil, now, sampleAck()),
	} {
		p := generated(t, msg)
		if p.Seq != nil || p.GetTimestamp() != now || len(p.Metrics) != 1 {
			t.Fatalf("%s is sent as %v", name, p)
		}
		m, born := p.Metrics[0], metricNamed(birth, name)
		if m.GetName() != name || born == nil || m.Alias != nil || !fits(sparkplug.DataType(born.GetDatatype()), m) {
			t.Errorf("%s is sent as %v, born as %v", name, m, born)
		}
	}
	if p := generated(t, sparkplug.AppendRebirth(nil, now)); !p.Metrics[0].GetBooleanValue() {
		t.Error("a rebirth request is not true")
	}
}

func TestSparkplugState(t *testing.T) {
	topic := sparkplug.Topic{Type: sparkplug.HostState, Host: "andon"}
	if topic.String() != "spBv1.0/STATE/andon" {
		t.Errorf("topic %q", topic)
	}
	if got := string(sparkplug.State{Online: true, Timestamp: now}.Append(nil)); got != `{"online":true,"timestamp":1767323045678}` {
		t.Errorf("birth %s", got)
	}
	if got := string(sparkplug.State{Timestamp: now}.Append(nil)); got != `{"online":false,"timestamp":1767323045678}` {
		t.Errorf("death %s", got)
	}
}

// TestSparkplugTimestampsOfEarlyReadings checks readings from before 1970, which a
// box without a clock can take: the wire has them as two's complement.
func TestSparkplugTimestampsOfEarlyReadings(t *testing.T) {
	r := &telemetry.Record{Unit: "u", Profile: wide(1)}
	r.Append(-1, 0, []telemetry.Value{telemetry.DoubleValue(1)})
	p := generated(t, sparkplug.AppendRecord(nil, sampleHeader(), r, 1, now, 0, false))
	if got := int64(p.Metrics[0].GetTimestamp()); got != -1 {
		t.Errorf("a reading 1 ns before 1970 is at %d ms", got)
	}
	roundTrip(t, sampleHeader(), r, 1, false)
}
