package sparkplug_test

import (
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"reflect"
	"runtime"
	"strings"
	"testing"

	"google.golang.org/protobuf/proto"

	"andon.internal/shared/sparkplug"
	"andon.internal/shared/sparkplug/internal/sparkplugpb"
	"andon.internal/shared/telemetry"
)

// roundTrip writes a record and reads it back.
func roundTrip(t *testing.T, h sparkplug.Header, r *telemetry.Record, firstAlias uint64, historical bool) {
	t.Helper()
	b := sparkplug.AppendRecord([]byte("before"), h, r, firstAlias, now, 200, historical)
	b = b[len("before"):]
	layout := sparkplug.Layout{Profile: r.Profile, FirstAlias: firstAlias}
	gotHeader, got, gotHistorical, err := sparkplug.DecodeRecord(b, r.Unit, layout, sparkplug.Limits{})
	if err != nil {
		t.Fatal(err)
	}
	if gotHeader != h || (gotHistorical != historical && len(r.Times) > 0) || !reflect.DeepEqual(got, r) {
		t.Fatalf("read back\n%+v %+v historical %v\nwant\n%+v %+v historical %v", gotHeader, got, gotHistorical, h, r, historical)
	}
	usual := firstAlias < 1<<27 && r.Len() > 0 && r.Times[0] >= 0
	if bound := sparkplug.RecordBound(r.Len(), len(r.Profile.Signals)); usual && len(b) > bound {
		t.Errorf("%d bytes, more than RecordBound = %d", len(b), bound)
	}
	env, err := sparkplug.Peek(b)
	if err != nil {
		t.Fatal(err)
	}
	want := sparkplug.Envelope{
		UUID: sparkplug.RecordUUID, Timestamp: now, Seq: 200, HasSeq: true, Header: h,
		Fingerprint: r.Profile.Fingerprint(), Born: r.Born, Count: r.Count, Rows: r.Len(), Ends: r.End != nil,
	}
	if env != want {
		t.Errorf("Peek = %+v, want %+v", env, want)
	}
}

func TestRecordRoundTrip(t *testing.T) {
	endOnly := &telemetry.Record{Unit: "u", Profile: mixed(), Born: 3, Count: 900, End: &telemetry.End{Time: 4}}
	tests := []struct {
		name       string
		record     *telemetry.Record
		firstAlias uint64
		historical bool
	}{
		{"live", sampleRecord(), 0, false},
		{"historical", sampleRecord(), 1, true},
		{"aliases of two lengths", sampleRecord(), 126, false},
		{"long aliases", sampleRecord(), 1<<64 - 4, true},
		{"end without rows", endOnly, 5, false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			roundTrip(t, sampleHeader(), tt.record, tt.firstAlias, tt.historical)
		})
	}
	for i := range 300 {
		rnd := rand.New(rand.NewPCG(1, uint64(i)))
		p := mixed()
		if i%3 == 0 {
			p = wide(1 + rnd.IntN(200))
		}
		h := sparkplug.Header{Epoch: epochB, Position: rnd.Uint64() >> 2, Session: rnd.Uint64()}
		roundTrip(t, h, randomRecord(rnd, p, rnd.IntN(40)), rnd.Uint64N(1<<rnd.IntN(50)), i%2 == 0)
	}
}

func TestRecordBoundIsReached(t *testing.T) {
	r := &telemetry.Record{
		Unit: "u", Profile: &telemetry.Profile{Name: "p", Version: 1}, Born: -1, Count: 1<<63 - 1,
		Clock: telemetry.Clock{Boot: bootID, Offset: math.MinInt64, Quality: 15},
		End:   &telemetry.End{Time: -1, Reason: strings.Repeat("x", telemetry.MaxTextLength)},
	}
	row := make([]telemetry.Value, telemetry.MaxSignals)
	for i := range row {
		r.Profile.Signals = append(r.Profile.Signals, telemetry.Signal{Name: fmt.Sprint("s", i), Type: telemetry.Integer})
		row[i] = telemetry.IntegerValue(-1)
	}
	const last = (1<<42 - 1) * milli
	for i := range int64(20) {
		r.Append(last-(20-i)*milli+999_999, 1<<15-1, row)
	}
	h := sparkplug.Header{Epoch: epochA, Position: 1<<63 - 2, Session: math.MaxUint64, SentBoot: -1}
	b := sparkplug.AppendRecord(nil, h, r, 1<<28-telemetry.MaxSignals, math.MaxUint64, 255, true)
	bound := sparkplug.RecordBound(r.Len(), telemetry.MaxSignals)
	if len(b) > bound || len(b) < bound*98/100 {
		t.Errorf("the longest record has %d bytes, RecordBound is %d", len(b), bound)
	}
}

