package telemetry

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/fnv"
	"math"
	"reflect"
	"regexp"
	"slices"
)

// Bounds of a profile, which are also bounds of the wire and of a table.
const (
	MaxSignals    = 512
	MaxTextLength = 256 // bytes of a description or an engineering unit
)

// idPattern is what a group, node, unit, profile or rule may be called: these
// become topic levels, file names and rows.
var idPattern = regexp.MustCompile(`^[A-Za-z0-9_-]{1,64}$`)

// signalPattern is what a signal may be called: it becomes a column. The length
// leaves room for the suffixes of the rollup columns in PostgreSQL's 63 bytes.
var signalPattern = regexp.MustCompile(`^[a-z][a-z0-9_]{0,47}$`)

// profilePattern is what a profile may be called: it becomes part of table names.
var profilePattern = regexp.MustCompile(`^[a-z][a-z0-9_]{0,31}$`)

// reservedColumns are the columns every reading table has beside its signals.
var reservedColumns = map[string]bool{
	"ts": true, "unit_key": true, "epoch_key": true, "position": true, "row_no": true,
	"quality": true, "received_at": true,
	"unit_id": true, "group_id": true, "node_id": true,
	// PostgreSQL's system columns.
	"tableoid": true, "xmin": true, "cmin": true, "xmax": true, "cmax": true, "ctid": true,
}

// CheckID returns an error that says what an id may look like, or nil. what names
// the id for the message, as in "unit".
func CheckID(what, id string) error {
	if idPattern.MatchString(id) {
		return nil
	}
	return fmt.Errorf("%s id %q must be 1 to 64 of A-Z a-z 0-9 _ -", what, clip(id))
}

// Signal is one measured quantity of a profile.
type Signal struct {
	Name        string // becomes the column: [a-z][a-z0-9_]{0,47}
	Unit        string // engineering unit, such as "degC"; empty for a pure number
	Type        Type
	Description string
	Min, Max    *float64 // plausible range, in Unit; nil where there is no bound
}

// Plausible reports whether v lies in the signal's range. A missing value does;
// a NaN or an infinity never does.
func (s *Signal) Plausible(v Value) bool {
	f, ok := v.Float()
	if !ok {
		return true
	}
	if f != f || f-f != 0 { // NaN, or an infinity
		return false
	}
	return (s.Min == nil || f >= *s.Min) && (s.Max == nil || f <= *s.Max)
}

// Profile is a kind of unit: an ordered list of signals. A Profile is not changed
// once it is in use, so it may be shared between goroutines.
type Profile struct {
	Name        string // becomes part of table names: [a-z][a-z0-9_]{0,31}
	Version     int    // the operator's number; larger is newer
	Description string
	Signals     []Signal
}

// Check returns every fault of the profile, joined, or nil.
func (p *Profile) Check() error {
	var errs []error
	fault := func(format string, args ...any) { errs = append(errs, fmt.Errorf(format, args...)) }
	if !profilePattern.MatchString(p.Name) {
		fault("profile name %q must match [a-z][a-z0-9_]{0,31}: it becomes part of table names", clip(p.Name))
	}
	if p.Version < 1 || p.Version > 1<<30 {
		fault("profile version %d must be 1 or more", p.Version)
	}
	if len(p.Signals) == 0 || len(p.Signals) > MaxSignals {
		fault("a profile has 1 to %d signals, this one has %d", MaxSignals, len(p.Signals))
	}
	seen := make(map[string]bool, len(p.Signals))
	for i := range p.Signals {
		s := &p.Signals[i]
		switch {
		case !signalPattern.MatchString(s.Name):
			fault("signal %d: name %q must match [a-z][a-z0-9_]{0,47}: it becomes a column", i+1, clip(s.Name))
		case reservedColumns[s.Name]:
			fault("signal %d: name %q is a column that every reading has; choose another", i+1, s.Name)
		case seen[s.Name]:
			fault("signal %d: name %q is used twice", i+1, s.Name)
		}
		seen[s.Name] = true
		if s.Type < Double || s.Type > Boolean {
			fault("signal %q: type must be double, real, integer or boolean", clip(s.Name))
		}
		for _, b := range []*float64{s.Min, s.Max} {
			if b != nil && (math.IsNaN(*b) || math.IsInf(*b, 0)) {
				fault("signal %q: bound %g is not a number; leave it out where there is none", clip(s.Name), *b)
			}
		}
		if s.Min != nil && s.Max != nil && !(*s.Min < *s.Max) {
			fault("signal %q: min %g must be below max %g", clip(s.Name), *s.Min, *s.Max)
		}
		if len(s.Unit) > MaxTextLength || len(s.Description) > MaxTextLength {
			fault("signal %q: unit and description may have %d bytes each", clip(s.Name), MaxTextLength)
		}
	}
	return errors.Join(errs...)
}

// Index returns the place of a signal in the profile, or -1.
func (p *Profile) Index(signal string) int {
	for i := range p.Signals {
		if p.Signals[i].Name == signal {
			return i
		}
	}
	return -1
}

// SameRow reports whether both profiles lay out a row alike, which is what [Profile.Fingerprint]
// is of; but a hash can be forged.
func (p *Profile) SameRow(o *Profile) bool {
	return p == o || p.Name == o.Name && slices.EqualFunc(p.Signals, o.Signals, func(a, b Signal) bool {
		return a.Name == b.Name && a.Type == b.Type
	})
}

// Equal reports whether both profiles say the same, texts, ranges and version too.
func (p *Profile) Equal(o *Profile) bool { return p == o || reflect.DeepEqual(p, o) }

// Fingerprint identifies the layout of a row: the profile's name and its signals'
// names and types, in order (FNV-1a, 64 bit). Ranges, texts and the version do not
// change it, because they do not change what a row means.
func (p *Profile) Fingerprint() uint64 {
	h := fnv.New64a()
	var n [4]byte
	text := func(s string) {
		binary.BigEndian.PutUint32(n[:], uint32(len(s)))
		h.Write(n[:])
		h.Write([]byte(s))
	}
	text(p.Name)
	for i := range p.Signals {
		text(p.Signals[i].Name)
		h.Write([]byte{byte(p.Signals[i].Type)})
	}
	return h.Sum64()
}

// clip keeps hostile input short in a message.
func clip(s string) string {
	if len(s) > 80 {
		return s[:80] + "..."
	}
	return s
}
