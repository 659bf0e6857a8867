package buffer_test

import (
	"context"
	"errors"
	"slices"
	"sync"
	"testing"
	"time"

	"andon.internal/agent/buffer"
)

// BenchmarkAppendWhileLookedAt measures one append, alone and while another reads all
// records again and again. The pause between two is that of a cell with much to do.
func BenchmarkAppendWhileLookedAt(b *testing.B) {
	for name, readers := range map[string]int{"alone": 0, "looked-at": 1} {
		b.Run(name, func(b *testing.B) {
			buf := open(b, buffer.Options{Dir: b.TempDir()})
			defer func() { _ = buf.Close() }() // looked at no more
			for i := range 20_000 {
				if _, err := buf.Append([]buffer.Item{{Data: payload(i, 1000), Rows: 10}}, nil); err != nil {
					b.Fatal(err)
				}
			}
			written(b, buf)
			ctx, cancel := context.WithCancel(context.Background())
			var all sync.WaitGroup
			for range readers {
				all.Go(func() {
					for ctx.Err() == nil {
						if err := buf.Peek(ctx, func(buffer.Found) error { return nil }); err != nil && !errors.Is(err, context.Canceled) {
							b.Error(err)
						}
					}
				})
			}
			var took []time.Duration
			for b.Loop() {
				time.Sleep(500 * time.Microsecond)
				begin := time.Now()
				if _, err := buf.Append([]buffer.Item{{Data: payload(1, 1000), Rows: 10}}, nil); err != nil {
					b.Fatal(err)
				}
				took = append(took, time.Since(begin))
			}
			cancel()
			all.Wait()
			slices.Sort(took)
			b.ReportMetric(float64(took[len(took)/2].Microseconds()), "µs/p50")
			b.ReportMetric(float64(took[len(took)*99/100].Microseconds()), "µs/p99")
		})
	}
}
