package bench

import (
	"context"
	"errors"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"andon.internal/agent/buffer"
)

// streamRate gives the items as a source does that can be read again: as fast as the
// buffer takes them, which puts what has come meanwhile into one transaction. It returns
// the durable records a second, and how many records went into one transaction.
func streamRate(ctx context.Context, dir string, items []buffer.Item, lasts time.Duration) (rate float64, together int, err error) {
	reg := prometheus.NewRegistry()
	b, err := openBuffer(dir, "buffer", buffer.Options{Metrics: buffer.NewMetrics(reg)})
	if err != nil {
		return 0, 0, err
	}
	start := time.Now()
	given := 0.0
	_, err = paced(ctx, items, lasts, func() error {
		for {
			_, err := b.Append(items, &buffer.Cursor{Name: "bench", Data: []byte("1")})
			if err == nil {
				given += float64(len(items))
				return nil
			}
			if !errors.Is(err, buffer.ErrFull) {
				return err
			}
			if err := b.WaitSpace(ctx); err != nil {
				return err
			}
		}
	})
	if err == nil {
		err = awaitDisk(ctx, b)
	}
	rate = given / time.Since(start).Seconds()
	commits, cerr := commitsOf(reg)
	if cerr == nil && commits > 0 {
		together = max(1, int(given/commits+0.5))
	}
	return rate, together, errors.Join(err, cerr, b.Close(), discard(dir, "buffer"))
}

// commitsOf returns how many transactions a buffer made.
func commitsOf(reg prometheus.Gatherer) (float64, error) {
	families, err := reg.Gather()
	if err != nil {
		return 0, err
	}
	for _, f := range families {
		if f.GetName() == "andon_buffer_commit_seconds" {
			return float64(f.GetMetric()[0].GetHistogram().GetSampleCount()), nil
		}
	}
	return 0, errors.New("the buffer does not count its transactions")
}

// repeated returns n records, those of items over and over.
func repeated(items []buffer.Item, n int) []buffer.Item {
	out := make([]buffer.Item, n)
	for i := range out {
		out[i] = items[i%len(items)]
	}
	return out
}
