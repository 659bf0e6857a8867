package replay

import (
	"bytes"
	"errors"
	"fmt"
	"math"
	"strconv"

	"andon.internal/shared/telemetry"
)

// format reads the lines of a file. An error says why a line is malformed. A format
// keeps scratch memory, so it belongs to one goroutine.
type format interface {
	// parse fills r, its values only when asked to. r.unit is valid until the line
	// or the format is used again.
	parse(line []byte, r *row, values bool) error
	// signals returns how many values a row has.
	signals() int
	// ownTimes reports whether lines carry times of their own instead of cycles.
	ownTimes() bool
}

// row is a line as read.
type row struct {
	unit   []byte // number or name, without the prefix
	at     int64  // its time in the file: cycle x period, or its own time, in unix ns
	values []telemetry.Value
}

// The fields of a line in C-MAPSS form.
const (
	cmapssSignals = 24
	cmapssFields  = cmapssSignals + 2
)

// cmapss reads NASA's text form.
type cmapss struct {
	types  []telemetry.Type
	names  []string
	period int64
}

func newCMAPSS(c *Config) *cmapss {
	f := &cmapss{period: int64(c.Period)}
	for i := range c.Profile.Signals {
		f.types = append(f.types, c.Profile.Signals[i].Type)
		f.names = append(f.names, c.Profile.Signals[i].Name)
	}
	return f
}

func (f *cmapss) signals() int   { return cmapssSignals }
func (f *cmapss) ownTimes() bool { return false }

func (f *cmapss) parse(line []byte, r *row, values bool) (err error) {
	var fields [cmapssFields][]byte
	n := 0
	for i := 0; i < len(line); {
		for i < len(line) && isBlank(line[i]) {
			i++
		}
		from := i
		for i < len(line) && !isBlank(line[i]) {
			i++
		}
		if from == i {
			break
		}
		if n < cmapssFields {
			fields[n] = line[from:i]
		}
		n++
	}
	if n != cmapssFields {
		return fmt.Errorf("the line has %d fields instead of %d", n, cmapssFields)
	}
	if !isBlank(line[len(line)-1]) {
		return errors.New("the line is cut off: neither a blank nor a line end follows its last number")
	}
	if _, r.unit, err = parseCount(fields[0]); err != nil {
		return fmt.Errorf("unit %w", err)
	}
	if r.at, err = parseCycle(fields[1], f.period); err != nil {
		return err
	}
	if !values {
		return nil
	}
	for i, text := range fields[2:] {
		if r.values[i], err = parseValue(f.types[i], text); err != nil {
			return fmt.Errorf("%s: %w", f.names[i], err)
		}
	}
	return nil
}

// isBlank reports whether c separates fields or ends a line.
func isBlank(c byte) bool {
	return c == ' ' || c == '\t' || c == '\r' || c == '\n' || c == '\v' || c == '\f'
}

// parseCount reads a positive integer. digits is its text without sign and leading zeros.
func parseCount(text []byte) (n int64, digits []byte, err error) {
	digits = bytes.TrimLeft(bytes.TrimPrefix(text, []byte("+")), "0")
	for _, c := range digits {
		if c < '0' || c > '9' || n > math.MaxInt32 {
			n = 0
			break
		}
		n = n*10 + int64(c-'0')
	}
	if n < 1 || n > math.MaxInt32 {
		return 0, nil, fmt.Errorf("%q is not a positive integer", clipText(text))
	}
	return n, digits, nil
}

// parseCycle returns cycle x period.
func parseCycle(text []byte, period int64) (int64, error) {
	n, _, err := parseCount(text)
	if err != nil {
		return 0, fmt.Errorf("cycle %w", err)
	}
	if n > maxTime/period {
		return 0, fmt.Errorf("cycle %d is too far from the start", n)
	}
	return n * period, nil
}

// maxNumber bounds the text of a number; float64 needs no more than 25 characters.
const maxNumber = 400

// parseValue reads a signal's value. Numbers are finite and decimal.
func parseValue(t telemetry.Type, text []byte) (telemetry.Value, error) {
	if len(text) > maxNumber {
		return telemetry.Value{}, fmt.Errorf("the number is longer than %d characters", maxNumber)
	}
	if t == telemetry.Double || t == telemetry.Real {
		for _, c := range text {
			if (c < '0' || c > '9') && c != '.' && c != '-' && c != '+' && c != 'e' && c != 'E' {
				return telemetry.Value{}, fmt.Errorf("%q is not a number", clipText(text))
			}
		}
	}
	if t == telemetry.Double {
		// The same as ParseValue for what is valid, without memory for the text.
		if f, err := strconv.ParseFloat(string(text), 64); err == nil {
			return telemetry.DoubleValue(f), nil
		}
	}
	return telemetry.ParseValue(t, string(text))
}

// clipText keeps hostile input short in a message.
func clipText(b []byte) []byte { return b[:min(len(b), 40)] }
