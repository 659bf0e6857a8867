package bench

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"syscall"
	"time"

	"andon.internal/agent/buffer"
)

// Speed is what is durable in a second. Both sides write the same batches, in turn, for
// several rounds; the rates are the medians of the rounds.
type Speed struct {
	// Stream: the records come as fast as the buffer takes them, and it makes the batches;
	// the plain file gets batches of that size. Else one batch follows the other: each is on
	// disk before the next is given.
	Stream      bool  `json:"stream"`
	RecordBytes int   `json:"record_bytes"`
	Records     int   `json:"records"` // of a batch
	Rounds      int   `json:"rounds"`
	Buffer      Rate  `json:"buffer"`
	Plain       Rate  `json:"plain"` // a file: append, fdatasync
	Ratio       Ratio `json:"ratio"` // of the buffer's rates to those of the plain file, by round
}

// Rate is what was durable in a second.
type Rate struct {
	Bytes   float64 `json:"bytes_per_s"` // of the records' data
	Records float64 `json:"records_per_s"`
}

// Ratio is how a ratio differed between rounds.
type Ratio struct {
	Median float64 `json:"median"`
	Least  float64 `json:"least"`
	Most   float64 `json:"most"`
}

// Met reports whether the buffer reaches its target.
func (s *Speed) Met() bool { return s.Ratio.Median >= SpeedTarget }

// loads are what is measured: records of 20 KB, as a file that is read at full speed makes
// them, and of 300 bytes, of which 200 units give 200 in 100 ms at 10 Hz.
var loads = []Speed{
	{Stream: true, RecordBytes: 20_000},
	{Stream: true, RecordBytes: 300},
	{RecordBytes: 20_000, Records: 100},
	{RecordBytes: 20_000, Records: 10},
	{RecordBytes: 20_000, Records: 1},
	{RecordBytes: 300, Records: 200},
}

// perRound is the most that one side writes in a round.
const perRound = 512 << 20

func speeds(ctx context.Context, dir string, short bool) ([]Speed, error) {
	rounds, lasts := 7, time.Second
	if short {
		rounds, lasts = 2, 50*time.Millisecond
	}
	out := slices.Clone(loads)
	for i := range out {
		out[i].Rounds = rounds
		if err := out[i].measure(ctx, dir, lasts); err != nil {
			return nil, err
		}
	}
	return out, nil
}

func (s *Speed) measure(ctx context.Context, dir string, lasts time.Duration) error {
	var own, plain, ratios, together []float64
	items := batchOf(max(s.Records, 64), s.RecordBytes)
	for range s.Rounds {
		n, mine, err := s.Records, 0.0, error(nil)
		if s.Stream {
			mine, n, err = streamRate(ctx, dir, items, lasts)
		} else {
			mine, err = bufferRate(ctx, dir, items[:n], lasts)
		}
		if err != nil {
			return err
		}
		file, err := plainRate(ctx, dir, repeated(items, n), lasts)
		if err != nil {
			return err
		}
		own, plain, ratios, together = append(own, mine), append(plain, file), append(ratios, mine/file), append(together, float64(n))
	}
	s.Records = int(median(together))
	s.Buffer, s.Plain = rateOf(median(own), s.RecordBytes), rateOf(median(plain), s.RecordBytes)
	s.Ratio = Ratio{median(ratios), slices.Min(ratios), slices.Max(ratios)}
	return nil
}

func rateOf(records float64, size int) Rate { return Rate{records * float64(size), records} }

// paced gives batches for as long as that lasts and returns the records a second.
func paced(ctx context.Context, items []buffer.Item, lasts time.Duration, give func() error) (float64, error) {
	size, records := 0, 0
	start := time.Now()
	for time.Since(start) < lasts && size < perRound {
		if ctx.Err() != nil {
			return 0, ctx.Err()
		}
		if err := give(); err != nil {
			return 0, err
		}
		records += len(items)
		size += len(items) * len(items[0].Data)
	}
	return float64(records) / time.Since(start).Seconds(), nil
}

func bufferRate(ctx context.Context, dir string, items []buffer.Item, lasts time.Duration) (float64, error) {
	b, err := openBuffer(dir, "buffer", buffer.Options{WriteAhead: true})
	if err != nil {
		return 0, err
	}
	rate, err := paced(ctx, items, lasts, func() error {
		if _, err := b.Append(items, nil); err != nil {
			return err
		}
		return awaitDisk(ctx, b)
	})
	if s := b.Stats(); err == nil && (s.LostRecords > 0 || s.WriteError != nil) {
		err = fmt.Errorf("the buffer lost %d records: %w", s.LostRecords, s.WriteError)
	}
	return rate, errors.Join(err, b.Close(), discard(dir, "buffer"))
}

func plainRate(ctx context.Context, dir string, items []buffer.Item, lasts time.Duration) (float64, error) {
	f, err := os.OpenFile(filepath.Join(dir, "plain"), os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o600)
	if err != nil {
		return 0, err
	}
	var batch []byte
	rate, err := paced(ctx, items, lasts, func() error {
		batch = batch[:0]
		for i := range items {
			batch = append(batch, items[i].Data...)
		}
		if _, err := f.Write(batch); err != nil {
			return err
		}
		return syscall.Fdatasync(int(f.Fd()))
	})
	return rate, errors.Join(err, f.Close(), discard(dir, "plain"))
}
