// Package replaytest gives tests a file in C-MAPSS form: the real one where it is
// at hand, else one that it makes, so that no test has to be skipped.
package replaytest

import (
	"bufio"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"andon.internal/shared/profiles"
	"andon.internal/shared/telemetry"
)

// DirVariable names the folder that holds NASA's files. Without it they are looked
// for in shared/data/cmapss beside the repository.
const DirVariable = "ANDON_CMAPSS_DIR"

// Train is the name of NASA's file with 100 engines and 20,631 lines.
const Train = "train_FD001.txt"

// Line is one line of a file in C-MAPSS form.
type Line struct {
	Engine, Cycle int
	Values        [24]float64
}

// Turbofan returns the profile of the files.
func Turbofan(tb testing.TB) *telemetry.Profile {
	tb.Helper()
	for _, p := range profiles.Builtin() {
		if p.Name == "turbofan" {
			return p
		}
	}
	tb.Fatal("there is no profile turbofan")
	return nil
}

// File returns the path of NASA's file with this name, or of a generated one of the
// same form and about the size of Train.
func File(tb testing.TB, name string) string {
	tb.Helper()
	dir := os.Getenv(DirVariable)
	if dir == "" {
		dir = filepath.Join(repository(tb), "..", "shared", "data", "cmapss")
	}
	path := filepath.Join(dir, name)
	if _, err := os.Stat(path); err == nil {
		return path
	}
	path = filepath.Join(tb.TempDir(), name)
	tb.Logf("no %s in %s: a generated file takes its place", name, dir)
	Write(tb, path, Generate(1, 100, 130, 290))
	return path
}

// repository returns the root of the repository, which holds go.work.
func repository(tb testing.TB) string {
	tb.Helper()
	dir, err := os.Getwd()
	if err != nil {
		tb.Fatal(err)
	}
	for d := dir; ; d = filepath.Dir(d) {
		if _, err := os.Stat(filepath.Join(d, "go.work")); err == nil {
			return d
		}
		if d == filepath.Dir(d) {
			return dir
		}
	}
}

// Generate makes the lives of engines of between least and most cycles, grouped by
// engine as in NASA's files. Each seed gives always the same lines.
func Generate(seed uint64, engines, least, most int) []Line {
	rng := rand.New(rand.NewPCG(seed, 26))
	var lines []Line
	for e := 1; e <= engines; e++ {
		cycles := least + rng.IntN(most-least+1)
		for c := 1; c <= cycles; c++ {
			l := Line{Engine: e, Cycle: c}
			for i := range l.Values {
				places := []float64{1, 10, 100, 1000, 10000}[i%5]
				wear := float64(c) / float64(cycles) * float64(i)
				n := float64(int64((100*float64(i+1) + wear + rng.NormFloat64()) * places))
				l.Values[i] = n / places
			}
			lines = append(lines, l)
		}
	}
	return lines
}

// Text returns the line as it stands in a file, with NASA's two trailing spaces and
// without an end of line.
func (l Line) Text() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%d %d ", l.Engine, l.Cycle)
	for i := range l.Values {
		b.WriteString(strconv.FormatFloat(l.Values[i], 'f', -1, 64))
		b.WriteByte(' ')
	}
	b.WriteByte(' ')
	return b.String()
}

// Write writes lines to a file.
func Write(tb testing.TB, path string, lines []Line) {
	tb.Helper()
	var b strings.Builder
	for _, l := range lines {
		b.WriteString(l.Text())
		b.WriteByte('\n')
	}
	if err := os.WriteFile(path, []byte(b.String()), 0o600); err != nil {
		tb.Fatal(err)
	}
}

// Read reads a file of valid lines, by other means than the driver's.
func Read(tb testing.TB, path string) []Line {
	tb.Helper()
	f, err := os.Open(path)
	if err != nil {
		tb.Fatal(err)
	}
	defer f.Close()
	var lines []Line
	for in := bufio.NewScanner(f); in.Scan(); {
		var l Line
		fields := strings.Fields(in.Text())
		if len(fields) != 26 {
			tb.Fatalf("%s: line %d has %d fields", path, len(lines)+1, len(fields))
		}
		l.Engine, _ = strconv.Atoi(fields[0])
		l.Cycle, _ = strconv.Atoi(fields[1])
		for i := range l.Values {
			if l.Values[i], err = strconv.ParseFloat(fields[i+2], 64); err != nil {
				tb.Fatal(err)
			}
		}
		lines = append(lines, l)
	}
	return lines
}
