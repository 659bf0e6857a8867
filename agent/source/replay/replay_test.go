package replay_test

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"slices"
	"strings"
	"testing"
	"time"

	"andon.internal/agent/source"
	"andon.internal/agent/source/replay"
	"andon.internal/agent/source/replay/replaytest"
	"andon.internal/shared/telemetry"
)

// checkWhole compares events with the lines of a file: all engines merged by cycle,
// engines in order of first appearance, values bit for bit.
func checkWhole(t *testing.T, events []event, lines []replaytest.Line) {
	t.Helper()
	order := map[int]int{}
	left := map[int]int{}
	for _, l := range lines {
		if _, ok := order[l.Engine]; !ok {
			order[l.Engine] = len(order)
		}
		left[l.Engine]++
	}
	want := slices.Clone(lines)
	slices.SortStableFunc(want, func(a, b replaytest.Line) int {
		return cmp.Or(cmp.Compare(a.Cycle, b.Cycle), cmp.Compare(order[a.Engine], order[b.Engine]))
	})
	born := map[string]bool{}
	n := 0
	for i := 0; i < len(events); i++ {
		e := &events[i]
		switch e.Kind {
		case source.Birth:
			born[e.Unit] = true
			continue
		case source.Death:
			t.Fatalf("event %d: %s dies before its last line", i, e.Unit)
		}
		if n == len(want) {
			t.Fatalf("more readings than the %d lines", n)
		}
		l := want[n]
		n++
		unit := fmt.Sprintf("engine-%d", l.Engine)
		at := start.Add(time.Duration(l.Cycle) * time.Second).UnixNano()
		if e.Unit != unit || e.Time != at || !born[unit] {
			t.Fatalf("reading %d is %s at %d (born: %v), want %s at %d", n, e.Unit, e.Time, born[unit], unit, at)
		}
		for k, v := range l.Values {
			if e.values[k] != telemetry.DoubleValue(v) {
				t.Fatalf("reading %d, value %d: %v, want %v", n, k, e.values[k], v)
			}
		}
		if left[l.Engine]--; left[l.Engine] == 0 {
			if i++; i == len(events) || events[i].Kind != source.Death || events[i].Unit != unit || events[i].Reason != "finished" {
				t.Fatalf("reading %d is the last of %s, but no death follows", n, unit)
			}
			born[unit] = false
		}
	}
	if n != len(want) {
		t.Errorf("%d readings, want %d", n, len(want))
	}
}

func TestWholeFile(t *testing.T) {
	path := replaytest.File(t, replaytest.Train)
	events, _ := readAll(t, open(t, replay.Config{File: path, UnitPrefix: "engine-", Start: start}, source.Resume{}), 1<<30)
	checkWhole(t, events, replaytest.Read(t, path))
}

// TestManyEngines has more engines than fit a small window each.
func TestManyEngines(t *testing.T) {
	lines := replaytest.Generate(3, 4096, 2, 12)
	events, _ := readAll(t, open(t, replay.Config{File: cmapssFile(t, lines), UnitPrefix: "engine-", Start: start}, source.Resume{}), 1<<30)
	checkWhole(t, events, lines)
}

func TestTooManyEngines(t *testing.T) {
	file := cmapssFile(t, replaytest.Generate(3, 4097, 1, 1))
	err := newSource(t, replay.Config{File: file}).Open(t.Context(), source.Resume{})
	if !errors.Is(err, source.ErrRefused) || !strings.Contains(err.Error(), "more than 4096 units: split it") {
		t.Errorf("got %v, want a refusal", err)
	}
}

// TestShuffled has stretches of all lengths.
func TestShuffled(t *testing.T) {
	lines := replaytest.Generate(4, 40, 20, 60)
	next := map[int]int{}
	for _, l := range lines {
		next[l.Engine]++
	}
	// Take one engine after the other for a few lines each, keeping its own order.
	var mixed []replaytest.Line
	for n := 0; len(mixed) < len(lines); n++ {
		for e := 1; e <= 40; e++ {
			own := slices.DeleteFunc(slices.Clone(lines), func(l replaytest.Line) bool { return l.Engine != e })
			from := len(own) - next[e]
			take := min(next[e], (n+e)%5)
			mixed = append(mixed, own[from:from+take]...)
			next[e] -= take
		}
	}
	events, _ := readAll(t, open(t, replay.Config{File: cmapssFile(t, mixed), UnitPrefix: "engine-", Start: start}, source.Resume{}), 1<<30)
	checkWhole(t, events, mixed)
}

func TestOrder(t *testing.T) {
	tests := map[string]struct {
		lines [][2]int // engine, cycle
		want  string
	}{
		"all engines at once": {
			[][2]int{{1, 1}, {1, 2}, {2, 1}, {2, 2}, {2, 3}},
			"+1 1@1 +2 2@1 1@2 -1 2@2 2@3 -2",
		},
		"order of first appearance": {
			[][2]int{{9, 1}, {3, 1}, {3, 2}, {9, 2}},
			"+9 9@1 +3 3@1 9@2 -9 3@2 -3",
		},
		"an engine that begins later": {
			[][2]int{{1, 1}, {1, 2}, {1, 3}, {2, 3}},
			"+1 1@1 1@2 1@3 -1 +2 2@3 -2",
		},
		"cycles that repeat and go back": {
			[][2]int{{1, 2}, {1, 2}, {1, 1}, {1, 3}, {2, 2}},
			"+1 1@2 1@2 1@1 +2 2@2 -2 1@3 -1",
		},
		"gaps": {
			[][2]int{{1, 5}, {2, 1}, {1, 60}},
			"+2 2@1 -2 +1 1@5 1@1m0 -1",
		},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			var lines []replaytest.Line
			for _, l := range tc.lines {
				lines = append(lines, lineOf(l[0], l[1]))
			}
			events, _ := readAll(t, open(t, replay.Config{File: cmapssFile(t, lines), Start: start}, source.Resume{}), 1000)
			if got := story(events); got != tc.want {
				t.Errorf("got  %s\nwant %s", got, tc.want)
			}
		})
	}
}

