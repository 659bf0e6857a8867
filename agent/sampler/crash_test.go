package sampler_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"time"

	"andon.internal/agent/sampler"
	"andon.internal/agent/source/replay"
	"andon.internal/agent/source/replay/replaytest"
	"andon.internal/agent/state"
	"andon.internal/shared/telemetry"
)

// mortal is a buffer that dies with the sampler's process: at a chosen append, before
// or after it is durable, the sampler is stopped, and nothing comes through any more.
type mortal struct {
	sampler.Buffer
	kill func()

	mu    sync.Mutex
	left  int  // appends until the death
	after bool // the last one is still durable
	dead  bool
}

var errKilled = errors.New("killed")

func (m *mortal) Append(name string, items []sampler.Item, cursor []byte) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.dead {
		return errKilled
	}
	m.left--
	if m.left > 0 {
		return m.Buffer.Append(name, items, cursor)
	}
	m.dead = true
	defer m.kill()
	if !m.after {
		return errKilled
	}
	return errors.Join(m.Buffer.Append(name, items, cursor), errKilled)
}

// checkReplayed checks that the records hold every line exactly once, bit for bit,
// each engine's in one run, in order, with exact counts and one end.
func checkReplayed(t *testing.T, records []*telemetry.Record, lines []replaytest.Line, start time.Time) {
	t.Helper()
	want := map[string][]replaytest.Line{}
	for _, l := range lines {
		unit := fmt.Sprintf("engine-%d", l.Engine)
		want[unit] = append(want[unit], l)
	}
	done, born, ended := map[string]int{}, map[string]int64{}, map[string]bool{}
	for _, r := range records {
		if r.Len() == 0 && r.Count == 0 && r.End.Reason == "interrupted" {
			continue // announced by an agent that died before its first append
		}
		if b, ok := born[r.Unit]; ok && b != r.Born {
			t.Fatalf("%s has runs born at %d and %d", r.Unit, b, r.Born)
		}
		born[r.Unit] = r.Born
		if ended[r.Unit] {
			t.Fatalf("%s has a record behind its end", r.Unit)
		}
		if r.Count != uint64(done[r.Unit]) {
			t.Fatalf("%s: a record says that it stands behind %d readings, it stands behind %d", r.Unit, r.Count, done[r.Unit])
		}
		for i := range r.Times {
			if done[r.Unit] == len(want[r.Unit]) {
				t.Fatalf("%s has more than its %d readings", r.Unit, len(want[r.Unit]))
			}
			l := want[r.Unit][done[r.Unit]]
			done[r.Unit]++
			if at := start.Add(time.Duration(l.Cycle) * time.Second).UnixNano(); r.Times[i] != at {
				t.Fatalf("%s cycle %d is at %d, want %d", r.Unit, l.Cycle, r.Times[i], at)
			}
			for k, v := range r.Row(i) {
				if v != telemetry.DoubleValue(l.Values[k]) {
					t.Fatalf("%s cycle %d, value %d: %v, want %v", r.Unit, l.Cycle, k, v, l.Values[k])
				}
			}
		}
		ended[r.Unit] = r.End != nil
	}
	for unit, lines := range want {
		if done[unit] != len(lines) || !ended[unit] {
			t.Errorf("%s: %d of %d readings, ended %v", unit, done[unit], len(lines), ended[unit])
		}
	}
}

// TestCrashes kills the sampler at random appends, until the file is through.
func TestCrashes(t *testing.T) {
	at := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	train := replaytest.File(t, replaytest.Train)
	small := filepath.Join(t.TempDir(), "small.txt")
	replaytest.Write(t, small, replaytest.Generate(2, 30, 50, 90))
	tests := map[string]struct {
		speed float64 // of the replay
		most  int     // items that the buffer takes at once
		span  int     // appends to a kill
		start time.Time
		file  string
	}{
		"paced":                   {200, 0, 30, at, train},
		"as fast as can be":       {0, 0, 3, at, train},
		"batches stored in parts": {0, 13, 60, time.Time{}, small},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			seed := uint64(time.Now().UnixNano())
			t.Logf("seed %d", seed)
			rng := rand.New(rand.NewPCG(seed, 1))
			cfg := replay.Config{
				File: tc.file, Profile: replaytest.Turbofan(t),
				UnitPrefix: "engine-", Start: tc.start, Speed: tc.speed,
			}
			buf, stateFile := newMemory(), filepath.Join(t.TempDir(), "state.db")
			buf.most = tc.most
			starts := 0
			for ended := false; !ended; starts++ {
				left := 1 + rng.IntN(tc.span)
				if starts >= 30 {
					left = 1 << 30
				}
				ended = live(t, cfg, stateFile, &mortal{Buffer: buf, left: left, after: rng.IntN(2) == 0})
			}
			t.Logf("%d starts, %d records", starts, len(buf.items))
			records := buf.records(t, func(uint64) *telemetry.Profile { return cfg.Profile })
			if tc.start.IsZero() {
				first := slices.IndexFunc(records, func(r *telemetry.Record) bool { return r.Len() > 0 })
				tc.start = time.Unix(0, records[first].Times[0]).Add(-time.Second)
			}
			checkReplayed(t, records, replaytest.Read(t, cfg.File), tc.start)
		})
	}
}

// live runs a sampler until its source ends or it is killed.
func live(t *testing.T, cfg replay.Config, stateFile string, buf *mortal) (ended bool) {
	t.Helper()
	kv, err := state.Open(stateFile)
	if err != nil {
		t.Fatal(err)
	}
	defer kv.Close()
	src, err := replay.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	buf.kill = cancel
	sm, err := sampler.New(config(), src, buf, openRoster(t, kv))
	if err != nil {
		t.Fatal(err)
	}
	if err := sm.Run(ctx); err != nil {
		t.Fatal(err)
	}
	if !sm.State().Ended && !errors.Is(ctx.Err(), context.Canceled) {
		t.Fatalf("neither ended nor killed: %+v", sm.State())
	}
	return sm.State().Ended
}
