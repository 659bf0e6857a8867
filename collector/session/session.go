// Package session keeps what the collector knows of each cell: its births, the
// layouts its records are decoded with, its sequence of messages, and when it was
// last asked to say its births again.
//
// It stands at the head of every role, behind the queue of its messages. A [Table] is given one
// message after the other and says what each is: a record to store, a birth to
// answer, a message to drop, and whether the cell must be asked for its births (a
// Rebirth). It promises that a record is decoded only with a layout that the cell
// announced in the same session, so that an alias never decodes into another
// signal's column, and that hostile messages neither panic nor grow it beyond its
// [Limits].
//
// The package is pure: time comes in as an argument, and nothing here does I/O or
// starts a goroutine. A Table is not safe for concurrent use.
package session

import (
	"time"

	"andon.internal/shared/sparkplug"
	"andon.internal/shared/telemetry"
)

// Message is one message from the broker.
type Message struct {
	Topic    sparkplug.Topic
	Payload  []byte // read only; a Poison entry keeps it
	Received time.Time
}

// Entry is one position of a cell that asks to be stored: a record, a loss or what
// could not be decoded. Exactly one of the three pointers is set.
type Entry struct {
	Node     telemetry.Node
	Epoch    telemetry.Epoch
	Position uint64
	Received time.Time
	// Historical says that a record was sent before, or is old.
	Historical bool
	// Moved says that it had another name, under which it may be stored.
	Moved bool

	Record *telemetry.Record
	Loss   *telemetry.Loss
	Poison *Poison
}

// Poison is a message whose identity is known and whose content is not.
type Poison struct {
	Reason  string
	Payload []byte // the whole message
}

// Kind says what a message was.
type Kind uint8

// The kinds of a message.
const (
	Dropped   Kind = iota // of no use; Result.Reason says why
	NodeBorn              // Result.Birth is set; the cell waits for the sync
	NodeDied              //
	UnitBorn              // Result.Unit is set
	UnitDied              //
	Heartbeat             //
	Data                  // Result.Entry is set
	Foreign               // of a node that is not Andon's
)

// Reason says why a message was dropped. The set is small: it is the label of a metric.
type Reason string

// The reasons to drop a message. Nothing that is dropped is acknowledged, so the
// cell sends a record again.
const (
	UnknownNode  Reason = "unknown_node"   // no birth of the node was seen
	UnknownUnit  Reason = "unknown_layout" // no birth of the unit, or of this fingerprint
	WrongSession Reason = "wrong_session"  // sent in another MQTT session than the last birth
	OldDeath     Reason = "old_death"      // an NDEATH of an earlier session
	Unidentified Reason = "undecodable"    // not even the identity could be read
	BadBirth     Reason = "bad_birth"      // a birth that breaks its own promises
	TooManyNodes Reason = "too_many_nodes" // beyond Limits.Nodes
	TooManyUnits Reason = "too_many_units" // beyond Limits.Units or Limits.Signals
	Unexpected   Reason = "unexpected"     // a message type that is not for a collector
)

// Reasons returns every reason, so that counters exist before they count.
func Reasons() []Reason {
	return []Reason{
		UnknownNode, UnknownUnit, WrongSession, OldDeath, Unidentified,
		BadBirth, TooManyNodes, TooManyUnits, Unexpected,
	}
}

// Result says what one message was and what follows from it.
type Result struct {
	Kind   Kind
	Node   telemetry.Node // zero when no node was looked up
	Reason Reason         // of Dropped
	Err    error          // more about Reason, or about a Poison entry; may be nil

	Birth *Birth               // of NodeBorn
	Unit  *sparkplug.UnitBirth // of UnitBorn
	Entry *Entry               // of Data

	Heartbeat *sparkplug.Heartbeat // of Heartbeat

	Skew Skew // of the node's clock

	Rebirth bool // the cell must be asked for its births now
	Gap     int  // messages that are missing before this one
}

// Birth is what an NBIRTH asks the store to answer.
type Birth struct {
	*sparkplug.NodeBirth
	Highest map[telemetry.Epoch]uint64 // the highest position received of each epoch
}

// Limits bounds a Table. The zero value of each field means its default.
type Limits struct {
	Nodes   int // nodes remembered, foreign ones included; 1,024
	Units   int // units of one node; 4,096
	Signals int // signals of all units of one node, which is its aliases; 262,144
	Epochs  int // epochs of one node beyond those of its birth; 64
	Payload sparkplug.Limits
}

// Config configures a Table. The zero value of each field means its default.
type Config struct {
	Limits Limits
	// Reorder is how long a missing message may still come before the births are
	// asked for again; 5 s.
	Reorder time.Duration
	// Silence is how long a node may say nothing before it counts as gone; 60 s.
	Silence time.Duration
	// RebirthMin and RebirthMax bound the time between two Rebirths to one node:
	// it doubles while they do not help; 1 s and 60 s. For missing messages alone
	// there is at least RebirthMax between two.
	RebirthMin, RebirthMax time.Duration
}

func (c Config) withDefaults() Config {
	c.Limits.Nodes = orDefault(c.Limits.Nodes, 1024)
	c.Limits.Units = orDefault(c.Limits.Units, 4096)
	c.Limits.Signals = orDefault(c.Limits.Signals, 1<<18)
	c.Limits.Epochs = orDefault(c.Limits.Epochs, 64)
	c.Reorder = orDefault(c.Reorder, 5*time.Second)
	c.Silence = orDefault(c.Silence, time.Minute)
	c.RebirthMin = orDefault(c.RebirthMin, time.Second)
	c.RebirthMax = orDefault(c.RebirthMax, time.Minute)
	return c
}

func orDefault[T int | time.Duration](v, fallback T) T {
	if v <= 0 {
		return fallback
	}
	return v
}
