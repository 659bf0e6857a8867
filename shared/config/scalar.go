package config

import (
	"encoding"
	"errors"
	"fmt"
	"math"
	"path/filepath"
	"reflect"
	"strconv"
	"strings"
	"time"

	"go.yaml.in/yaml/v3"
)

// Path is the name of a file or folder. A relative one starts from the folder of
// the file it is written in; Load makes it whole. Empty stays empty.
type Path string

// Size is a number of bytes, written as 4096, 512KiB, 64MiB, 1GiB or 2TiB.
type Size int64

var sizeUnits = []struct {
	name  string
	bytes int64
}{{"TiB", 1 << 40}, {"GiB", 1 << 30}, {"MiB", 1 << 20}, {"KiB", 1 << 10}, {"B", 1}}

// ParseSize is the inverse of [Size.String].
func ParseSize(s string) (Size, error) {
	digits, unit := s, int64(1)
	for _, u := range sizeUnits {
		if rest, ok := strings.CutSuffix(s, u.name); ok {
			digits, unit = strings.TrimSuffix(rest, " "), u.bytes
			break
		}
	}
	n, err := strconv.ParseUint(digits, 10, 63)
	if err != nil || n > math.MaxInt64/uint64(unit) {
		return 0, fmt.Errorf("%q is not a size; write bytes, or KiB, MiB, GiB, TiB as in 64MiB", clip(s))
	}
	return Size(int64(n) * unit), nil
}

// String writes the size in the largest unit that divides it.
func (s Size) String() string {
	for _, u := range sizeUnits {
		if s != 0 && int64(s)%u.bytes == 0 {
			return strconv.FormatInt(int64(s)/u.bytes, 10) + u.name
		}
	}
	return "0B"
}

// UnmarshalText reads what ParseSize does.
func (s *Size) UnmarshalText(text []byte) (err error) {
	*s, err = ParseSize(string(text))
	return err
}

// MarshalText writes what String does.
func (s Size) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// scalar reads one word into v.
func (d *decoder) scalar(path string, at place, n *yaml.Node, v reflect.Value) {
	switch {
	case n.Kind != yaml.ScalarNode:
		d.fault(at, path, errWrongKind(wanted(v.Type()), kindOf(n)))
	case isNull(n):
		d.faultf(at, path, "has no value; give it %s or take the line out", wanted(v.Type()))
	default:
		if err := d.setScalar(n, v); err != nil {
			d.fault(at, path, err)
		}
	}
}

func (d *decoder) setScalar(n *yaml.Node, v reflect.Value) error {
	text := n.Value
	// A number or a truth value in quotes is a text; only texts may be quoted.
	quoted := n.Style&(yaml.SingleQuotedStyle|yaml.DoubleQuotedStyle|yaml.LiteralStyle|yaml.FoldedStyle) != 0
	wrong := func() error {
		return fmt.Errorf("must be %s, not %s", wanted(v.Type()), show(text, quoted))
	}
	if t, ok := v.Addr().Interface().(encoding.TextUnmarshaler); ok {
		if err := t.UnmarshalText([]byte(text)); err != nil {
			if v.Type() == reflect.TypeFor[time.Time]() {
				return wrong()
			}
			return err
		}
		return nil
	}
	if v.Type() == durationType {
		duration, err := time.ParseDuration(text)
		if err != nil {
			return wrong()
		}
		v.SetInt(int64(duration))
		return nil
	}
	switch v.Kind() {
	case reflect.String:
		if v.Type() == pathType && text != "" && !filepath.IsAbs(text) {
			text = filepath.Join(d.dir, text)
		}
		v.SetString(text)
	case reflect.Bool:
		if quoted || (text != "true" && text != "false") {
			return wrong()
		}
		v.SetBool(text == "true")
	case reflect.Float32, reflect.Float64:
		f, err := strconv.ParseFloat(text, v.Type().Bits())
		if err != nil || quoted || math.IsNaN(f) || math.IsInf(f, 0) {
			return wrong()
		}
		v.SetFloat(f)
	case reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64:
		u, err := strconv.ParseUint(text, 10, v.Type().Bits())
		if err != nil || quoted {
			return numberError(err, wrong(), v.Type())
		}
		v.SetUint(u)
	default:
		i, err := strconv.ParseInt(text, 10, v.Type().Bits())
		if err != nil || quoted {
			return numberError(err, wrong(), v.Type())
		}
		v.SetInt(i)
	}
	return nil
}

// numberError tells a number that is too large from what is no number.
func numberError(err, wrong error, t reflect.Type) error {
	if errors.Is(err, strconv.ErrRange) {
		return fmt.Errorf("does not fit %d bits", t.Bits())
	}
	return wrong
}

// wanted names what a type looks like in a file.
func wanted(t reflect.Type) string {
	switch {
	case t == durationType:
		return "a duration such as 5s or 100ms"
	case t == reflect.TypeFor[time.Time]():
		return "a time such as 2026-01-02T03:04:05Z"
	case t == reflect.TypeFor[Size]():
		return "a size such as 64MiB"
	case reflect.PointerTo(t).Implements(textType):
		return "one word"
	}
	switch t.Kind() {
	case reflect.String:
		return "a text"
	case reflect.Bool:
		return "true or false"
	case reflect.Float32, reflect.Float64:
		return "a number"
	case reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64:
		return "a whole number of 0 or more"
	}
	return "a whole number"
}

// kindOf names what stands in the file where something else must. It does not show a
// single value: that may be a secret, as in database: postgres://andon:PASSWORD@...
func kindOf(n *yaml.Node) string {
	switch n.Kind {
	case yaml.MappingNode:
		return "a mapping"
	case yaml.SequenceNode:
		return "a list"
	}
	return "a single value"
}

func show(text string, quoted bool) string {
	if quoted {
		return fmt.Sprintf("the text %q", clip(text))
	}
	return fmt.Sprintf("%q", clip(text))
}

// clip keeps hostile input short in a message.
func clip(s string) string {
	if len(s) > 80 {
		return s[:80] + "..."
	}
	return s
}
