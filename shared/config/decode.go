package config

import (
	"encoding"
	"errors"
	"fmt"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"time"

	"go.yaml.in/yaml/v3"
)

// decoder walks a document and the struct it is for at the same time.
type decoder struct {
	name, dir string
	faults    []Fault
	more      int
	checked   int              // faults that were there when the present Check was called
	places    map[string]place // of every value that the file names, by path
	visits    int
}

// value reads node n into v. n is nil where the file does not name the value: then
// v keeps its default, and only what is required and what must check is looked at.
func (d *decoder) value(path string, n *yaml.Node, v reflect.Value, depth int) {
	at := d.placeOf(path)
	if n != nil {
		at = place{n.Line, n.Column}
		if n.Kind == yaml.AliasNode {
			n = n.Alias
		}
		d.places[path] = at
		if !d.admit(path, at, n, depth) {
			return
		}
	}
	before := len(d.faults) + d.more
	d.read(path, at, n, v, depth)
	if isScalar(v.Type()) && len(d.faults)+d.more > before {
		return // what did not read is not checked
	}
	d.check(path, v)
}

// admit reports whether the walk may go into n, and what forbids it.
func (d *decoder) admit(path string, at place, n *yaml.Node, depth int) bool {
	d.visits++
	switch {
	case d.visits == maxVisits:
		d.faultf(at, path, "the file unfolds to more than %d values", maxVisits)
		return false
	case d.visits > maxVisits:
		return false
	case depth > maxDepth:
		d.faultf(at, path, "nested deeper than %d", maxDepth)
		return false
	case n.Style&yaml.TaggedStyle != 0:
		d.faultf(at, path, "tags are not used here; write the plain value, in quotes where it begins with !")
		return false
	}
	return true
}

func (d *decoder) read(path string, at place, n *yaml.Node, v reflect.Value, depth int) {
	switch t := v.Type(); {
	case isScalar(t):
		if n != nil {
			d.scalar(path, at, n, v)
		}
	case t.Kind() == reflect.Pointer:
		d.pointer(path, n, v, depth)
	case t == secretType:
		d.secret(path, at, n, v)
	case t.Kind() == reflect.Struct:
		d.structure(path, at, n, v, depth)
	case t.Kind() == reflect.Slice:
		d.list(path, at, n, v, depth)
	case t.Kind() == reflect.Map && t.Key().Kind() == reflect.String:
		d.dictionary(path, at, n, v, depth)
	default:
		d.faultf(at, path, "the program cannot read a %v", t)
	}
}

var (
	textType     = reflect.TypeFor[encoding.TextUnmarshaler]()
	durationType = reflect.TypeFor[time.Duration]()
	pathType     = reflect.TypeFor[Path]()
)

// isScalar reports whether values of type t stand in a file as one word.
func isScalar(t reflect.Type) bool {
	switch t.Kind() {
	case reflect.String, reflect.Bool, reflect.Float32, reflect.Float64,
		reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64,
		reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64:
		return true
	case reflect.Pointer:
		return false
	}
	return reflect.PointerTo(t).Implements(textType)
}

// isNull reports a key without a value.
func isNull(n *yaml.Node) bool { return n.Kind == yaml.ScalarNode && n.ShortTag() == "!!null" }

func (d *decoder) pointer(path string, n *yaml.Node, v reflect.Value, depth int) {
	switch {
	case n != nil && isNull(n):
		v.SetZero()
	case n != nil:
		// A new value, so that nothing the default shares is written to.
		fresh := reflect.New(v.Type().Elem())
		if !v.IsNil() {
			fresh.Elem().Set(v.Elem())
		}
		d.value(path, n, fresh.Elem(), depth)
		v.Set(fresh)
	case !v.IsNil():
		d.value(path, nil, v.Elem(), depth)
	}
}

func (d *decoder) list(path string, at place, n *yaml.Node, v reflect.Value, depth int) {
	switch {
	case n == nil:
		for i := range v.Len() {
			d.value(fmt.Sprintf("%s[%d]", path, i), nil, v.Index(i), depth+1)
		}
	case isNull(n):
		v.SetZero()
	case n.Kind != yaml.SequenceNode:
		d.fault(at, path, errWrongKind("a list", kindOf(n)))
	default:
		out := reflect.MakeSlice(v.Type(), len(n.Content), len(n.Content))
		for i, item := range n.Content {
			d.value(fmt.Sprintf("%s[%d]", path, i), item, out.Index(i), depth+1)
		}
		v.Set(out)
	}
}

