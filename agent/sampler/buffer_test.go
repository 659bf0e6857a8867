package sampler_test

import (
	"bytes"
	"context"
	"errors"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
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

// held decodes the records that a buffer gives out behind after, passes them to f, and
// returns the key of the last.
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

// childVariable makes the test's binary an agent that samples one file: it names the
// folder of the agent's data and the file.
const childVariable = "ANDON_SAMPLER_CHILD"

// childConfig is the replay of such an agent.
func childConfig(t *testing.T, file string) replay.Config {
	return replay.Config{
		File: file, Profile: replaytest.Turbofan(t), UnitPrefix: "engine-", Start: childStart, Speed: 200,
	}
}

var childStart = time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)

// TestChild is not a test but the agent that TestRealBufferKilled kills.
func TestChild(t *testing.T) {
	disk, file, ok := strings.Cut(os.Getenv(childVariable), "|")
	if !ok {
		return
	}
	b := openBuffer(t, buffer.Options{Dir: filepath.Join(disk, "buffer")})
	if !live(t, childConfig(t, file), filepath.Join(disk, "state.db"), &mortal{Buffer: real{b}, left: 1 << 30}) {
		t.Error("the source did not end")
	}
	if err := b.Close(); err != nil {
		t.Error(err)
	}
}

// TestRealBufferKilled kills an agent with SIGKILL again and again, until one comes
// through. In the end the disk has every line exactly once.
func TestRealBufferKilled(t *testing.T) {
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	rng := rand.New(rand.NewPCG(seed, 2))
	disk, file := t.TempDir(), replaytest.File(t, replaytest.Train)
	starts := 0
	for ended := false; !ended; starts++ {
		agent := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestChild$")
		agent.Env = append(os.Environ(), childVariable+"="+disk+"|"+file)
		var out bytes.Buffer
		agent.Stdout, agent.Stderr = &out, &out
		if err := agent.Start(); err != nil {
			t.Fatal(err)
		}
		if starts < 12 {
			timer := time.AfterFunc(time.Duration(rng.IntN(300))*time.Millisecond, func() { agent.Process.Kill() })
			defer timer.Stop()
		}
		err := agent.Wait()
		if ended = err == nil; !ended && agent.ProcessState.ExitCode() >= 0 {
			t.Fatalf("start %d: %v\n%s", starts, err, &out)
		}
	}
	var records []*telemetry.Record
	b := openBuffer(t, buffer.Options{Dir: filepath.Join(disk, "buffer")})
	held(t, b, nil, func(_ buffer.Stored, r *telemetry.Record) { records = append(records, r) })
	t.Logf("%d starts, %d records", starts, len(records))
	checkReplayed(t, records, replaytest.Read(t, file), childStart)
}

// TestRealBufferFull replays a file through a buffer that is too small for it, while
// records are acknowledged: the source waits, and nothing is dropped.
func TestRealBufferFull(t *testing.T) {
	start := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	lines := replaytest.Generate(9, 60, 2500, 2600)
	path := filepath.Join(t.TempDir(), "engines.txt")
	replaytest.Write(t, path, lines)
	options := buffer.Options{Dir: t.TempDir(), MaxDisk: 8 << 20}
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
