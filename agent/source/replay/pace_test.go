package replay_test

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"andon.internal/agent/source"
	"andon.internal/agent/source/replay"
	"andon.internal/agent/source/replay/replaytest"
)

// paced has two engines with readings at 1, 2, 3 s and at 2, 3, 4 s.
func paced(t *testing.T, speed float64) replay.Config {
	var lines []replaytest.Line
	for c := 1; c <= 3; c++ {
		lines = append(lines, lineOf(1, c), lineOf(2, c+1))
	}
	return replay.Config{File: cmapssFile(t, lines), Speed: speed, Start: start}
}

// batches reads until the source ends and returns, for each batch, how long after
// begin it came and what was in it.
func batches(t *testing.T, s source.Source, begin time.Time) (out []string) {
	for {
		var b source.Batch
		if s.Read(t.Context(), &b) != nil {
			return out
		}
		var events []event
		for _, e := range b.Events {
			events = append(events, event{Event: e})
		}
		out = append(out, time.Since(begin).String()+": "+story(events))
	}
}

func checkBatches(t *testing.T, got, want []string) {
	t.Helper()
	for i := range max(len(got), len(want)) {
		if i >= len(got) || i >= len(want) || got[i] != want[i] {
			t.Fatalf("batch %d differs\n got %q\nwant %q", i, got, want)
		}
	}
}

func TestPace(t *testing.T) {
	for speed, want := range map[float64][]string{
		1:   {"1s: +1 1@1", "2s: 1@2 +2 2@2", "3s: 1@3 -1 2@3", "4s: 2@4 -2"},
		10:  {"100ms: +1 1@1", "200ms: 1@2 +2 2@2", "300ms: 1@3 -1 2@3", "400ms: 2@4 -2"},
		0.5: {"2s: +1 1@1", "4s: 1@2 +2 2@2", "6s: 1@3 -1 2@3", "8s: 2@4 -2"},
		0:   {"0s: +1 1@1", "0s: 1@2 +2 2@2 1@3 -1 2@3 2@4 -2"},
	} {
		synctest.Test(t, func(t *testing.T) {
			begin := time.Now()
			checkBatches(t, batches(t, open(t, paced(t, speed), source.Resume{}), begin), want)
		})
	}
}

// TestPaceSlowReader checks that what became due meanwhile comes at once, and says
// how late it is.
func TestPaceSlowReader(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		begin := time.Now()
		s := open(t, paced(t, 1), source.Resume{})
		time.Sleep(3500 * time.Millisecond)
		var b source.Batch
		if err := s.Read(t.Context(), &b); err != nil {
			t.Fatal(err)
		}
		if err := s.Read(t.Context(), &b); err != nil {
			t.Fatal(err)
		}
		late := map[time.Duration]int{}
		for _, e := range b.Events {
			if e.Kind == source.Reading {
				late[e.Late]++
			}
		}
		if late[2500*time.Millisecond] != 1 || late[1500*time.Millisecond] != 2 || late[500*time.Millisecond] != 2 {
			t.Errorf("lateness of the readings: %v", late)
		}
		checkBatches(t, batches(t, s, begin), []string{"4s: 2@4 -2"})
	})
}

// TestPaceRestart checks that the schedule goes on while the agent is down.
func TestPaceRestart(t *testing.T) {
	tests := map[string]struct {
		down  time.Duration
		speed float64
		want  []string // behind the batch of second 1
	}{
		"short":          {500 * time.Millisecond, 1, []string{"2s: 1@2 +2 2@2", "3s: 1@3 -1 2@3", "4s: 2@4 -2"}},
		"two missed":     {2500 * time.Millisecond, 1, []string{"3.5s: 1@2 +2 2@2 1@3 -1 2@3", "4s: 2@4 -2"}},
		"all missed":     {time.Hour, 1, []string{"1h0m1s: 1@2 +2 2@2 1@3 -1 2@3 2@4 -2"}},
		"clock back":     {-30 * time.Hour, 1, []string{"2s: 1@2 +2 2@2", "3s: 1@3 -1 2@3", "4s: 2@4 -2"}},
		"another speed":  {time.Hour, 2, []string{"1h0m1.5s: 1@2 +2 2@2", "1h0m2s: 1@3 -1 2@3", "1h0m2.5s: 2@4 -2"}},
		"as fast as can": {time.Second, 0, []string{"2s: 1@2 +2 2@2 1@3 -1 2@3 2@4 -2"}},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				cfg := paced(t, 1)
				begin := time.Now()
				events, cursor := readAll(t, open(t, cfg, source.Resume{}), 1)
				if tc.down < 0 {
					// The clock of the test cannot go back: the cursor comes from the future.
					cursor = shiftWall(t, cursor, -tc.down)
				} else {
					time.Sleep(tc.down)
				}
				cfg.Speed = tc.speed
				run := source.Run{Unit: "1", Profile: replaytest.Turbofan(t), Born: events[0].Time, Count: 1}
				s := open(t, cfg, source.Resume{Cursor: cursor, Runs: []source.Run{run}})
				checkBatches(t, batches(t, s, begin), tc.want)
			})
		})
	}
}

func TestPaceCancel(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := open(t, paced(t, 1e-6), source.Resume{})
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		begin := time.Now()
		if err := s.Read(ctx, &source.Batch{}); !errors.Is(err, context.DeadlineExceeded) || time.Since(begin) != time.Minute {
			t.Errorf("got %v after %v, want the deadline after a minute", err, time.Since(begin))
		}
	})
}

// TestPaceOneInstant checks that the readings of an instant come in one batch, even
// when there are many.
func TestPaceOneInstant(t *testing.T) {
	var lines []replaytest.Line
	for e := 1; e <= 2500; e++ {
		lines = append(lines, lineOf(e, 1), lineOf(e, 1))
	}
	synctest.Test(t, func(t *testing.T) {
		s := open(t, replay.Config{File: cmapssFile(t, lines), Start: start, Speed: 1}, source.Resume{})
		var b source.Batch
		// The first line of all comes alone.
		for _, want := range []int{2, 10000 - 2} {
			b.Reset()
			if err := s.Read(t.Context(), &b); err != nil || len(b.Events) != want {
				t.Errorf("%d events, %v, want %d", len(b.Events), err, want)
			}
		}
	})
}