func TestRecordKeepsNoReference(t *testing.T) {
	want := sampleRecord()
	b := sparkplug.AppendRecord(nil, sampleHeader(), want, 9, now, 1, false)
	_, got, _, err := sparkplug.DecodeRecord(b, want.Unit, sparkplug.Layout{Profile: want.Profile, FirstAlias: 9}, sparkplug.Limits{})
	if err != nil {
		t.Fatal(err)
	}
	clear(b)
	if !reflect.DeepEqual(got, want) {
		t.Error("the record changed with the message it was read from")
	}
}

func TestDecodeRecordRefuses(t *testing.T) {
	metric := func(i int, change func(*sparkplugpb.Metric)) func(*sparkplugpb.Payload) {
		return func(p *sparkplugpb.Payload) { change(p.Metrics[i]) }
	}
	body := func(change func(*sparkplugpb.Body)) func(*sparkplugpb.Payload) {
		return func(p *sparkplugpb.Payload) {
			b := &sparkplugpb.Body{}
			if err := proto.Unmarshal(p.Body, b); err != nil {
				t.Fatal(err)
			}
			change(b)
			p.Body = marshal(t, b)
		}
	}
	tests := []struct {
		name   string
		change func(*sparkplugpb.Payload)
		is     error  // when a sentinel is wrapped
		want   string // part of the message
	}{
		{"no uuid", func(p *sparkplugpb.Payload) { p.Uuid = nil }, sparkplug.ErrForeign, ""},
		{"a loss", func(p *sparkplugpb.Payload) { p.Uuid = proto.String(sparkplug.LossUUID) }, sparkplug.ErrForeign, ""},
		{"no timestamp", func(p *sparkplugpb.Payload) { p.Timestamp = nil }, nil, "timestamp is not there"},
		{"no seq", func(p *sparkplugpb.Payload) { p.Seq = nil }, nil, "seq"},
		{"seq of 256", func(p *sparkplugpb.Payload) { p.Seq = proto.Uint64(256) }, nil, "seq"},
		{"no body", func(p *sparkplugpb.Payload) { p.Body = nil }, nil, "epoch is not there"},
		{"garbage body", func(p *sparkplugpb.Payload) { p.Body = []byte{0xff} }, nil, "malformed"},
		{"short epoch", body(func(b *sparkplugpb.Body) { b.Epoch = b.Epoch[:15] }), nil, "15 bytes, not 16"},
		{"short boot id", body(func(b *sparkplugpb.Body) { b.Boot = b.Boot[:1] }), nil, "1 bytes, not 16"},
		{"position beyond the highest", body(func(b *sparkplugpb.Body) { b.Position = proto.Uint64(1<<63 - 1) }), nil, "position"},
		{"other fingerprint", body(func(b *sparkplugpb.Body) { *b.Fingerprint++ }), sparkplug.ErrLayout, ""},
		{"run count of 64 bits", body(func(b *sparkplugpb.Body) { b.RunCount = proto.Uint64(1 << 63) }), nil, "run count"},
		{"time quality of 5 bits", body(func(b *sparkplugpb.Body) { b.TimeQuality = proto.Uint32(16) }), nil, "time quality"},
		{"long reason", body(func(b *sparkplugpb.Body) { b.EndReason = proto.String(strings.Repeat("x", 257)) }), sparkplug.ErrLimit, ""},
		{"a metric fewer in the last row", body(func(b *sparkplugpb.Body) { b.RowLen[3] = 3 }), nil, "more metrics than the rows have"},
		{"a metric more in the last row", body(func(b *sparkplugpb.Body) { b.RowLen = append(b.RowLen, 1) }), nil, "not all there"},
		{"an empty row", body(func(b *sparkplugpb.Body) { b.RowLen[2] = 0 }), nil, "from 1 to 4"},
		{"a row of too many", body(func(b *sparkplugpb.Body) { b.RowLen[2] = 5 }), nil, "from 1 to 4"},
		{"no rows", body(func(b *sparkplugpb.Body) { b.RowLen = nil }), nil, "more metrics than the rows have"},
		{"neither rows nor end", func(p *sparkplugpb.Payload) {
			p.Metrics = nil
			body(func(b *sparkplugpb.Body) { b.RowLen, b.EndTime, b.Quality, b.SubMsNs = nil, nil, nil, nil })(p)
		}, nil, "neither a row nor an end"},
		{"too many rows", body(func(b *sparkplugpb.Body) { b.RowLen = make([]uint32, telemetry.MaxRows+1) }), sparkplug.ErrLimit, ""},
		{"a quality fewer", body(func(b *sparkplugpb.Body) { b.Quality = b.Quality[:3] }), nil, "quality"},
		{"a quality more", body(func(b *sparkplugpb.Body) { b.Quality = append(b.Quality, 0) }), nil, "more qualities"},
		{"quality beyond smallint", body(func(b *sparkplugpb.Body) { b.Quality[0] = 1 << 15 }), nil, "quality"},
		{"a sub-millisecond fewer", body(func(b *sparkplugpb.Body) { b.SubMsNs = b.SubMsNs[:3] }), nil, "below a millisecond"},
		{"a sub-millisecond more", body(func(b *sparkplugpb.Body) { b.SubMsNs = append(b.SubMsNs, 0) }), nil, "more times"},
		{"a whole millisecond below one", body(func(b *sparkplugpb.Body) { b.SubMsNs[0] = 1e6 }), nil, "below a millisecond"},
		{"partly historical", metric(5, func(m *sparkplugpb.Metric) { m.IsHistorical = proto.Bool(true) }), nil, "partly historical"},
		{"two times in a row", metric(1, func(m *sparkplugpb.Metric) { m.Timestamp = proto.Uint64(now + 1) }), nil, "one timestamp"},
		{"no time", metric(0, func(m *sparkplugpb.Metric) { m.Timestamp = nil }), nil, "one timestamp"},
		{"time beyond ns", metric(6, func(m *sparkplugpb.Metric) { m.Timestamp = proto.Uint64(1 << 62) }), nil, "out of range"},
		{"two rows of one time", metric(6, func(m *sparkplugpb.Metric) { m.Timestamp = proto.Uint64(now + 1) }), nil, "later millisecond"},
		{"alias twice", metric(1, func(m *sparkplugpb.Metric) { m.Alias = proto.Uint64(300) }), nil, "out of order"},
		{"alias before the first", metric(0, func(m *sparkplugpb.Metric) { m.Alias = proto.Uint64(299) }), nil, "of no signal"},
		{"alias behind the last", metric(3, func(m *sparkplugpb.Metric) { m.Alias = proto.Uint64(304) }), nil, "of no signal"},
		{"value of another type", metric(0, func(m *sparkplugpb.Metric) {
			m.Value = &sparkplugpb.Metric_FloatValue{FloatValue: 1}
		}), nil, "not of type double"},
		{"neither value nor null", metric(0, func(m *sparkplugpb.Metric) { m.Value = nil }), nil, "not of type double"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			r := sampleRecord()
			p := recordMessage(r, sampleHeader(), 300, false)
			tt.change(p)
			layout := sparkplug.Layout{Profile: r.Profile, FirstAlias: 300}
			_, got, _, err := sparkplug.DecodeRecord(marshal(t, p), r.Unit, layout, sparkplug.Limits{})
			if err == nil || tt.is != nil && !errors.Is(err, tt.is) || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("DecodeRecord = %v, %v; want an error with %q", got, err, fmt.Sprint(tt.is, tt.want))
			}
			if tt.is == nil && (errors.Is(err, sparkplug.ErrForeign) || errors.Is(err, sparkplug.ErrLayout)) {
				t.Errorf("the error %v sends the collector the wrong way", err)
			}
		})
	}
}

