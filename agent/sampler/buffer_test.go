package sampler_test

import (
	"context"
	"errors"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strconv"
	"testing"
	"time"

	"andon.internal/agent/buffer"
	"andon.internal/agent/record"
	"andon.internal/agent/sampler"
	"andon.internal/agent/source/replay"
	"andon.internal/agent/source/replay/replaytest"
	"andon.internal/shared/ranges"
	"andon.internal/shared/telemetry"
)

// real is the real buffer as a sampler sees it.
type real struct{ *buffer.Buffer }

func (r real) Append(name string, items []sampler.Item, cursor []byte) error {
	list := make([]buffer.Item, len(items))
	for i, it := range items {
		list[i] = buffer.Item{Data: it.Data, Label: it.Unit, Rows: it.Rows, First: it.First, Last: it.Last}
	}
	var c *buffer.Cursor
	if cursor != nil {
		c = &buffer.Cursor{Name: name, Data: cursor}
	}
	_, err := r.Buffer.Append(list, c)
	if errors.Is(err, buffer.ErrFull) {
		err = errors.Join(sampler.ErrFull, err)
	}
	return err
}

func openBuffer(t *testing.T, o buffer.Options) *buffer.Buffer {
	t.Helper()
	b, err := buffer.Open(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { b.Close() })
	return b
}

// held decodes the records that a buffer gives out, and acknowledges them where asked.
func held(t *testing.T, b *buffer.Buffer, after *buffer.Key, f func(buffer.Stored, *telemetry.Record)) *buffer.Key {
	t.Helper()
	profile := replaytest.Turbofan(t)
	for {
		st, ok, err := b.Next(buffer.Backlog, after)
		if err != nil {
			t.Fatal(err)
		}
		if !ok {
			return after
		}
		if st.Class != buffer.Bulk {
			t.Fatalf("position %d is of class %v", st.Position, st.Class)
		}
		r, err := record.Decode(st.Data, func(uint64) *telemetry.Profile { return profile })
		if err != nil {
			t.Fatal(err)
		}
		f(st, r)
		after = &st.Key
	}
}

// copyFolder copies what a power cut or a kill would leave of a folder.
func copyFolder(t *testing.T, from, to string) {
	t.Helper()
	if err := os.CopyFS(to, os.DirFS(from)); err != nil {
		t.Fatal(err)
	}
}

// TestRealBufferCrashes kills the agent again and again: the next one opens a copy of
// the disk that was made while the last one ran. In the end the disk has every line
// exactly once.
func TestRealBufferCrashes(t *testing.T) {
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	rng := rand.New(rand.NewPCG(seed, 2))
	start := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	cfg := replay.Config{
		File: replaytest.File(t, replaytest.Train), Profile: replaytest.Turbofan(t),
		UnitPrefix: "engine-", Start: start, Speed: 200,
	}
	folder := func(n int) string { return filepath.Join(t.TempDir(), strconv.Itoa(n)) }
	disk, starts := folder(0), 0
	for ended := false; !ended; starts++ {
		b := openBuffer(t, buffer.Options{Dir: filepath.Join(disk, "buffer")})
		left := 1 + rng.IntN(12)
		if starts >= 15 {
			left = 1 << 30
		}
		ended = live(t, cfg, filepath.Join(disk, "state.db"), &mortal{Buffer: real{b}, left: left, after: rng.IntN(2) == 0})
		if !ended {
			next := folder(starts + 1)
			copyFolder(t, disk, next)
			disk = next
		}
		if err := b.Close(); err != nil {
			t.Fatal(err)
		}
	}
	var records []*telemetry.Record
	b := openBuffer(t, buffer.Options{Dir: filepath.Join(disk, "buffer")})
	held(t, b, nil, func(_ buffer.Stored, r *telemetry.Record) { records = append(records, r) })
	t.Logf("%d starts, %d records", starts, len(records))
	checkReplayed(t, records, replaytest.Read(t, cfg.File), start)
}

// TestRealBufferFull replays a file through a buffer that is too small for it, while
// records are acknowledged: the source waits, and nothing is dropped.
func TestRealBufferFull(t *testing.T) {
	start := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	lines := replaytest.Generate(9, 60, 900, 1000)
	path := filepath.Join(t.TempDir(), "engines.txt")
	replaytest.Write(t, path, lines)
	options := buffer.Options{Dir: t.TempDir(), MaxDisk: 2 << 20, MaxMemory: 1 << 20}
	b := openBuffer(t, options)
	src, err := replay.New(replay.Config{File: path, Profile: replaytest.Turbofan(t), UnitPrefix: "engine-", Start: start})
	if err != nil {
		t.Fatal(err)
	}
	sm, err := sampler.New(config(), src, real{b}, newRoster(t))
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	done := make(chan error, 1)
	go func() { done <- sm.Run(ctx) }()

	var records []*telemetry.Record
	var after *buffer.Key
	full, running := false, true
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for running {
		select {
		case err := <-done:
			if err != nil || !sm.State().Ended {
				t.Fatalf("run gave %v; %+v, %+v", err, sm.State(), b.Stats())
			}
			running = false
		case <-tick.C:
		}
		if !b.Stats().Full {
			continue
		}
		full = true
		after = held(t, b, after, func(st buffer.Stored, r *telemetry.Record) {
			records = append(records, r)
			if err := b.Ack(st.Epoch, ranges.Of(ranges.Range{From: st.Position, To: st.Position + 1})); err != nil {
				t.Fatal(err)
			}
		})
	}
	if !full {
		t.Error("the buffer was never full")
	}
	// The rest is on disk at the latest when the buffer is closed.
	if err := b.Close(); err != nil {
		t.Fatal(err)
	}
	held(t, openBuffer(t, options), nil, func(_ buffer.Stored, r *telemetry.Record) { records = append(records, r) })
	checkReplayed(t, records, lines, start)
}
