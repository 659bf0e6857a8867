package replay

import (
	"bytes"
	"errors"
	"fmt"
	"strings"
	"time"

	"andon.internal/shared/telemetry"
)

// What a column of a CSV is, beside the place of a signal.
const (
	columnUnit  = -1
	columnCycle = -2
	columnTime  = -3
)

// csvFormat reads lines of comma separated values. A field may stand in double
// quotes, with "" for a quote, but has no line break in it. An empty field is a
// signal without a value.
type csvFormat struct {
	profile *telemetry.Profile
	columns []int // place of the signal, or one of the above
	period  int64
	times   bool
	fields  [][]byte
	unit    []byte
}

// newCSV reads the header.
func newCSV(c *Config, header []byte) (*csvFormat, error) {
	f := &csvFormat{profile: c.Profile, period: int64(c.Period)}
	if err := f.split(bytes.TrimPrefix(header, []byte("\xef\xbb\xbf"))); err != nil {
		return nil, err
	}
	seen := map[string]bool{}
	for _, field := range f.fields {
		name := string(field)
		if seen[name] {
			return nil, fmt.Errorf("the column %q stands twice in the header", clipText(field))
		}
		seen[name] = true
		switch name {
		case "unit":
			f.columns = append(f.columns, columnUnit)
		case "cycle":
			f.columns = append(f.columns, columnCycle)
		case "time":
			f.columns = append(f.columns, columnTime)
		default:
			i := c.Profile.Index(name)
			if i < 0 {
				return nil, fmt.Errorf("the column %q is none of unit, cycle, time, nor a signal of the profile %s; its signals are %s",
					clipText(field), c.Profile.Name, signalNames(c.Profile))
			}
			f.columns = append(f.columns, i)
		}
	}
	f.times = seen["time"]
	switch {
	case !seen["unit"]:
		return nil, errors.New("the header has no column unit")
	case seen["time"] == seen["cycle"]:
		return nil, errors.New("the header must have one of the columns cycle and time")
	case len(f.columns) < 3:
		return nil, errors.New("the header names no signal")
	}
	return f, nil
}

func signalNames(p *telemetry.Profile) string {
	var names []string
	for i := range p.Signals {
		names = append(names, p.Signals[i].Name)
	}
	return strings.Join(names, ", ")
}

func (f *csvFormat) signals() int   { return len(f.profile.Signals) }
func (f *csvFormat) ownTimes() bool { return f.times }

func (f *csvFormat) parse(line []byte, r *row, values bool) error {
	if err := f.split(line); err != nil {
		return err
	}
	if len(f.fields) != len(f.columns) {
		return fmt.Errorf("the line has %d fields instead of %d", len(f.fields), len(f.columns))
	}
	if values {
		clear(r.values)
	}
	for i, text := range f.fields {
		var err error
		switch c := f.columns[i]; {
		case c == columnUnit:
			if len(text) == 0 {
				return errors.New("the line has no unit")
			}
			f.unit = append(f.unit[:0], text...)
			r.unit = f.unit
		case c == columnCycle:
			r.at, err = parseCycle(text, f.period)
		case c == columnTime:
			r.at, err = parseTime(text)
		case values && len(text) > 0:
			if r.values[c], err = parseValue(f.profile.Signals[c].Type, text); err != nil {
				err = fmt.Errorf("%s: %w", f.profile.Signals[c].Name, err)
			}
		}
		if err != nil {
			return err
		}
	}
	return nil
}

func parseTime(text []byte) (int64, error) {
	t, err := time.Parse(time.RFC3339Nano, string(text))
	if err != nil {
		return 0, fmt.Errorf("time %q is not of the form 2026-01-02T15:04:05Z", clipText(text))
	}
	if t.Year() < 1970 || t.Year() >= 2200 {
		return 0, fmt.Errorf("time %q must lie between 1970 and 2200", clipText(text))
	}
	return t.UnixNano(), nil
}

// split fills f.fields with the fields of a line, without blanks around them.
func (f *csvFormat) split(line []byte) error {
	f.fields = f.fields[:0]
	line = bytes.TrimRight(line, "\r\n")
	for {
		line = bytes.TrimLeft(line, " \t")
		if len(line) == 0 || line[0] != '"' {
			field, rest, more := bytes.Cut(line, []byte(","))
			f.fields = append(f.fields, bytes.TrimRight(field, " \t"))
			if !more {
				return nil
			}
			line = rest
			continue
		}
		field, rest, err := unquote(line)
		if err != nil {
			return err
		}
		f.fields = append(f.fields, field)
		rest = bytes.TrimLeft(rest, " \t")
		if len(rest) == 0 {
			return nil
		}
		if rest[0] != ',' {
			return errors.New("a comma is missing behind a quoted field")
		}
		line = rest[1:]
	}
}

// unquote reads the quoted field that line begins with.
func unquote(line []byte) (field, rest []byte, err error) {
	for i := 1; i < len(line); i++ {
		switch {
		case line[i] != '"':
			continue
		case i+1 < len(line) && line[i+1] == '"':
			i++
		default:
			field = line[1:i]
			if bytes.Contains(field, []byte(`""`)) {
				field = bytes.ReplaceAll(field, []byte(`""`), []byte(`"`))
			}
			return field, line[i+1:], nil
		}
	}
	return nil, nil, errors.New("a quote is not closed")
}
