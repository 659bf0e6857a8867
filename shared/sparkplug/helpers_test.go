package sparkplug_test

import (
	"flag"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"google.golang.org/protobuf/encoding/prototext"
	"google.golang.org/protobuf/proto"

	"andon.internal/shared/ranges"
	"andon.internal/shared/sparkplug"
	"andon.internal/shared/sparkplug/internal/sparkplugpb"
	"andon.internal/shared/telemetry"
)

var update = flag.Bool("update", false, "write the golden files anew")

const (
	milli = 1_000_000 // ns
	// now is the wall time of the tests, in ms.
	now = 1_767_323_045_678
)

func bound(f float64) *float64 { return &f }

// mixed is a profile with a signal of every type.
func mixed() *telemetry.Profile {
	return &telemetry.Profile{Name: "mixed", Version: 3, Signals: []telemetry.Signal{
		{Name: "torque_nm", Unit: "N·m", Type: telemetry.Double, Min: bound(-500), Max: bound(500)},
		{Name: "case_temp_c", Unit: "degC", Type: telemetry.Real, Max: bound(180)},
		{Name: "cycles", Type: telemetry.Integer},
		{Name: "running", Type: telemetry.Boolean},
	}}
}

// wide is a profile of n double signals.
func wide(n int) *telemetry.Profile {
	p := &telemetry.Profile{Name: "wide", Version: 1}
	for i := range n {
		p.Signals = append(p.Signals, telemetry.Signal{Name: "s" + string(rune('a'+i/26)) + string(rune('a'+i%26)), Type: telemetry.Double})
	}
	return p
}

var (
	epochA = telemetry.Epoch{0x01, 0x9b, 0x7f, 0x30, 0x11, 0x22, 0x33, 0x44, 0x55, 0x66, 0x77, 0x88, 0x99, 0xaa, 0xbb, 0xcc}
	epochB = telemetry.Epoch{0x01, 0x9b, 0x7f, 0x31, 0xde, 0xad, 0xbe, 0xef, 1, 2, 3, 4, 5, 6, 7, 8}
	bootID = [16]byte{0x0a, 0x1b, 0x2c, 0x3d, 0x4e, 0x5f, 0x40, 0x71, 0x82, 0x93, 0xa4, 0xb5, 0xc6, 0xd7, 0xe8, 0xf9}
)

func sampleHeader() sparkplug.Header {
	return sparkplug.Header{Epoch: epochA, Position: 41, Session: 7, SentBoot: 123_456_789_012}
}

// sampleRecord holds every feature of a record: all types, odd floats, missing
// values, a row without any, times below a millisecond, qualities, clock, end.
func sampleRecord() *telemetry.Record {
	r := &telemetry.Record{
		Unit: "engine-1", Profile: mixed(), Born: (now - 60_000) * milli, Count: 17,
		Clock: telemetry.Clock{Boot: bootID, Offset: -9_876_543_210, Quality: telemetry.TimeSkewed},
		End:   &telemetry.End{Time: now*milli + 5, Reason: "finished"},
	}
	r.Append(now*milli, 0, []telemetry.Value{
		telemetry.DoubleValue(12.5), telemetry.RealValue(-40), telemetry.IntegerValue(-1), telemetry.BooleanValue(true),
	})
	r.Append((now+1)*milli+123_456, telemetry.QualityMissing, []telemetry.Value{
		{}, telemetry.RealValue(0.1), {}, telemetry.BooleanValue(false),
	})
	r.Append((now+2)*milli+999_999, telemetry.QualityMissing.WithTime(telemetry.TimeStepped), []telemetry.Value{{}, {}, {}, {}})
	r.Append((now+1000)*milli, telemetry.QualityOutOfRange, []telemetry.Value{
		telemetry.DoubleValue(math.Float64frombits(0x7ff8dead_beef0001)), // a NaN with a payload
		telemetry.RealValue(float32(math.Copysign(0, -1))),
		telemetry.IntegerValue(math.MinInt64), telemetry.BooleanValue(true),
	})
	return r
}

// randomRecord makes a valid record of p.
func randomRecord(rnd *rand.Rand, p *telemetry.Profile, rows int) *telemetry.Record {
	r := &telemetry.Record{Unit: "u", Profile: p, Born: rnd.Int64(), Count: rnd.Uint64() >> 1}
	if rnd.IntN(2) == 0 {
		r.Clock = telemetry.Clock{Boot: bootID, Offset: int64(rnd.Uint64()), Quality: telemetry.TimeQuality(rnd.IntN(6))}
	}
	t := int64(rnd.IntN(2_000_000_000)) * 1e9 // from 1970 to 2033
	if rnd.IntN(8) == 0 {
		t = -t
	}
	for range rows {
		t = (t/milli + 1 + rnd.Int64N(5)) * milli
		var q telemetry.Quality
		if rnd.IntN(2) == 0 {
			t += rnd.Int64N(milli)
			q = telemetry.Quality(rnd.IntN(1 << 15))
		}
		row := make([]telemetry.Value, len(p.Signals))
		for i := range row {
			if rnd.IntN(10) > 0 {
				row[i] = telemetry.FromBits(p.Signals[i].Type, rnd.Uint64())
			}
		}
		r.Append(t, q, row)
	}
	if rows == 0 || rnd.IntN(4) == 0 {
		r.End = &telemetry.End{Time: t, Reason: "removed"}
	}
	return r
}