func TestDecodeRecordRefusesDamage(t *testing.T) {
	r := sampleRecord()
	layout := sparkplug.Layout{Profile: r.Profile, FirstAlias: 300}
	b := sparkplug.AppendRecord(nil, sampleHeader(), r, 300, now, 1, false)
	for n := range b {
		if _, got, _, err := sparkplug.DecodeRecord(b[:n], r.Unit, layout, sparkplug.Limits{}); err == nil {
			t.Errorf("cut off at %d of %d it reads as %+v", n, len(b), got)
		}
	}
	behind := append(b[:len(b):len(b)], sparkplug.AppendUnitDeath(nil, now+9, 2)...)
	env, err := sparkplug.Peek(behind)
	if err != nil || env.Timestamp != now || env.Seq != 1 {
		t.Errorf("a timestamp and seq behind the metrics: Peek = %+v, %v; want the first ones", env, err)
	}
	front := append(sparkplug.AppendUnitDeath(nil, now, 1), b...)
	if _, _, _, err := sparkplug.DecodeRecord(front, r.Unit, layout, sparkplug.Limits{}); err == nil {
		t.Error("a timestamp and seq that come twice are taken")
	}
	if _, _, _, err := sparkplug.DecodeRecord(b, "a/b", layout, sparkplug.Limits{}); err == nil {
		t.Error("a malformed unit id is taken")
	}
}

