package replay_test

import (
	"errors"
	"fmt"
	"log/slog"
	"math"
	"strconv"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"andon.internal/agent/source"
	"andon.internal/agent/source/replay"
	"andon.internal/agent/source/replay/replaytest"
	"andon.internal/shared/telemetry"
)

// numbers returns the last n of a line's 24 numbers as text.
func numbers(n int) string { return strings.TrimSpace(strings.Repeat("1.5 ", n)) }

func TestMalformedLines(t *testing.T) {
	good := "1 1 " + numbers(24)
	tests := map[string]struct {
		line   string
		reason string // "" when the line is valid
	}{
		"valid":                    {good, ""},
		"trailing blanks":          {good + "  ", ""},
		"carriage return":          {good + "\r", ""},
		"tabs":                     {strings.ReplaceAll(good, " ", "\t"), ""},
		"leading blanks":           {"   " + good, ""},
		"exponents and signs":      {"+1 01 -1e-3 +2.5E2 .5 5. " + numbers(20), ""},
		"many digits":              {"1 1 0.12345678901234567890 " + numbers(23), ""},
		"too few fields":           {"1 1 " + numbers(23), "the line has 25 fields instead of 26"},
		"too many fields":          {"1 1 " + numbers(25), "the line has 27 fields instead of 26"},
		"empty":                    {"", "the line has 0 fields instead of 26"},
		"blank":                    {"   ", "the line has 0 fields instead of 26"},
		"cut off":                  {"1 1 1.5 1.", "the line has 4 fields instead of 26"},
		"a word":                   {"1 1 " + numbers(23) + " good", `w32: \"good\" is not a number`},
		"two points":               {"1 1 1.2.3 " + numbers(23), "is not a finite number"},
		"NaN":                      {"1 1 NaN " + numbers(23), "is not a number"},
		"infinite":                 {"1 1 " + numbers(23) + " -inf", "is not a number"},
		"hexadecimal":              {"1 1 0x1p-2 " + numbers(23), "is not a number"},
		"beyond float64":           {"1 1 1e999 " + numbers(23), "is not a finite number"},
		"just a sign":              {"1 1 - " + numbers(23), "is not a finite number"},
		"unit zero":                {"0 1 " + numbers(24), `unit \"0\" is not a positive integer`},
		"negative unit":            {"-1 1 " + numbers(24), "is not a positive integer"},
		"fractional unit":          {"1.5 1 " + numbers(24), "is not a positive integer"},
		"huge unit":                {"99999999999 1 " + numbers(24), "is not a positive integer"},
		"cycle zero":               {"1 0 " + numbers(24), `cycle \"0\" is not a positive integer`},
		"cycle of another century": {"1 2147483647 " + numbers(24), ""},
		"a number of 500 digits":   {"1 1 " + strings.Repeat("1", 500) + " " + numbers(23), "longer than 400"},
		"70 KiB":                   {strings.Repeat("1 ", 35<<10), "longer than 65536 bytes"},
		"200 KiB":                  {strings.Repeat("1 ", 100<<10), "longer than 65536 bytes"},
		"zero bytes":               {"1 1 \x00\x00 " + numbers(23), "is not a number"},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			// The line stands between two good ones of another engine.
			file := textFile(t, "2 1 "+numbers(24)+"\n"+tc.line+"\n2 2 "+numbers(24)+"\n")
			log, out := logBuffer()
			reg := prometheus.NewRegistry()
			events, _ := readAll(t, open(t, replay.Config{File: file, Start: start, Logger: log, Metrics: replay.NewMetrics(reg)}, source.Resume{}), 1000)
			valid, malformed := 3, 0
			if tc.reason != "" {
				valid, malformed = 2, 1
			}
			if got := len(events) - 2*(valid-1); got != valid {
				t.Errorf("%d readings, want %d", got, valid)
			}
			if malformed == 1 && (!strings.Contains(out.String(), file+":2") || !strings.Contains(out.String(), tc.reason)) {
				t.Errorf("the log does not name line 2 and %q:\n%s", tc.reason, out)
			}
			expect := fmt.Sprintf("# HELP andon_replay_malformed_lines Malformed lines in the file, as last opened; they are passed over.\n"+
				"# TYPE andon_replay_malformed_lines gauge\nandon_replay_malformed_lines{file=%q} %d\n", file, malformed)
			if err := testutil.GatherAndCompare(reg, strings.NewReader(expect), "andon_replay_malformed_lines"); err != nil {
				t.Error(err)
			}
		})
	}
}

