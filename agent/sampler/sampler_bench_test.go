package sampler_test

import (
	"path/filepath"
	"testing"

	"andon.internal/agent/roster"
	"andon.internal/agent/sampler"
	"andon.internal/agent/source/replay"
	"andon.internal/agent/source/replay/replaytest"
	"andon.internal/agent/state"
)

// discard is a buffer that keeps nothing.
type discard struct {
	memory
	bytes int
}

func (d *discard) Append(_ string, items []sampler.Item, _ []byte) error {
	for _, it := range items {
		d.bytes += len(it.Data)
	}
	return nil
}

// BenchmarkSampler gives readings a second from a C-MAPSS file to encoded records,
// opening the file included.
func BenchmarkSampler(b *testing.B) {
	kv, err := state.Open(filepath.Join(b.TempDir(), "state.db"))
	if err != nil {
		b.Fatal(err)
	}
	defer kv.Close()
	ros, err := roster.Open(kv, roster.Options{})
	if err != nil {
		b.Fatal(err)
	}
	path := replaytest.File(b, replaytest.Train)
	lines := len(replaytest.Read(b, path))
	buf := &discard{}
	b.ReportAllocs()
	for b.Loop() {
		src, err := replay.New(replay.Config{File: path, Profile: replaytest.Turbofan(b)})
		if err != nil {
			b.Fatal(err)
		}
		c := config()
		sm, err := sampler.New(c, src, buf, ros)
		if err != nil {
			b.Fatal(err)
		}
		if err := sm.Run(b.Context()); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(b.N*lines)/b.Elapsed().Seconds(), "readings/s")
	b.ReportMetric(float64(buf.bytes)/float64(b.N*lines), "B/reading")
}
