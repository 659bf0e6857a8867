package cmapss_test

import (
	"bytes"
	"math"
	"strings"
	"testing"

	"andon.internal/lab/cmapss"
)

// first is the first line of train_FD001.
const first = "1 1 -0.0007 -0.0004 100.0 518.67 641.82 1589.70 1400.60 14.62 21.61 554.36 2388.06 9046.19 1.30 47.47 521.66 2388.02 8138.62 8.4195 0.03 392 2388 100.00 39.06 23.4190  "

func TestParseLine(t *testing.T) {
	field := func(i int, s string) string {
		f := strings.Fields(first)
		f[i] = s
		return strings.Join(f, " ")
	}
	for _, c := range []struct {
		name, line string
		ok         bool
	}{
		{"published", first, true},
		{"no spaces at the end", strings.TrimSpace(first), true},
		{"carriage return", first + "\r", true},
		{"exponent", field(4, "1e2"), true},
		{"empty", "", false},
		{"cut off", first[:90], false},
		{"a field more", first + "1", false},
		{"engine zero", field(0, "0"), false},
		{"engine negative", field(0, "-1"), false},
		{"engine not whole", field(0, "1.0"), false},
		{"cycle a word", field(1, "x"), false},
		{"cycle too large", field(1, "99999999999"), false},
		{"value a word", field(7, "abc"), false},
		{"not a number", field(7, "NaN"), false},
		{"infinite", field(7, "-Inf"), false},
		{"beyond float64", field(7, "1e999"), false},
		{"hexadecimal", field(7, "0x10"), false},
		{"two points", field(7, "1.2.3"), false},
	} {
		t.Run(c.name, func(t *testing.T) {
			l, err := cmapss.ParseLine(c.line)
			if (err == nil) != c.ok {
				t.Fatalf("error %v, want ok %v", err, c.ok)
			}
			if c.ok && (l.Engine != 1 || l.Cycle != 1) {
				t.Errorf("engine %d cycle %d, want 1 and 1", l.Engine, l.Cycle)
			}
			if c.name == "published" && (l.Values[0] != -0.0007 || l.Values[23] != 23.4190) {
				t.Errorf("values %v", l.Values)
			}
		})
	}
}

func TestReadCountsEveryLine(t *testing.T) {
	second := strings.Replace(first, "1 1", "1 2", 1)
	text := strings.Join([]string{first, "", "1 2 3", second, second, first}, "\n") // no newline at the end
	f, err := cmapss.Read(strings.NewReader(text))
	if err != nil {
		t.Fatal(err)
	}
	if f.Read != 6 || len(f.Lines) != 4 || len(f.Malformed) != 2 {
		t.Fatalf("read %d, valid %d, malformed %v", f.Read, len(f.Lines), f.Malformed)
	}
	if f.Lines[1].Number != 4 || f.Malformed[0].Number != 2 {
		t.Errorf("numbers: valid %d, malformed %d", f.Lines[1].Number, f.Malformed[0].Number)
	}
	if f.Engines() != 1 || f.Cycles() != 2 {
		t.Errorf("engines %d, cycles %d", f.Engines(), f.Cycles())
	}
}

// TestReadLastLine: a file's last number counts where something shows that it is whole.
func TestReadLastLine(t *testing.T) {
	for _, c := range []struct {
		cut   int // bytes
		valid int
	}{{0, 2}, {1, 2}, {2, 2}, {3, 1}, {4, 1}, {6, 1}, {9, 1}} {
		text := first + "\n" + first + "\n"
		f, err := cmapss.Read(strings.NewReader(text[:len(text)-c.cut]))
		if err != nil {
			t.Fatal(err)
		}
		if f.Read != 2 || len(f.Lines) != c.valid || len(f.Malformed) != 2-c.valid {
			t.Errorf("cut by %d bytes: read %d, valid %d, malformed %v, want %d valid", c.cut, f.Read, len(f.Lines), f.Malformed, c.valid)
		}
	}
}

func TestReadRefusesAnEndlessLine(t *testing.T) {
	if _, err := cmapss.Read(strings.NewReader(strings.Repeat("1 ", 1<<16))); err == nil {
		t.Fatal("no error for a line of 128 KiB")
	}
}

func TestGenerate(t *testing.T) {
	spec := cmapss.Spec{Seed: 7, Engines: 5, Cycles: 120}
	var a, b bytes.Buffer
	if err := cmapss.Generate(&a, spec); err != nil {
		t.Fatal(err)
	}
	if err := cmapss.Generate(&b, spec); err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(a.Bytes(), b.Bytes()) {
		t.Error("the same seed gave two files")
	}
	f, err := cmapss.Read(&a)
	if err != nil {
		t.Fatal(err)
	}
	if len(f.Malformed) != 0 || f.Engines() != 5 {
		t.Fatalf("engines %d, malformed %v", f.Engines(), f.Malformed)
	}
	altitudes := map[float64]bool{}
	for _, l := range f.Lines {
		altitudes[math.Round(l.Values[0])] = true
		if p30 := l.Values[9]; p30 < 130 || p30 > 560 {
			t.Fatalf("line %d: P30 is %v psia", l.Number, p30)
		}
	}
	if len(altitudes) != 6 {
		t.Errorf("altitudes flown: %v, want six", altitudes)
	}
}

// TestGeneratedEnginesWear compares the first and the last tenth of long lives at
// sea level: exhaust gas gets hotter and less coolant flows.
func TestGeneratedEnginesWear(t *testing.T) {
	var b bytes.Buffer
	if err := cmapss.Generate(&b, cmapss.Spec{Seed: 1, Engines: 1, Cycles: 3000, Exact: true}); err != nil {
		t.Fatal(err)
	}
	f, err := cmapss.Read(&b)
	if err != nil {
		t.Fatal(err)
	}
	mean := func(from, to, column int) float64 {
		var sum, n float64
		for _, l := range f.Lines {
			if l.Cycle > from && l.Cycle <= to && l.Values[0] < 1 {
				sum += l.Values[column]
				n++
			}
		}
		return sum / n
	}
	const t50, w31 = 6, 22
	if early, late := mean(0, 300, t50), mean(2700, 3000, t50); late < early*1.005 {
		t.Errorf("T50 went from %.2f to %.2f, want it hotter", early, late)
	}
	if early, late := mean(0, 300, w31), mean(2700, 3000, w31); late > early*0.995 {
		t.Errorf("W31 went from %.2f to %.2f, want less flow", early, late)
	}
}

func FuzzParseLine(f *testing.F) {
	f.Add(first)
	f.Add("1 1")
	f.Fuzz(func(t *testing.T, s string) {
		l, err := cmapss.ParseLine(s)
		if err != nil {
			return
		}
		if l.Engine < 1 || l.Cycle < 1 {
			t.Errorf("engine %d cycle %d", l.Engine, l.Cycle)
		}
		for i, v := range l.Values {
			if math.IsNaN(v) || math.IsInf(v, 0) {
				t.Errorf("%s is %v", cmapss.Columns[i], v)
			}
		}
	})
}
