package sparkplug

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
)

// maxState is the longest STATE payload that is read, in bytes.
const maxState = 1024

// State is the payload of a STATE message: a host application's presence. The
// timestamp is the one of the host's CONNECT, so that birth and will carry the same.
type State struct {
	Online    bool  `json:"online"`
	Timestamp int64 `json:"timestamp"` // ms since 1970 UTC
}

// Append appends the JSON to dst and returns it.
func (s State) Append(dst []byte) []byte {
	return fmt.Appendf(dst, `{"online":%t,"timestamp":%d}`, s.Online, s.Timestamp)
}

// ParseState reads a STATE payload. Both members must be there; others are passed over.
func ParseState(b []byte) (State, error) {
	if len(b) > maxState {
		return State{}, fmt.Errorf("parse state: %w", over(len(b), maxState, "bytes"))
	}
	var in struct {
		Online    *bool  `json:"online"`
		Timestamp *int64 `json:"timestamp"`
	}
	d := json.NewDecoder(bytes.NewReader(b))
	if err := d.Decode(&in); err != nil {
		return State{}, fmt.Errorf("parse state: %w", err)
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return State{}, errors.New("parse state: something follows the JSON object")
	}
	if in.Online == nil || in.Timestamp == nil {
		return State{}, errors.New("parse state: online or timestamp is not there")
	}
	return State{*in.Online, *in.Timestamp}, nil
}
