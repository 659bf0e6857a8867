package auditlog

import (
	"bytes"
	"crypto/rand"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"
)

// Results of what was done.
const (
	OK      = "ok"
	Refused = "refused" // not allowed, or not meaningful
	Failed  = "failed"  // allowed, and did not succeed
)

// Bounds of an entry's fields, in characters; of detail, in bytes. The table has the same.
const (
	maxWho    = 128
	maxRole   = 64
	maxFrom   = 64
	maxAction = 64
	maxObject = 256
	maxDetail = 4 << 10
)

// ID is an entry's own name, made with it.
type ID [16]byte

// String is 32 hexadecimal digits.
func (id ID) String() string { return hex.EncodeToString(id[:]) }

// ParseID reads what String writes, and the same with hyphens.
func ParseID(s string) (id ID, err error) {
	b, err := hex.DecodeString(strings.ReplaceAll(s, "-", ""))
	if err != nil || len(b) != len(id) {
		return id, fmt.Errorf("%.40q is not the id of an entry", s)
	}
	return ID(b), nil
}

// Entry is one thing that somebody did, or tried to do.
type Entry struct {
	Seq    int64     // its number in the chain, from 0; the store's to give
	ID     ID        // made by Clean where it is zero
	At     time.Time // when it was done; in microseconds
	Who    string    // a user, or a program such as "andon-collector"
	Role   string    // what Who may do; empty where nobody had to log in, and Who was typed
	From   string    // the address it came from; of a program, its host
	Action string    // such as "acknowledge alarm"; a constant of the program
	Object string    // what it was done to, such as an alarm's id
	Detail string    // a JSON object; empty is {}
	Result string    // OK, Refused or Failed
}

// Detail returns a JSON object of what else there is to say. What JSON cannot hold is
// said so in its place.
func Detail(of map[string]any) string {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(of); err != nil {
		return Detail(map[string]any{"not_noted": err.Error()})
	}
	return strings.TrimSuffix(b.String(), "\n")
}

// Clean returns the entry in the form in which it can be kept: with an id, its time in
// microseconds of UTC, texts of valid characters within their bounds, and a detail that
// is a JSON object.
func (e Entry) Clean() Entry {
	if e.ID == (ID{}) {
		_, _ = rand.Read(e.ID[:]) // it never fails
	}
	e.At = e.At.Truncate(time.Microsecond).UTC()
	e.Who, e.Role, e.From = clean(e.Who, maxWho), clean(e.Role, maxRole), clean(e.From, maxFrom)
	e.Action, e.Object = clean(e.Action, maxAction), clean(e.Object, maxObject)
	if e.Who == "" {
		e.Who = "nobody"
	}
	if e.Action == "" {
		e.Action = "unnamed"
	}
	if e.Result != OK && e.Result != Refused {
		e.Result = Failed
	}
	switch {
	case e.Detail == "":
		e.Detail = "{}"
	case len(e.Detail) > maxDetail:
		e.Detail = Detail(map[string]any{"cut_off": clean(e.Detail, 500), "bytes": len(e.Detail)})
	case !isObject(e.Detail):
		e.Detail = Detail(map[string]any{"text": clean(e.Detail, 500)})
	}
	return e
}

// isObject reports whether a text is one JSON object of valid characters.
func isObject(s string) bool {
	return utf8.ValidString(s) && strings.HasPrefix(s, "{") && json.Valid([]byte(s))
}

// clean keeps at most most characters, which can be printed.
func clean(s string, most int) string {
	n := 0
	s = strings.Map(func(r rune) rune {
		if n++; n > most {
			return -1
		}
		return r
	}, s)
	return Printable(s)
}

// Printable stands a replacement for each character that is invalid, or that would move
// the cursor where the text is printed.
func Printable(s string) string {
	return strings.Map(func(r rune) rune {
		if unicode.IsControl(r) || unicode.Is(unicode.Bidi_Control, r) {
			return unicode.ReplacementChar
		}
		return r // the replacement itself, where it is invalid
	}, s)
}

// domain begins every encoding, so that no hash of the chain is one of anything else.
const domain = "andon audit log entry 1\x00"

// Append appends the canonical encoding: the one form of an entry that is hashed. No two
// different entries have the same. Of a text its length in bytes comes first; every number
// has 8 bytes, the highest first.
func (e Entry) Append(b []byte) []byte {
	b = append(b, domain...)
	b = binary.BigEndian.AppendUint64(b, uint64(e.Seq))
	b = append(b, e.ID[:]...)
	b = binary.BigEndian.AppendUint64(b, uint64(e.At.UnixMicro()))
	for _, text := range []string{e.Who, e.Role, e.From, e.Action, e.Object, e.Detail, e.Result} {
		b = binary.BigEndian.AppendUint64(b, uint64(len(text)))
		b = append(b, text...)
	}
	return b
}