// TestLastLine checks a file that does not end with a line end: its last number counts
// only where a blank shows that it is whole.
func TestLastLine(t *testing.T) {
	line := "1 1 " + numbers(24) + "\n1 2 " + numbers(24) + "  "
	for cut, want := range map[int]int{0: 2, 1: 2, 2: 1, 3: 1, 4: 1, 6: 1, len(numbers(24)): 1, len(numbers(24)) + 6: 1} {
		log, out := logBuffer()
		events, _ := readAll(t, open(t, replay.Config{File: textFile(t, line[:len(line)-cut]), Start: start, Logger: log}, source.Resume{}), 1000)
		if got := len(events) - 2; got != want {
			t.Errorf("cut by %d bytes: %d readings, want %d", cut, got, want)
		}
		if (cut == 2 || cut == 3) && !strings.Contains(out.String(), "the line is cut off") {
			t.Errorf("cut by %d bytes: the log does not say so:\n%s", cut, out)
		}
	}
}

// TestManyMalformed checks that the log is throttled and ends with a count, and that
// at level debug it names every line.
func TestManyMalformed(t *testing.T) {
	log, out := logBuffer()
	file := textFile(t, strings.Repeat("1 2 3\n", 500)+"1 1 "+numbers(24)+"\n")
	events, _ := readAll(t, open(t, replay.Config{File: file, Start: start, Logger: log}, source.Resume{}), 1000)
	if got := strings.Count(out.String(), "malformed line passed over"); got != 20 {
		t.Errorf("%d malformed lines logged one by one, want 20", got)
	}
	if !strings.Contains(out.String(), "malformed=500 valid=1") || len(events) != 3 {
		t.Errorf("no final count for %d events:\n%s", len(events), out)
	}

	out.Reset()
	log = slog.New(slog.NewTextHandler(out, &slog.HandlerOptions{Level: slog.LevelDebug}))
	readAll(t, open(t, replay.Config{File: file, Start: start, Logger: log}, source.Resume{}), 1000)
	for n := 1; n <= 500; n++ {
		level := "WARN"
		if n > 20 {
			level = "DEBUG"
		}
		if want := fmt.Sprintf(`level=%s msg="malformed line passed over" file=%s line=%[2]s:%d reason=`, level, file, n); !strings.Contains(out.String(), want) {
			t.Fatalf("at level debug line %d is not named:\n%.300s", n, out)
		}
	}
}

func TestNoValidLine(t *testing.T) {
	for name, text := range map[string]string{"empty": "", "other format": "unit,cycle\n1,2\n"} {
		t.Run(name, func(t *testing.T) {
			err := newSource(t, replay.Config{File: textFile(t, text)}).Open(t.Context(), source.Resume{})
			if !errors.Is(err, source.ErrRefused) || !strings.Contains(err.Error(), "has no valid line") {
				t.Errorf("got %v, want a refusal", err)
			}
		})
	}
}

// FuzzNumber compares the driver's numbers with strconv's, bit for bit.
func FuzzNumber(f *testing.F) {
	for _, s := range []string{"0", "-0.0000", "643.02", ".5", "5.", ".", "1e5", "9007199254740993", "123456789012345.6", "0.1234567890123456", "--1", "1_0"} {
		f.Add(s)
	}
	profile := replaytest.Turbofan(f)
	f.Fuzz(func(t *testing.T, s string) {
		if strings.ContainsAny(s, " \t\r\n\v\f") || s == "" || len(s) > 300 {
			return
		}
		file := textFile(t, "1 1 "+s+" "+numbers(23)+"\n1 2 "+numbers(24)+"\n")
		events, _ := readAll(t, open(t, replay.Config{File: file, Profile: profile, Start: start}, source.Resume{}), 10)
		want, err := strconv.ParseFloat(s, 64)
		decimal := strings.Trim(s, "0123456789+-.eE") == ""
		valid := err == nil && decimal && !math.IsInf(want, 0)
		if got := len(events) == 4; got != valid {
			t.Fatalf("%q: valid %v, want %v", s, got, valid)
		}
		if valid && events[1].values[0] != telemetry.DoubleValue(want) {
			t.Fatalf("%q is read as %v, want %v", s, events[1].values[0], want)
		}
	})
}
