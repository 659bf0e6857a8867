package replay_test

import (
	"encoding/json"
	"errors"
	"os"
	"strings"
	"testing"
	"time"

	"andon.internal/agent/source"
	"andon.internal/agent/source/replay"
	"andon.internal/agent/source/replay/replaytest"
	"andon.internal/shared/telemetry"
)

// TestCursorRefused checks that a replay does not go on with another file or
// another configuration, and says what to do.
func TestCursorRefused(t *testing.T) {
	lines := []replaytest.Line{lineOf(1, 1), lineOf(1, 2), lineOf(2, 1)}
	other := *replaytest.Turbofan(t)
	other.Signals = append([]telemetry.Signal(nil), other.Signals...)
	other.Signals[3].Name = "other"
	edit := func(key string, value any) func(*replay.Config, map[string]any) {
		return func(_ *replay.Config, cursor map[string]any) { cursor[key] = value }
	}
	tests := map[string]struct {
		change func(c *replay.Config, cursor map[string]any)
		want   string
	}{
		"a line more": {func(c *replay.Config, _ map[string]any) {
			replaytest.Write(t, c.File, append(lines, lineOf(2, 2)))
		}, "the file has changed since this replay began"},
		"same size, another digit": {func(c *replay.Config, _ map[string]any) {
			b, _ := os.ReadFile(c.File)
			b[len(b)-10]++
			if err := os.WriteFile(c.File, b, 0o600); err != nil {
				t.Fatal(err)
			}
		}, "the file has changed since this replay began"},
		"another period": {func(c *replay.Config, _ map[string]any) { c.Period = time.Minute }, "period was 1s, now 1m0s"},
		"another prefix": {func(c *replay.Config, _ map[string]any) { c.UnitPrefix = "x" }, `unit_prefix was "", now "x"`},
		"another start":  {func(c *replay.Config, _ map[string]any) { c.Start = start.Add(1) }, "start was 2026-01-02T03:04:05Z, now 2026-01-02T03:04:05.000000001Z"},
		"other signals":  {func(c *replay.Config, _ map[string]any) { c.Profile = &other }, "the profile's signals were those"},
		"newer version":  {edit("version", 2), "has version 2 and this program reads version 1"},
		"too many lines": {edit("lines", 4), "out of bounds"},
		"negative lines": {edit("lines", -1), "out of bounds"},
		"negative loop":  {edit("loop", -1), "out of bounds"},
		"endless loop":   {edit("loop", int64(1)<<60), "out of bounds"},
		"wrong type":     {edit("lines", "many"), "does not read back"},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			cfg := replay.Config{File: cmapssFile(t, lines), Start: start}
			_, cursor := readAll(t, open(t, cfg, source.Resume{}), 1)
			var fields map[string]any
			if err := json.Unmarshal(cursor, &fields); err != nil {
				t.Fatal(err)
			}
			tc.change(&cfg, fields)
			cursor, _ = json.Marshal(fields)
			err := newSource(t, cfg).Open(t.Context(), source.Resume{Cursor: cursor})
			if !errors.Is(err, source.ErrRefused) || !strings.Contains(err.Error(), tc.want) {
				t.Errorf("got %v, want a refusal with %q", err, tc.want)
			}
		})
	}
}

// TestCursorOfMovedFile checks that only the content counts.
func TestCursorOfMovedFile(t *testing.T) {
	cfg := replay.Config{File: cmapssFile(t, []replaytest.Line{lineOf(1, 1), lineOf(1, 2)}), Start: start}
	_, cursor := readAll(t, open(t, cfg, source.Resume{}), 1)
	moved := cfg.File + ".moved"
	if err := os.Rename(cfg.File, moved); err != nil {
		t.Fatal(err)
	}
	cfg.File = moved
	open(t, cfg, source.Resume{Cursor: cursor})
}

// TestFileChangedWhileRead checks that a file that is changed under an open replay
// gives errors, not other readings.
func TestFileChangedWhileRead(t *testing.T) {
	lines := replaytest.Generate(5, 3, 3000, 3000)
	cfg := replay.Config{File: cmapssFile(t, lines), Start: start}
	s := open(t, cfg, source.Resume{})
	before, _ := readAll(t, s, 1)
	b, err := os.ReadFile(cfg.File)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(cfg.File, []byte(strings.ReplaceAll(string(b), " ", "x")), 0o600); err != nil {
		t.Fatal(err)
	}
	events, _ := readAll(t, s, 1<<30)
	if n := len(before) + len(events); n >= 9000 {
		t.Errorf("%d events came of a file that was changed", n)
	}
	err = s.Read(t.Context(), &source.Batch{})
	if err == nil || !strings.Contains(err.Error(), "was changed while it was read") {
		t.Errorf("got %v, want an error that says that the file was changed", err)
	}
	if err := s.Open(t.Context(), source.Resume{}); !errors.Is(err, source.ErrRefused) {
		t.Errorf("opened again: got %v, want a refusal", err)
	}
}

// shiftWall moves the moment at which a cursor's replay began.
func shiftWall(t *testing.T, cursor []byte, by time.Duration) []byte {
	t.Helper()
	var fields map[string]json.RawMessage
	if err := json.Unmarshal(cursor, &fields); err != nil {
		t.Fatal(err)
	}
	var wall int64
	if err := json.Unmarshal(fields["wall_ns"], &wall); err != nil {
		t.Fatal(err)
	}
	fields["wall_ns"], _ = json.Marshal(wall + int64(by))
	out, err := json.Marshal(fields)
	if err != nil {
		t.Fatal(err)
	}
	return out
}
