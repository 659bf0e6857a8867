package sparkplug_test

import (
	"math/rand/v2"
	"testing"

	"google.golang.org/protobuf/proto"

	"andon.internal/shared/sparkplug"
	"andon.internal/shared/sparkplug/internal/sparkplugpb"
	"andon.internal/shared/telemetry"
)

const benchRows, benchSignals = 200, 24

// benchRecord is a record as under load: doubles, a reading every 10 ms.
func benchRecord() *telemetry.Record {
	rnd := rand.New(rand.NewPCG(1, 2))
	r := &telemetry.Record{Unit: "engine-1", Profile: wide(benchSignals), Born: now * milli}
	row := make([]telemetry.Value, benchSignals)
	for i := range benchRows {
		for k := range row {
			row[k] = telemetry.DoubleValue(500 * rnd.Float64())
		}
		r.Append((now+10*int64(i))*milli, 0, row)
	}
	return r
}

// perRow reports the time of a row, which the design's figures are in.
func perRow(b *testing.B, size int) {
	b.SetBytes(int64(size))
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/benchRows, "ns/row")
	b.ReportMetric(float64(size)/benchRows, "B/row")
}

func BenchmarkAppendRecord(b *testing.B) {
	r, h := benchRecord(), sampleHeader()
	var dst []byte
	b.ReportAllocs()
	for b.Loop() {
		dst = sparkplug.AppendRecord(dst[:0], h, r, 1000, now, 7, false)
	}
	perRow(b, len(dst))
}

func BenchmarkDecodeRecord(b *testing.B) {
	r := benchRecord()
	msg := sparkplug.AppendRecord(nil, sampleHeader(), r, 1000, now, 7, false)
	layout := sparkplug.Layout{Profile: r.Profile, FirstAlias: 1000}
	b.ReportAllocs()
	for b.Loop() {
		if _, _, _, err := sparkplug.DecodeRecord(msg, r.Unit, layout, sparkplug.Limits{}); err != nil {
			b.Fatal(err)
		}
	}
	perRow(b, len(msg))
}

func BenchmarkPeek(b *testing.B) {
	msg := sparkplug.AppendRecord(nil, sampleHeader(), benchRecord(), 1000, now, 7, false)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := sparkplug.Peek(msg); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkDecodePayload(b *testing.B) {
	msg := sparkplug.AppendRecord(nil, sampleHeader(), benchRecord(), 1000, now, 7, false)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := sparkplug.Decode(msg, sparkplug.Limits{}); err != nil {
			b.Fatal(err)
		}
	}
	perRow(b, len(msg))
}

// BenchmarkGenerated is the yardstick: the same message with generated code.
func BenchmarkGenerated(b *testing.B) {
	msg := sparkplug.AppendRecord(nil, sampleHeader(), benchRecord(), 1000, now, 7, false)
	r := benchRecord()
	b.Run("encode", func(b *testing.B) {
		var dst []byte
		b.ReportAllocs()
		for b.Loop() {
			p := &sparkplugpb.Payload{Timestamp: proto.Uint64(now), Seq: proto.Uint64(7)}
			for i, at := range r.Times {
				p.Metrics = append(p.Metrics, rowMetrics(r.Row(i), uint64(at/milli), 1000, false)...)
			}
			var err error
			if dst, err = (proto.MarshalOptions{}).MarshalAppend(dst[:0], p); err != nil {
				b.Fatal(err)
			}
		}
		perRow(b, len(dst))
	})
	b.Run("decode", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			if err := proto.Unmarshal(msg, &sparkplugpb.Payload{}); err != nil {
				b.Fatal(err)
			}
		}
		perRow(b, len(msg))
	})
}
