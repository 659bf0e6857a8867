package store

import (
	"bytes"
	"fmt"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"andon.internal/shared/ranges"
)

// This file writes and reads PostgreSQL's text forms.

// list builds an array parameter.
type list struct {
	b []byte
	n int
}

func (l *list) next() {
	if l.n == 0 {
		l.b = append(l.b, '{')
	} else {
		l.b = append(l.b, ',')
	}
	l.n++
}

// int adds an integer.
func (l *list) int(i int64) {
	l.next()
	l.b = strconv.AppendInt(l.b, i, 10)
}

// bool adds a boolean.
func (l *list) bool(v bool) {
	l.next()
	l.b = strconv.AppendBool(l.b, v)
}

// text adds a string. What text cannot hold in PostgreSQL is replaced.
func (l *list) text(s string) {
	l.next()
	l.b = append(l.b, '"')
	for _, c := range []byte(cleanText(s)) {
		if c == '"' || c == '\\' {
			l.b = append(l.b, '\\')
		}
		l.b = append(l.b, c)
	}
	l.b = append(l.b, '"')
}

// null adds NULL.
func (l *list) null() {
	l.next()
	l.b = append(l.b, "NULL"...)
}

// bytes adds a bytea, in hexadecimal.
func (l *list) bytes(p []byte) {
	l.next()
	l.b = append(l.b, `"\\x`...)
	for _, c := range p {
		const hex = "0123456789abcdef"
		l.b = append(l.b, hex[c>>4], hex[c&15])
	}
	l.b = append(l.b, '"')
}

// micros adds a time given in µs since 1970.
func (l *list) micros(us int64) {
	l.next()
	l.b = append(l.b, '"')
	l.b = appendMicros(l.b, us)
	l.b = append(l.b, '"')
}

// set adds a multirange.
func (l *list) set(s ranges.Set) {
	l.next()
	l.b = append(l.b, '"')
	l.b = append(l.b, multirange(s)...)
	l.b = append(l.b, '"')
}

// param returns the array, and starts another.
func (l *list) param() []byte {
	b := l.b
	if l.n == 0 {
		b = []byte("{}")
	} else {
		b = append(b, '}')
	}
	*l = list{}
	return b
}

// appendMicros writes a timestamptz.
func appendMicros(b []byte, us int64) []byte {
	return time.UnixMicro(us).UTC().AppendFormat(b, "2006-01-02 15:04:05.000000Z")
}

// micros rounds unix ns down to what a timestamptz holds, also before 1970.
func micros(ns int64) int64 {
	us := ns / 1000
	if ns%1000 < 0 {
		us--
	}
	return us
}

// multirange writes an int8multirange.
func multirange(s ranges.Set) []byte {
	b := []byte{'{'}
	for i, r := range s.Ranges() {
		if i > 0 {
			b = append(b, ',')
		}
		b = append(b, '[')
		b = strconv.AppendUint(b, r.From, 10)
		b = append(b, ',')
		b = strconv.AppendUint(b, r.To, 10)
		b = append(b, ')')
	}
	return append(b, '}')
}

// parseMultirange reads the text of an int8multirange, which PostgreSQL writes with
// closed starts and open ends.
func parseMultirange(b []byte) (ranges.Set, error) {
	if len(b) < 2 || b[0] != '{' || b[len(b)-1] != '}' {
		return ranges.Set{}, fmt.Errorf("%q is not a multirange", b)
	}
	text := string(bytes.ReplaceAll(b[1:len(b)-1], []byte("),["), []byte(")[")))
	return ranges.Parse(text, len(text)+1)
}

func parseInt(b []byte) (int64, error) { return strconv.ParseInt(string(b), 10, 64) }

// cleanText makes a string from outside one that a text column takes: valid UTF-8
// without NUL.
func cleanText(s string) string {
	if !utf8.ValidString(s) {
		s = strings.ToValidUTF8(s, "\uFFFD")
	}
	return strings.ReplaceAll(s, "\x00", "\uFFFD")
}

// clip bounds a text from outside.
func clip(s string, most int) string {
	if len(s) > most {
		s = s[:most] + "..."
	}
	return cleanText(s)
}
