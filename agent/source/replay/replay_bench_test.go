package replay_test

import (
	"io"
	"slices"
	"testing"

	"andon.internal/agent/source"
	"andon.internal/agent/source/replay"
	"andon.internal/agent/source/replay/replaytest"
)

// BenchmarkReplay reads a file as fast as can be: lines a second of opening it (one
// pass that checks every line), of delivering, and of going on near its end.
func BenchmarkReplay(b *testing.B) {
	grouped := replaytest.Read(b, replaytest.File(b, replaytest.Train))
	byCycle := slices.Clone(grouped)
	slices.SortStableFunc(byCycle, func(x, y replaytest.Line) int { return x.Cycle - y.Cycle })
	for name, lines := range map[string][]replaytest.Line{"grouped": grouped, "interleaved": byCycle} {
		cfg := replay.Config{File: cmapssFile(b, lines), Profile: replaytest.Turbofan(b), Start: start}
		s := newSource(b, cfg)
		defer s.Close()
		var nearEnd []byte
		report := func(b *testing.B) {
			b.ReportMetric(float64(b.N*len(lines))/b.Elapsed().Seconds(), "lines/s")
			b.ReportMetric(0, "ns/op")
		}
		b.Run("open/"+name, func(b *testing.B) {
			for b.Loop() {
				if err := s.Open(b.Context(), source.Resume{}); err != nil {
					b.Fatal(err)
				}
			}
			report(b)
		})
		b.Run("read/"+name, func(b *testing.B) {
			b.ReportAllocs()
			var batch source.Batch
			for b.Loop() {
				b.StopTimer()
				if err := s.Open(b.Context(), source.Resume{}); err != nil {
					b.Fatal(err)
				}
				b.StartTimer()
				for {
					batch.Reset()
					if err := s.Read(b.Context(), &batch); err == io.EOF {
						break
					} else if err != nil {
						b.Fatal(err)
					}
					nearEnd = append(nearEnd[:0], batch.Cursor...)
				}
			}
			report(b)
		})
		b.Run("resume/"+name, func(b *testing.B) {
			for b.Loop() {
				if err := s.Open(b.Context(), source.Resume{Cursor: nearEnd}); err != nil {
					b.Fatal(err)
				}
			}
			report(b)
		})
	}
}