func sampleHeartbeat() sparkplug.Heartbeat {
	return sparkplug.Heartbeat{
		Rows: 1234, Records: 12, Bytes: 1 << 33, OldestMS: 86_400_000, DiskFree: math.MaxUint64, DiskFault: "it is gone",
		Clock: telemetry.TimeUnsynced, Stops: 2, RulesHash: "5f1c", Lost: 3,
	}
}

func sampleNodeBirth() *sparkplug.NodeBirth {
	return &sparkplug.NodeBirth{
		Time: now, BdSeq: 200, Session: 1 << 60, Version: "1.2.3", Boot: bootID, Heartbeat: sampleHeartbeat(),
		Chain: []sparkplug.ChainEpoch{
			{
				Epoch: epochA, End: sparkplug.EndUnclean, Next: 140,
				Held: ranges.Of(ranges.Range{From: 3, To: 9}, ranges.Range{From: 120, To: 140}),
			},
			{Epoch: epochB, Prev: epochA, End: sparkplug.EndOpen, Next: 2, Held: ranges.Of(ranges.Range{From: 0, To: 2})},
		},
	}
}

func sampleUnitBirth() *sparkplug.UnitBirth {
	return &sparkplug.UnitBirth{
		Time: now, Session: 1 << 60, Unit: "engine-1", Profile: mixed(), FirstAlias: 300, Born: (now-60_000)*milli + 7, Backlog: true,
		Last: []telemetry.Value{telemetry.DoubleValue(-0.5), {}, telemetry.IntegerValue(-9), telemetry.BooleanValue(true)},
	}
}

func sampleLoss() telemetry.Loss {
	return telemetry.Loss{
		Epoch: epochB, From: 7, To: 19, Reason: telemetry.LossDamaged, Units: []string{"engine-1", "engine-2"},
		Readings: 480, First: now * milli, Last: (now + 40_000) * milli,
	}
}

func sampleAck() sparkplug.Ack {
	return sparkplug.Ack{
		Epochs: []sparkplug.EpochRanges{
			{Epoch: epochA, Committed: ranges.Of(ranges.Range{From: 0, To: 140}, ranges.Range{From: 150, To: 160})},
			{Epoch: epochB},
		},
		Credit: sparkplug.Credit{Records: 64, Bytes: 8 << 20},
		Sync:   &sparkplug.SyncPart{Session: 7, Part: 2, Of: 3},
	}
}

// decode reads a message with the hand-written codec.
func decode(t testing.TB, b []byte) *sparkplug.Payload {
	t.Helper()
	p, err := sparkplug.Decode(b, sparkplug.Limits{})
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// generated reads a message with generated code, which must know every field.
func generated(t testing.TB, b []byte) *sparkplugpb.Payload {
	t.Helper()
	p := &sparkplugpb.Payload{}
	if err := proto.Unmarshal(b, p); err != nil {
		t.Fatal(err)
	}
	if n := len(p.ProtoReflect().GetUnknown()); n > 0 {
		t.Fatalf("%d bytes of the payload are unknown to the standard", n)
	}
	for i, m := range p.Metrics {
		if n := len(m.ProtoReflect().GetUnknown()); n > 0 {
			t.Fatalf("%d bytes of metric %d are unknown to the standard", n, i)
		}
	}
	return p
}

// generatedBody reads the body of a record or loss with generated code.
func generatedBody(t testing.TB, p *sparkplugpb.Payload) *sparkplugpb.Body {
	t.Helper()
	body := &sparkplugpb.Body{}
	if err := proto.Unmarshal(p.Body, body); err != nil {
		t.Fatal(err)
	}
	if n := len(body.ProtoReflect().GetUnknown()); n > 0 {
		t.Fatalf("%d bytes of the body are unknown", n)
	}
	return body
}

func marshal(t testing.TB, m proto.Message) []byte {
	t.Helper()
	b, err := proto.Marshal(m)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// golden compares got with testdata/NAME, or writes it with -update.
func golden(t *testing.T, name string, got []byte) {
	t.Helper()
	path := filepath.Join("testdata", name)
	if *update {
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, got, 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatalf("%v; run the test with -update to write it", err)
	}
	if string(got) != string(want) {
		t.Errorf("%s differs; if that is meant, run the test with -update\ngot  %x\nwant %x", path, got, want)
	}
}

// goldenText is the payload as text, for the eye of who reads a golden file.
func goldenText(t *testing.T, b []byte) []byte {
	t.Helper()
	p := generated(t, b)
	text := prototext.MarshalOptions{Multiline: true}.Format(p)
	if p.GetUuid() != "" {
		text += "\n# body\n" + prototext.MarshalOptions{Multiline: true}.Format(generatedBody(t, p))
	}
	// prototext varies its spaces on purpose.
	return []byte(strings.ReplaceAll(strings.ReplaceAll(text, ":  ", ": "), "  {", " {"))
}
