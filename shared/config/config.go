// Package config reads the YAML files that people write: configurations, profiles,
// rules. It is strict and it is patient: an unknown key, a value of the wrong type,
// a missing required key and a value that fails its own check are errors, and all
// of a file's faults are reported at once, each with file, line, column and key.
//
// It stands before the flow: every daemon calls [Load] once at its start, with a
// struct that already holds the defaults, and never looks at YAML again.
//
//	type Config struct {
//		Group  string        `yaml:"group,required"`
//		Linger time.Duration `yaml:"linger"`   // 100ms
//		Quota  config.Size   `yaml:"quota"`    // 64MiB
//		Logger *slog.Logger  // no tag: not a key of the file
//	}
//
// Fields may be strings, booleans, integers, floats, [time.Duration], [time.Time]
// (RFC 3339), [Size], [Path], anything with an UnmarshalText method, and structs,
// pointers, slices and string-keyed maps of these. A list or a map in the file
// replaces the default as a whole; a struct is merged key by key. A type with a
// method Check() error is checked after it was read, also where the file does not
// name it; see [At] for naming the key at fault. There is no substitution from the
// environment, and no secret belongs in a file of this kind: a [Secret] says where one
// lies.
//
// What a hostile file can cost is bounded: its size, its depth and how much its
// aliases unfold to. Nothing here keeps state; all functions are safe for
// concurrent use.
package config

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"
)

// Bounds of a file. They are far above what a person writes.
const (
	MaxFile   = 1 << 20 // bytes
	maxDepth  = 64      // nested mappings and lists
	maxVisits = 200_000 // values, each alias counted with all that it unfolds to
	maxKey    = 128     // bytes of a key
	maxFaults = 100     // reported; more are counted
)

// Load reads the file at path into the struct that into points to, whose present
// values are the defaults. The error is an [*Error] with every fault of the file;
// into then holds an undefined mixture.
func Load(path string, into any) error {
	data, err := readBounded(path, MaxFile)
	if err != nil {
		return &Error{Faults: []Fault{{File: path, Err: err}}}
	}
	return Decode(path, data, into)
}

// Decode is [Load] for data that is already in memory. name stands for the file in
// messages, and its folder is what a relative [Path] starts from.
func Decode(name string, data []byte, into any) error {
	v := reflect.ValueOf(into)
	if v.Kind() != reflect.Pointer || v.IsNil() || v.Elem().Kind() != reflect.Struct {
		return fmt.Errorf("decode configuration into %T: it must be a pointer to a struct", into)
	}
	d := &decoder{name: name, dir: filepath.Dir(name), places: map[string]place{}}
	if len(data) > MaxFile {
		d.fault(place{}, "", fmt.Errorf("the file has more than %d bytes", MaxFile))
		return d.err()
	}
	root, err := parse(data)
	if err != nil {
		d.faultSyntax(err)
		return d.err()
	}
	d.places[""] = place{1, 1}
	d.value("", root, v.Elem(), 0)
	return d.err()
}

// parse returns the only document of the data, or nil where there is none.
func parse(data []byte) (*yaml.Node, error) {
	dec := yaml.NewDecoder(bytes.NewReader(data))
	var doc, second yaml.Node
	switch err := dec.Decode(&doc); {
	case errors.Is(err, io.EOF):
		return nil, nil
	case err != nil:
		return nil, err
	}
	switch err := dec.Decode(&second); {
	case errors.Is(err, io.EOF):
	case err != nil:
		return nil, err
	default:
		return nil, fmt.Errorf("line %d: a second document begins here; one file holds one document", second.Line)
	}
	if doc.Kind != yaml.DocumentNode || len(doc.Content) == 0 {
		return nil, nil
	}
	return doc.Content[0], nil
}

// syntaxLine finds the line in a message of the YAML parser, which gives no column.
var syntaxLine = regexp.MustCompile(`^(?:yaml: )?(?:line (\d+): )?`)

func (d *decoder) faultSyntax(err error) {
	text := err.Error()
	m := syntaxLine.FindStringSubmatch(text)
	line, _ := strconv.Atoi(m[1]) // no line is line 0: unknown
	text = strings.TrimPrefix(text, m[0])
	if strings.HasPrefix(text, "unknown anchor") { // its name may be a secret
		text = "an alias stands here for what has no name; put texts that begin with * in quotes"
	}
	if strings.Contains(text, "cannot start any token") {
		text += "; indent with spaces, not tabs, and quote texts that begin with @ or `"
	}
	d.fault(place{line: line}, "", errors.New(text))
}

// readBounded reads a whole file of at most limit bytes.
func readBounded(path string, limit int64) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, limit+1))
	if err != nil {
		return nil, err
	}
	if int64(len(data)) > limit {
		return nil, fmt.Errorf("%s has more than %d bytes", path, limit)
	}
	return data, nil
}
