// Package bench measures the buffer on a disk: how much it makes durable in a second,
// beside a plain file that gets the same batches, and how many bytes it has the disk write
// for each that it stores. It stands beside the flow, and is for whoever chooses a card or
// wants to know what one that is there can bear.
//
// It writes only into a folder of its own below the one that it is given, and removes it.
package bench

import (
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"time"

	"andon.internal/agent/buffer"
)

// Options of the measurement.
type Options struct {
	Dir   string // on the disk that is measured; it must exist
	Short bool   // a fraction of the work: to see that it runs, not to quote
}

// Targets, by which figures are judged.
const (
	SpeedTarget         = 0.70 // of what the plain file makes durable
	AmplificationTarget = 1.70 // bytes written to the disk for each that is stored
)

// Report holds the figures.
type Report struct {
	Short  bool    `json:"short"`
	Speeds []Speed `json:"speeds"`
	Wears  []Wear  `json:"wears"`
}

// Run measures. The folder must have room for 2 GiB.
func Run(ctx context.Context, o Options) (_ *Report, err error) {
	dir, err := os.MkdirTemp(o.Dir, "andon-bench-")
	if err != nil {
		return nil, fmt.Errorf("measure the buffer: %w", err)
	}
	defer os.RemoveAll(dir)
	r := &Report{Short: o.Short}
	if r.Speeds, err = speeds(ctx, dir, o.Short); err != nil {
		return nil, fmt.Errorf("measure what is durable in a second: %w", err)
	}
	if r.Wears, err = wears(ctx, dir, o.Short); err != nil {
		return nil, fmt.Errorf("measure what is written: %w", err)
	}
	return r, nil
}

// batchOf returns n records of noise, which nothing compresses: so the bytes on both sides
// are the same.
func batchOf(n, size int) []buffer.Item {
	noise := rand.NewChaCha8([32]byte{1})
	items := make([]buffer.Item, n)
	for i := range items {
		data := make([]byte, size)
		_, _ = io.ReadFull(noise, data) // never fails
		items[i] = buffer.Item{Data: data, Label: "dyno-01", Rows: 1, First: 1, Last: 1}
	}
	return items
}

// openBuffer opens a new buffer that is large enough for all that is measured.
func openBuffer(dir, name string, o buffer.Options) (*buffer.Buffer, error) {
	o.Dir, o.MaxDisk, o.RotateBytes = filepath.Join(dir, name), 16<<30, 64<<20
	return buffer.Open(o)
}

// discard removes what was measured, and waits until the file system has noted that, so
// that what is measured next does not pay for it.
func discard(dir, name string) error {
	if err := os.RemoveAll(filepath.Join(dir, name)); err != nil {
		return err
	}
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	defer d.Close()
	return d.Sync()
}

// awaitDisk returns when all that was appended is on disk. A signal comes with every write
// of records that are given out only then, and else it looks now and then.
func awaitDisk(ctx context.Context, b *buffer.Buffer) error {
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for b.Stats().Unwritten > 0 {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-b.Changed():
		case <-tick.C:
		}
	}
	return nil
}

func median(x []float64) float64 {
	x = slices.Sorted(slices.Values(x))
	if n := len(x); n%2 == 0 {
		return (x[n/2-1] + x[n/2]) / 2
	}
	return x[len(x)/2]
}
