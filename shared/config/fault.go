package config

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// Fault is one thing wrong with a file.
type Fault struct {
	File         string
	Line, Column int    // from 1; 0 where it is the file as a whole
	Key          string // such as "sources[1].replay.period"; empty for the whole file
	Err          error
}

func (f Fault) Error() string {
	var b strings.Builder
	b.WriteString(f.File)
	if f.Line > 0 {
		b.WriteString(":" + strconv.Itoa(f.Line))
		if f.Column > 0 {
			b.WriteString(":" + strconv.Itoa(f.Column))
		}
	}
	b.WriteString(": ")
	if f.Key != "" {
		b.WriteString(f.Key + ": ")
	}
	b.WriteString(strings.ReplaceAll(f.Err.Error(), "\n", "; "))
	return b.String()
}

func (f Fault) Unwrap() error { return f.Err }

// Error is every fault of a file, in the order of its lines.
type Error struct {
	Faults []Fault
	More   int // faults beyond the 100th, which are only counted
}

// Error returns one line for each fault.
func (e *Error) Error() string {
	lines := make([]string, 0, len(e.Faults)+1)
	for _, f := range e.Faults {
		lines = append(lines, f.Error())
	}
	if e.More > 0 {
		lines = append(lines, fmt.Sprintf("and %d more", e.More))
	}
	return strings.Join(lines, "\n")
}

// Unwrap returns the faults, for errors.Is and errors.As.
func (e *Error) Unwrap() []error {
	out := make([]error, len(e.Faults))
	for i, f := range e.Faults {
		out[i] = f
	}
	return out
}

// Usage marks the error as the operator's to mend, not the program's.
func (e *Error) Usage() bool { return true }

// keyError is a fault that a Check found in one key of its struct.
type keyError struct {
	key string
	err error
}

func (k *keyError) Error() string { return k.key + ": " + k.err.Error() }
func (k *keyError) Unwrap() error { return k.err }

// At says that err is about one key below the value being checked, such as
// "listen", "limits.max_packet" or "signals[3]": a Check returns it, or several of
// them joined, so that the fault is reported at the key's own line. A nil err
// gives nil.
func At(key string, err error) error {
	if err == nil {
		return nil
	}
	return &keyError{key, err}
}

// place is where a value stands in the file.
type place struct{ line, column int }

func (d *decoder) fault(at place, key string, err error) {
	if len(d.faults) >= maxFaults {
		d.more++
		return
	}
	d.faults = append(d.faults, Fault{File: d.name, Line: at.line, Column: at.column, Key: key, Err: err})
}

func (d *decoder) faultf(at place, key, format string, args ...any) {
	d.fault(at, key, fmt.Errorf(format, args...))
}

// faultCheck reports what a Check of the value at path returned. It leaves out what
// is already known: a fault of a key that did not read, or, where no key is named,
// any fault at all below path, since a check of half-read values misleads.
func (d *decoder) faultCheck(path string, err error) {
	if joined, ok := err.(interface{ Unwrap() []error }); ok {
		for _, e := range joined.Unwrap() {
			d.faultCheck(path, e)
		}
		return
	}
	if k, ok := err.(*keyError); ok { //nolint:errorlint // one that is wrapped carries words of its own
		d.faultCheck(join(path, k.key), k.err)
		return
	}
	if slices.ContainsFunc(d.faults[:min(d.checked, len(d.faults))], func(f Fault) bool { return below(f.Key, path) }) {
		return
	}
	d.fault(d.placeOf(path), path, err)
}

// placeOf returns where path stands in the file, or else what encloses it.
func (d *decoder) placeOf(path string) place {
	for {
		if at, ok := d.places[path]; ok || path == "" {
			return at
		}
		path = path[:max(strings.LastIndexAny(path, ".["), 0)]
	}
}

// err returns the faults so far as one error, or nil.
func (d *decoder) err() error {
	if len(d.faults) == 0 {
		return nil
	}
	slices.SortStableFunc(d.faults, func(a, b Fault) int {
		if a.Line != b.Line {
			return a.Line - b.Line
		}
		return a.Column - b.Column
	})
	return &Error{Faults: d.faults, More: d.more}
}

// join appends a key to a path.
func join(path, key string) string {
	if path == "" || key == "" || key[0] == '[' {
		return path + key
	}
	return path + "." + key
}

// below reports whether key is path itself or lies below it.
func below(key, path string) bool {
	rest, ok := strings.CutPrefix(key, path)
	return ok && (path == "" || rest == "" || rest[0] == '.' || rest[0] == '[')
}

// errWrongKind is kept apart so that the same words stand everywhere.
func errWrongKind(want, got string) error {
	return errors.New("must be " + want + ", not " + got)
}
