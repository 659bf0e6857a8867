package alarm

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"time"

	"andon.internal/shared/sentinel"
)

// Condition is whether the machine is in the state that the rule describes.
type Condition string

// The conditions.
const (
	Active Condition = "active"
	Normal Condition = "normal"
)

// Quality is how far what the alarm shows can be trusted.
type Quality string

// The qualities.
const (
	Good      Quality = "good"
	Stale     Quality = "stale"     // no data since; the condition is the last known
	Simulated Quality = "simulated" // of a simulated source
)

// State is the alarm's state in the words of ISA-18.2.
type State string

// The states.
const (
	Unacknowledged         State = "unacknowledged"          // active, nobody has seen it
	Acknowledged           State = "acknowledged"            // active, somebody has
	ReturnedUnacknowledged State = "returned-unacknowledged" // normal again, nobody has seen it
	Closed                 State = "closed"                  // normal and acknowledged
)

// Figure is a feature's value when the alarm was raised: why it fired.
type Figure struct {
	Name  string  `json:"name"`
	Value float64 `json:"value"`
	Unit  string  `json:"unit,omitempty"` // such as "degC/min"; empty for a pure number
}

// Alarm is one alarm from its raising to its end.
type Alarm struct {
	ID       string            `json:"id"`
	Rule     string            `json:"rule"`
	Priority sentinel.Priority `json:"priority"`
	Group    string            `json:"group"`
	Node     string            `json:"node"`
	Unit     string            `json:"unit,omitempty"` // empty: about the node

	Condition   Condition `json:"condition"`
	Quality     Quality   `json:"quality"`
	RaisedAt    time.Time `json:"raised_at"`           // when it was first decided
	ActiveAt    time.Time `json:"active_at"`           // when it was last decided: it may come again while it is open
	OnsetAt     time.Time `json:"onset_at,omitzero"`   // time of the reading that first made it true
	ClearedAt   time.Time `json:"cleared_at,omitzero"` // when the condition was last normal again
	AckedAt     time.Time `json:"acked_at,omitzero"`   // zero: not acknowledged
	AckedBy     string    `json:"acked_by,omitempty"`  // who
	Note        string    `json:"note,omitempty"`      // what they said
	Figures     []Figure  `json:"figures,omitempty"`   // why it fired
	Consequence string    `json:"consequence,omitempty"`
	Response    string    `json:"response,omitempty"`
	Sequence    int       `json:"sequence"` // of the last event applied
}

// State returns the alarm's state.
func (a *Alarm) State() State {
	acked := !a.AckedAt.IsZero()
	switch {
	case a.Condition == Active && acked:
		return Acknowledged
	case a.Condition == Active:
		return Unacknowledged
	case acked:
		return Closed
	}
	return ReturnedUnacknowledged
}

// ID names an alarm by its rule, its subject and its onset, so that the edge, the
// collector and a restart name the same alarm.
func ID(rule string, s sentinel.Subject, onset sentinel.Identity) string {
	return name(rule, s, onset, nil)
}

// SilenceID names an alarm about silence, which has no reading of its own: the last one
// heard may come before many, so the time at which it was decided tells them apart.
func SilenceID(rule string, s sentinel.Subject, last sentinel.Identity, at time.Time) string {
	return name(rule, s, last, binary.BigEndian.AppendUint64(nil, uint64(at.UnixNano())))
}

func name(rule string, s sentinel.Subject, onset sentinel.Identity, more []byte) string {
	h := sha256.New()
	text := func(s string) {
		var n [4]byte
		binary.BigEndian.PutUint32(n[:], uint32(len(s)))
		h.Write(n[:])
		h.Write([]byte(s))
	}
	text(rule)
	text(s.Group)
	if s.Unit == "" {
		text(s.Node)
	}
	text(s.Unit)
	h.Write(onset.Epoch[:])
	var n [16]byte
	binary.BigEndian.PutUint64(n[:8], onset.Position)
	binary.BigEndian.PutUint64(n[8:], uint64(onset.Row))
	h.Write(n[:])
	h.Write(more)
	return hex.EncodeToString(h.Sum(nil)[:12])
}

// Kind says what an event did.
type Kind string

// The kinds of events.
const (
	Raised Kind = "raised"
	Clear  Kind = "cleared"
	Ended  Kind = "ended" // the unit left the test; the condition is no longer watched
	Ack    Kind = "acknowledged"
)

// Event is one change of one alarm. Events are kept for ever.
type Event struct {
	Alarm    string    `json:"alarm"`
	Sequence int       `json:"sequence"` // 1, 2, 3, ... of its alarm
	Kind     Kind      `json:"kind"`
	At       time.Time `json:"at"`
	By       string    `json:"by,omitempty"`   // of an acknowledgement
	Note     string    `json:"note,omitempty"` // of an acknowledgement
}

// Apply changes the alarm by an event and reports whether it did. An event whose
// sequence was applied before changes nothing; one that leaves out another is an error.
func (a *Alarm) Apply(e Event) (bool, error) {
	switch {
	case e.Alarm != a.ID:
		return false, fmt.Errorf("event is of alarm %s, not of %s", e.Alarm, a.ID)
	case e.Sequence <= a.Sequence:
		return false, nil
	case e.Sequence != a.Sequence+1:
		return false, fmt.Errorf("event %d of alarm %s follows event %d", e.Sequence, a.ID, a.Sequence)
	}
	switch e.Kind {
	case Raised:
		if a.RaisedAt.IsZero() {
			a.RaisedAt = e.At
		}
		// Raised again: it is one alarm as long as it is open, and what was
		// acknowledged was another time.
		a.Condition, a.ActiveAt, a.ClearedAt = Active, e.At, time.Time{}
		a.AckedAt, a.AckedBy, a.Note = time.Time{}, "", ""
	case Clear, Ended:
		a.Condition, a.ClearedAt = Normal, e.At
	case Ack:
		a.AckedAt, a.AckedBy, a.Note = e.At, e.By, e.Note
	default:
		return false, fmt.Errorf("event %d of alarm %s is of unknown kind %q", e.Sequence, a.ID, e.Kind)
	}
	a.Sequence = e.Sequence
	return true, nil
}
