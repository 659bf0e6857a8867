package cmapss

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"math"
	"strconv"
	"strings"
)

// maxLine bounds a line in bytes; 26 numbers need about 170.
const maxLine = 64 << 10

// Malformed is a line that is not a reading, and why.
type Malformed struct {
	Number int // of the line in the file, from 1
	Cause  error
}

// File is what a file holds.
type File struct {
	Read      int // lines, valid or not
	Lines     []Line
	Malformed []Malformed
}

// Read reads a whole file. A line counts as malformed when it has not exactly 26
// fields, when engine or cycle is not a positive integer, when a value is not a
// finite decimal number, or when the file ends right behind its last number, which may
// be cut off; the rest is read regardless. The error is that of r, or a line beyond
// 64 KiB.
func Read(r io.Reader) (*File, error) {
	f := &File{}
	in := bufio.NewScanner(r)
	in.Buffer(make([]byte, 0, 4096), maxLine)
	in.Split(withEnd)
	for in.Scan() {
		f.Read++
		text := in.Text()
		line, err := ParseLine(text)
		if err == nil && strings.TrimRight(text, blanks) == text {
			err = errors.New("cut off: nothing follows the last number")
		}
		if err != nil {
			f.Malformed = append(f.Malformed, Malformed{f.Read, err})
			continue
		}
		line.Number = f.Read
		f.Lines = append(f.Lines, line)
	}
	if err := in.Err(); err != nil {
		return nil, fmt.Errorf("read line %d: %w", f.Read+1, err)
	}
	return f, nil
}

// withEnd splits into lines as [bufio.ScanLines] does, but keeps their ends.
func withEnd(data []byte, atEOF bool) (advance int, line []byte, err error) {
	n := bytes.IndexByte(data, '\n') + 1
	if n == 0 && atEOF {
		n = len(data)
	}
	if n == 0 {
		return 0, nil, nil
	}
	return n, data[:n], nil
}

// blanks separate fields and end a line.
const blanks = " \t\r\n\v\f"

// ParseLine reads one line, with its end or without. Line.Number is left 0.
func ParseLine(s string) (Line, error) {
	var l Line
	fields := strings.FieldsFunc(s, func(c rune) bool { return strings.ContainsRune(blanks, c) })
	if len(fields) != Fields {
		return l, fmt.Errorf("%d fields instead of %d", len(fields), Fields)
	}
	var err error
	if l.Engine, err = parseCount(fields[0]); err != nil {
		return l, fmt.Errorf("engine: %w", err)
	}
	if l.Cycle, err = parseCount(fields[1]); err != nil {
		return l, fmt.Errorf("cycle: %w", err)
	}
	for i, text := range fields[2:] {
		if l.Values[i], err = parseNumber(text); err != nil {
			return l, fmt.Errorf("%s: %w", Columns[i], err)
		}
	}
	return l, nil
}

func parseCount(s string) (int, error) {
	n, err := strconv.ParseInt(s, 10, 32)
	if err != nil || n < 1 {
		return 0, fmt.Errorf("%q is not a positive integer", s)
	}
	return int(n), nil
}

// parseNumber takes decimal notation only: strconv alone would also take
// hexadecimal numbers, infinities and NaN.
func parseNumber(s string) (float64, error) {
	if strings.Trim(s, "0123456789+-.eE") != "" {
		return 0, fmt.Errorf("%q is not a number", s)
	}
	f, err := strconv.ParseFloat(s, 64)
	if errors.Is(err, strconv.ErrRange) || math.IsInf(f, 0) {
		return 0, fmt.Errorf("%q is beyond float64", s)
	}
	if err != nil {
		return 0, fmt.Errorf("%q is not a number", s)
	}
	return f, nil
}

// Engines returns how many engines have a valid line.
func (f *File) Engines() int {
	seen := map[int]bool{}
	for i := range f.Lines {
		seen[f.Lines[i].Engine] = true
	}
	return len(seen)
}

// Cycles returns the highest cycle of any engine.
func (f *File) Cycles() int {
	highest := 0
	for i := range f.Lines {
		highest = max(highest, f.Lines[i].Cycle)
	}
	return highest
}
