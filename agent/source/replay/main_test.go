package replay_test

import (
	"bytes"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"andon.internal/agent/source"
	"andon.internal/agent/source/replay"
	"andon.internal/agent/source/replay/replaytest"
	"andon.internal/shared/telemetry"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// pair is a small profile for CSV files.
var pair = &telemetry.Profile{Name: "pair", Version: 1, Signals: []telemetry.Signal{
	{Name: "torque_nm", Type: telemetry.Double},
	{Name: "running", Type: telemetry.Boolean},
}}

var start = time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)

// textFile writes a file and returns its path.
func textFile(tb testing.TB, text string) string {
	tb.Helper()
	path := filepath.Join(tb.TempDir(), "file.txt")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		tb.Fatal(err)
	}
	return path
}

// cmapssFile writes lines in C-MAPSS form.
func cmapssFile(tb testing.TB, lines []replaytest.Line) string {
	path := filepath.Join(tb.TempDir(), "engines.txt")
	replaytest.Write(tb, path, lines)
	return path
}

// lineOf returns a valid C-MAPSS line with recognizable values.
func lineOf(engine, cycle int) replaytest.Line {
	l := replaytest.Line{Engine: engine, Cycle: cycle}
	for i := range l.Values {
		l.Values[i] = float64(engine*1000+cycle) + float64(i)/100
	}
	return l
}

func newSource(tb testing.TB, c replay.Config) *replay.Source {
	tb.Helper()
	if c.Profile == nil {
		c.Profile = replaytest.Turbofan(tb)
	}
	s, err := replay.New(c)
	if err != nil {
		tb.Fatal(err)
	}
	return s
}

func open(tb testing.TB, c replay.Config, from source.Resume) *replay.Source {
	tb.Helper()
	s := newSource(tb, c)
	if err := s.Open(tb.Context(), from); err != nil {
		tb.Fatalf("open: %v", err)
	}
	tb.Cleanup(func() { s.Close() })
	return s
}

// event is an event that shares no memory with a batch.
type event struct {
	source.Event
	values []telemetry.Value
}

// readAll reads at most limit events, and returns the last cursor.
func readAll(tb testing.TB, s source.Source, limit int) (events []event, cursor []byte) {
	tb.Helper()
	var b source.Batch
	for len(events) < limit {
		b.Reset()
		if err := s.Read(tb.Context(), &b); err != nil {
			break
		}
		for _, e := range b.Events {
			c := event{Event: e, values: append([]telemetry.Value(nil), e.Values...)}
			c.Values = nil
			events = append(events, c)
		}
		cursor = append(cursor[:0], b.Cursor...)
	}
	return events, cursor
}

// story is the events in short: +unit for a birth, unit@seconds for a reading after
// the start, -unit for a death.
func story(events []event) string {
	var parts []string
	for _, e := range events {
		switch e.Kind {
		case source.Birth:
			parts = append(parts, "+"+e.Unit)
		case source.Reading:
			parts = append(parts, e.Unit+"@"+strings.TrimSuffix(time.Duration(e.Time-start.UnixNano()).String(), "s"))
		case source.Death:
			parts = append(parts, "-"+e.Unit)
		}
	}
	return strings.Join(parts, " ")
}

// logBuffer is a logger that writes into memory.
func logBuffer() (*slog.Logger, *bytes.Buffer) {
	var buf bytes.Buffer
	return slog.New(slog.NewTextHandler(&buf, nil)), &buf
}