func TestDecodeRecordLimits(t *testing.T) {
	r := sampleRecord()
	layout := sparkplug.Layout{Profile: r.Profile, FirstAlias: 300}
	b := sparkplug.AppendRecord(nil, sampleHeader(), r, 300, now, 1, false)
	for name, lim := range map[string]sparkplug.Limits{
		"message": {Message: len(b) - 1},
		"values":  {Values: 15},
	} {
		if _, _, _, err := sparkplug.DecodeRecord(b, r.Unit, layout, lim); !errors.Is(err, sparkplug.ErrLimit) {
			t.Errorf("%s: %v, want ErrLimit", name, err)
		}
	}
	exact := sparkplug.Limits{Message: len(b), Values: 16}
	if _, _, _, err := sparkplug.DecodeRecord(b, r.Unit, layout, exact); err != nil {
		t.Errorf("at its limits: %v", err)
	}
}

// TestDecodeRecordNeedsAnAlias: a metric without one is not that of alias 0.
func TestDecodeRecordNeedsAnAlias(t *testing.T) {
	r := sampleRecord()
	for _, without := range []bool{false, true} {
		p := recordMessage(r, sampleHeader(), 0, false)
		if without {
			p.Metrics[0].Alias = nil
		}
		_, _, _, err := sparkplug.DecodeRecord(marshal(t, p), r.Unit, sparkplug.Layout{Profile: r.Profile}, sparkplug.Limits{})
		if without != (err != nil) || err != nil && !strings.Contains(err.Error(), "no alias") {
			t.Errorf("without: %v, error: %v", without, err)
		}
	}
}

// TestDecodeRecordMemoryIsBounded sends the worst amplifiers there are: many rows of
// one metric each, for a profile of many signals, and rows without their metrics.
func TestDecodeRecordMemoryIsBounded(t *testing.T) {
	p := wide(telemetry.MaxSignals)
	message := func(rows int) []byte {
		r := &telemetry.Record{Unit: "u", Profile: p}
		row := make([]telemetry.Value, len(p.Signals))
		row[0] = telemetry.DoubleValue(1)
		for i := range rows {
			r.Append(int64(i)*milli, 0, row)
		}
		return sparkplug.AppendRecord(nil, sampleHeader(), r, 1, now, 1, false)
	}
	bare := generated(t, message(2000))
	bare.Metrics = bare.Metrics[:1]
	mustCostLittle(t, p, message(telemetry.MaxRows), sparkplug.ErrLimit.Error())
	mustCostLittle(t, p, marshal(t, bare), "not all there")
}

// mustCostLittle: b is refused with an error that says want, before much memory is given to it.
func mustCostLittle(t *testing.T, p *telemetry.Profile, b []byte, want string) {
	t.Helper()
	layout := sparkplug.Layout{Profile: p, FirstAlias: 1}
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	_, _, _, err := sparkplug.DecodeRecord(b, "u", layout, sparkplug.Limits{})
	runtime.ReadMemStats(&after)
	if err == nil || !strings.Contains(err.Error(), want) {
		t.Errorf("%v, want an error with %q", err, want)
	}
	allocated := after.TotalAlloc - before.TotalAlloc
	if allocated > 64<<10 {
		t.Errorf("%d bytes allocated before a message of %d bytes was refused", allocated, len(b))
	}
}
