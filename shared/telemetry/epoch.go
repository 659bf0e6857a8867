package telemetry

import (
	"encoding/base32"
	"fmt"
)

// Epoch names one start of an agent. It is a ULID: 48 bits of milliseconds and 80
// random bits; the time only makes it sort and read well.
type Epoch [16]byte

// crockford is the alphabet of ULID text.
var crockford = base32.NewEncoding("0123456789ABCDEFGHJKMNPQRSTVWXYZ").WithPadding(base32.NoPadding)

// String returns the 26 characters of the epoch's ULID text.
func (e Epoch) String() string {
	// ULID text is the 128 bits, right aligned in 130.
	var wide [17]byte
	for i, b := range e {
		wide[i] |= b >> 2
		wide[i+1] = b << 6
	}
	return crockford.EncodeToString(wide[:])[:26]
}

// Short returns the last 6 characters of the text, which tell epochs apart in a log.
func (e Epoch) Short() string { return e.String()[20:] }

// IsZero reports whether the epoch is unset.
func (e Epoch) IsZero() bool { return e == Epoch{} }

// ParseEpoch is the inverse of [Epoch.String]. It takes the canonical upper-case
// form only.
func ParseEpoch(s string) (Epoch, error) {
	var e Epoch
	if len(s) != 26 || s[0] > '7' {
		return e, fmt.Errorf("epoch %q is not a ULID of 26 characters", clip(s))
	}
	wide, err := crockford.DecodeString(s + "00") // 28 characters are 17 whole bytes
	if err != nil || len(wide) != 17 {
		return e, fmt.Errorf("epoch %q is not a ULID of 26 characters", s)
	}
	for i := range e {
		e[i] = wide[i]<<2 | wide[i+1]>>6
	}
	if e.String() != s {
		return e, fmt.Errorf("epoch %q is not canonical ULID text", s)
	}
	return e, nil
}

// Node names a cell: a Sparkplug group and edge node.
type Node struct {
	Group string // the site and line, such as "austin-line1"
	ID    string // the cell, such as "cell-07"
}

func (n Node) String() string { return n.Group + "/" + n.ID }

// Check returns an error when an id is malformed.
func (n Node) Check() error {
	if err := CheckID("group", n.Group); err != nil {
		return err
	}
	return CheckID("node", n.ID)
}
