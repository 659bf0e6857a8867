package record_test

import (
	"fmt"
	"testing"

	"github.com/klauspost/compress/s2"
	"github.com/klauspost/compress/zstd"

	"andon.internal/agent/record"
	"andon.internal/agent/source/replay/replaytest"
	"andon.internal/shared/telemetry"
)

// cmapssRecords cuts the C-MAPSS file into records of rows readings.
func cmapssRecords(tb testing.TB, rows int) (records []*telemetry.Record, readings int) {
	p := replaytest.Turbofan(tb)
	var r *telemetry.Record
	for _, l := range replaytest.Read(tb, replaytest.File(tb, replaytest.Train)) {
		unit := fmt.Sprintf("engine-%d", l.Engine)
		if r == nil || r.Unit != unit || r.Len() == rows {
			r = &telemetry.Record{
				Unit: unit, Profile: p, Born: 1767323045e9, Count: uint64(l.Cycle),
				Clock: telemetry.Clock{Boot: [16]byte{1}, Offset: 1767000000e9},
			}
			records = append(records, r)
		}
		values := make([]telemetry.Value, len(l.Values))
		for i, v := range l.Values {
			values[i] = telemetry.DoubleValue(v)
		}
		r.Append(1767323045e9+int64(l.Cycle)*1e9, telemetry.Quality(0).WithTime(telemetry.TimeSource), values)
		readings++
	}
	return records, readings
}

// BenchmarkCMAPSS gives ns a row, and bytes a row as encoded and as compressed.
func BenchmarkCMAPSS(b *testing.B) {
	for _, rows := range []int{1, 40, 200} {
		records, readings := cmapssRecords(b, rows)
		var encoded [][]byte
		for _, r := range records {
			encoded = append(encoded, record.Append(nil, r))
		}
		b.Run(fmt.Sprintf("append/rows=%d", rows), func(b *testing.B) {
			b.ReportAllocs()
			var buf []byte
			size := 0
			for b.Loop() {
				size = 0
				for _, r := range records {
					buf = record.Append(buf[:0], r)
					size += len(buf)
				}
			}
			report(b, readings, size)
		})
		b.Run(fmt.Sprintf("decode/rows=%d", rows), func(b *testing.B) {
			b.ReportAllocs()
			find := lookup(records[0].Profile)
			fixed := func(uint64) *telemetry.Profile { return records[0].Profile }
			if _, err := record.Decode(encoded[0], find); err != nil {
				b.Fatal(err)
			}
			for b.Loop() {
				for _, e := range encoded {
					if _, err := record.Decode(e, fixed); err != nil {
						b.Fatal(err)
					}
				}
			}
			report(b, readings, 0)
		})
		benchmarkCompression(b, rows, encoded, readings)
	}
}

func benchmarkCompression(b *testing.B, rows int, encoded [][]byte, readings int) {
	z, err := zstd.NewWriter(nil, zstd.WithEncoderLevel(zstd.SpeedFastest), zstd.WithEncoderConcurrency(1))
	if err != nil {
		b.Fatal(err)
	}
	defer z.Close()
	codecs := map[string]func(dst, src []byte) []byte{
		"zstd": func(dst, src []byte) []byte { return z.EncodeAll(src, dst[:0]) },
		"s2":   func(dst, src []byte) []byte { return s2.Encode(dst[:cap(dst)], src) },
	}
	for name, compress := range codecs {
		b.Run(fmt.Sprintf("%s/rows=%d", name, rows), func(b *testing.B) {
			buf := make([]byte, 1<<20)
			size := 0
			for b.Loop() {
				size = 0
				for _, e := range encoded {
					size += len(compress(buf, e))
				}
			}
			report(b, readings, size)
		})
	}
}

func report(b *testing.B, readings, size int) {
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*readings), "ns/row")
	if size > 0 {
		b.ReportMetric(float64(size)/float64(readings), "B/row")
	}
	b.ReportMetric(0, "ns/op")
}