func TestLoop(t *testing.T) {
	lines := []replaytest.Line{lineOf(1, 1), lineOf(1, 2), lineOf(2, 3)}
	events, _ := readAll(t, open(t, replay.Config{File: cmapssFile(t, lines), Start: start, Loop: true, Period: 2 * time.Second}, source.Resume{}), 21)
	want := "+1 1@2 1@4 -1 +2 2@6 -2 +1 1@8 1@10 -1 +2 2@12 -2 +1 1@14 1@16 -1 +2 2@18 -2"
	if got := story(events[:21]); got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
}

// TestLoopSwitched switches loop on behind the end, and off in the midst.
func TestLoopSwitched(t *testing.T) {
	cfg := replay.Config{File: cmapssFile(t, []replaytest.Line{lineOf(1, 1)}), Start: start}
	_, cursor := readAll(t, open(t, cfg, source.Resume{}), 100)
	cfg.Loop = true
	events, cursor := readAll(t, open(t, cfg, source.Resume{Cursor: cursor}), 3)
	if got := story(events); got != "+1 1@2 -1" {
		t.Errorf("switched on: got %s", got)
	}
	cfg.Loop = false
	if err := open(t, cfg, source.Resume{Cursor: cursor}).Read(t.Context(), &source.Batch{}); err != io.EOF {
		t.Errorf("switched off at the end of a pass: got %v, want io.EOF", err)
	}
}

// TestStart checks that the start of the first Open is kept.
func TestStart(t *testing.T) {
	cfg := replay.Config{File: cmapssFile(t, []replaytest.Line{lineOf(1, 1), lineOf(2, 1), lineOf(1, 2)}), Loop: true}
	before := time.Now().Truncate(time.Millisecond)
	s := open(t, cfg, source.Resume{})
	first, cursor := readAll(t, s, 1)
	born := time.Unix(0, first[0].Time).Add(-time.Second)
	if born.Before(before) || born.After(time.Now()) {
		t.Errorf("the start is %v, want the moment of Open", born)
	}
	run := source.Run{Unit: "1", Profile: replaytest.Turbofan(t), Born: first[0].Time, Count: 1}
	rest, _ := readAll(t, open(t, cfg, source.Resume{Cursor: cursor, Runs: []source.Run{run}}), 10)
	for _, e := range rest {
		if e.Kind == source.Birth && e.Unit == "1" {
			if got, want := e.Time-first[0].Time, int64(2e9); got != want {
				t.Errorf("the second pass began %d ns after the first, want %d", got, want)
			}
			return
		}
	}
	t.Error("the second pass did not begin")
}

// TestRunsKnownBefore checks what becomes of runs that the agent announced before the
// first cursor was durable: those that begin again as they did go on, others end.
func TestRunsKnownBefore(t *testing.T) {
	p := replaytest.Turbofan(t)
	second := start.Add(time.Second).UnixNano()
	runs := []source.Run{
		{Unit: "1", Profile: p, Born: second},
		{Unit: "2", Profile: p, Born: second - 1},
		{Unit: "3", Profile: p, Born: second},
	}
	cfg := replay.Config{File: cmapssFile(t, []replaytest.Line{lineOf(1, 1), lineOf(2, 1)}), Start: start}
	events, _ := readAll(t, open(t, cfg, source.Resume{Runs: runs}), 100)
	if got, want := story(events), "-2 -3 +1 1@1 -1 +2 2@1 -2"; got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
}

func TestNewRefuses(t *testing.T) {
	turbofan := replaytest.Turbofan(t)
	tests := map[string]struct {
		cfg  replay.Config
		want string
	}{
		"no file":          {replay.Config{Profile: turbofan}, "file is required"},
		"no profile":       {replay.Config{File: "f"}, "profile is required"},
		"unknown format":   {replay.Config{File: "f", Profile: turbofan, Format: "xml"}, `format "xml" is none of cmapss, csv`},
		"wrong profile":    {replay.Config{File: "f", Profile: pair}, "use the profile turbofan"},
		"negative period":  {replay.Config{File: "f", Profile: turbofan, Period: -1}, "period -1ns must be above 0"},
		"negative speed":   {replay.Config{File: "f", Profile: turbofan, Speed: -1}, "speed -1 must be"},
		"start in 1900":    {replay.Config{File: "f", Profile: turbofan, Start: time.Unix(-1e10, 0)}, "between 1970 and 2200"},
		"malformed prefix": {replay.Config{File: "f", Profile: turbofan, UnitPrefix: "a/b"}, "unit_prefix"},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			_, err := replay.New(tc.cfg)
			if err == nil || !strings.Contains(err.Error(), tc.want) {
				t.Errorf("got %v, want an error with %q", err, tc.want)
			}
		})
	}
}

func TestOpenMissingFile(t *testing.T) {
	err := newSource(t, replay.Config{File: "no-such-file"}).Open(t.Context(), source.Resume{})
	if !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("got %v, want file not found", err)
	}
}