func (d *decoder) dictionary(path string, at place, n *yaml.Node, v reflect.Value, depth int) {
	switch {
	case n == nil: // the default's values are not addressable; its maker vouches for them
	case isNull(n):
		v.SetZero()
	case n.Kind != yaml.MappingNode:
		d.fault(at, path, errWrongKind("a mapping of keys to values", kindOf(n)))
	default:
		out := reflect.MakeMapWithSize(v.Type(), len(n.Content)/2)
		for _, e := range d.entries(path, n) {
			item := reflect.New(v.Type().Elem()).Elem()
			d.value(join(path, e.key), e.value, item, depth+1)
			out.SetMapIndex(reflect.ValueOf(e.key).Convert(v.Type().Key()), item)
		}
		v.Set(out)
	}
}

func (d *decoder) structure(path string, at place, n *yaml.Node, v reflect.Value, depth int) {
	if n != nil && !isNull(n) && n.Kind != yaml.MappingNode {
		d.fault(at, path, errWrongKind("a mapping of keys to values", kindOf(n)))
		return
	}
	fields := fieldsOf(v.Type())
	given := map[string]*yaml.Node{}
	if n != nil && n.Kind == yaml.MappingNode {
		for _, e := range d.entries(path, n) {
			if !slices.ContainsFunc(fields, func(f field) bool { return f.key == e.key }) {
				if !keyForm.MatchString(e.key) {
					e.key = "" // a misplaced value, and perhaps a secret
				}
				d.fault(e.at, join(path, e.key), unknownKey(e.key, fields))
				continue
			}
			given[e.key] = e.value
		}
	}
	for _, f := range fields {
		child := join(path, f.key)
		if f.required && given[f.key] == nil {
			d.faultf(at, child, "is required")
			continue
		}
		d.value(child, given[f.key], v.Field(f.index), depth+1)
	}
}

// entry is one key of a mapping with its value.
type entry struct {
	key   string
	at    place // of the key
	value *yaml.Node
}

// entries returns the keys of a mapping in order, and reports those that are no
// plain words or stand there twice.
func (d *decoder) entries(path string, n *yaml.Node) []entry {
	out := make([]entry, 0, len(n.Content)/2)
	lines := make(map[string]int, len(n.Content)/2)
	for i := 0; i+1 < len(n.Content); i += 2 {
		k := n.Content[i]
		at := place{k.Line, k.Column}
		switch {
		case k.Kind == yaml.ScalarNode && k.ShortTag() == "!!merge":
			d.faultf(at, path, "merge keys (<<) are not used here; write the keys out")
			continue
		case k.Kind != yaml.ScalarNode || k.Style&yaml.TaggedStyle != 0 || k.Value == "":
			d.faultf(at, path, "a key must be a plain word")
			continue
		case len(k.Value) > maxKey:
			d.faultf(at, path, "a key has at most %d bytes", maxKey)
			continue
		case lines[k.Value] != 0:
			d.faultf(at, join(path, k.Value), "is already given in line %d", lines[k.Value])
			continue
		}
		lines[k.Value] = k.Line
		out = append(out, entry{k.Value, at, n.Content[i+1]})
	}
	return out
}

// keyForm is what keys look like.
var keyForm = regexp.MustCompile(`^[A-Za-z0-9_-]+$`)

// field is a struct field that the file may set.
type field struct {
	key      string
	index    int
	required bool
}

// fieldsOf returns the tagged fields of a struct.
func fieldsOf(t reflect.Type) []field {
	var out []field
	for i := range t.NumField() {
		f := t.Field(i)
		key, options, _ := strings.Cut(f.Tag.Get("yaml"), ",")
		if key == "" || key == "-" || !f.IsExported() {
			continue
		}
		out = append(out, field{key, i, options == "required"})
	}
	return out
}

// check calls v's own Check, if it has one.
func (d *decoder) check(path string, v reflect.Value) {
	if v.Kind() == reflect.Pointer || !v.CanAddr() {
		return // what it points to was checked itself
	}
	c, ok := v.Addr().Interface().(interface{ Check() error })
	if !ok {
		return
	}
	if err := c.Check(); err != nil {
		d.checked = len(d.faults)
		d.faultCheck(path, err)
	}
}

func unknownKey(key string, fields []field) error {
	known := make([]string, len(fields))
	for i, f := range fields {
		known[i] = f.key
	}
	if near := nearest(key, known); near != "" {
		return fmt.Errorf("unknown key; did you mean %s?", near)
	}
	if len(known) == 0 {
		return errors.New("unknown key; there are none here")
	}
	return fmt.Errorf("unknown key; known here: %s", strings.Join(known, ", "))
}
