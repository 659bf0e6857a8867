package store

import (
	"time"

	"andon.internal/shared/ranges"
	"andon.internal/shared/telemetry"
)

// Entry is one position of one epoch to be stored. Exactly one of Record, Loss and
// Poison is set. Commit reads an entry's record and never changes or keeps it.
type Entry struct {
	Node       telemetry.Node
	Epoch      telemetry.Epoch
	Position   uint64
	ReceivedAt time.Time
	// Moved says that the entry had another name, under which what is in it may be stored:
	// its node was put back to an earlier state. Commit compares.
	Moved bool

	Record *telemetry.Record // readings, or the end of a run
	Loss   *telemetry.Loss   // positions that will not come; has a position of its own
	Poison *Poison           // what cannot be decoded
}

// Poison is a message that came for a position and cannot be stored as readings.
type Poison struct {
	Reason  string
	Payload []byte // kept up to [MaxPayload] bytes
}

// Outcome says what became of an entry.
type Outcome uint8

// The outcomes. After all but Deferred and Invalid the position is in the ledger
// for good and may be acknowledged.
const (
	// Committed: stored now, also where the position was quarantined before. For a loss
	// record: the loss is noted. Of a record that two lives of a cell have, none of the
	// readings may be stored now, because all were.
	Committed Outcome = iota + 1
	// Duplicate: the position was committed before, or was quarantined before and this
	// cannot be stored either, or another entry of the batch has it; nothing was written
	// but the count.
	Duplicate
	// Quarantined: kept aside whole, with a reason.
	Quarantined
	// Deferred: not stored, because the epoch's ledger has too many holes already
	// ([Config.MaxHoles]) and this position would open another. Do not acknowledge:
	// it comes again, and is taken when older positions have closed the holes.
	Deferred
	// Invalid: not stored and not storable: the entry names no position that a
	// ledger can hold, or a node or epoch that is malformed.
	Invalid
)

func (o Outcome) String() string {
	names := [...]string{"unknown", "committed", "duplicate", "quarantined", "deferred", "invalid"}
	if int(o) < len(names) {
		return names[o]
	}
	return names[0]
}

// Settled reports whether the position may be acknowledged.
func (o Outcome) Settled() bool { return o >= Committed && o <= Quarantined }

// Result is what a committed batch did.
type Result struct {
	Outcomes []Outcome // one an entry, in the batch's order
	Rows     int       // readings stored
	Nodes    map[telemetry.Node]NodeCounts
	Rejects  []Reject // what went to quarantine, in the batch's order
}

// Reject is an entry, or some of its readings, that went to quarantine.
type Reject struct {
	Entry  int // index in the batch
	Rows   int // readings concerned; 0 for poison
	Reason string
}

// NodeCounts are one node's share of a batch.
type NodeCounts struct {
	Rows        int // readings stored
	Late        int // of these, older than a reading of their run that was there before
	Records     int // positions committed
	Recovered   int // of these, quarantined before
	Repeated    int // readings of them that were there already, under another name
	Duplicates  int // positions that were there already
	Quarantined int // readings and poisoned messages set aside
	Deferred    int // positions refused for too many holes
}

// MaxPayload bounds what quarantine keeps of one message.
const MaxPayload = 1 << 20

// EndKind says how an epoch ended, as its node knows.
type EndKind uint8

// The ends of an epoch.
const (
	EndOpen    EndKind = iota // the current epoch
	EndClosed                 // in order: positions [0, Next) were used
	EndUnclean                // by a crash: the highest position known is Next-1
)

// ChainEpoch is one epoch of a node's chain, as its birth lists it.
type ChainEpoch struct {
	Epoch, Prev telemetry.Epoch // Prev is zero for the first
	End         EndKind
	Next        uint64
	Held        ranges.Set // what the node may still send; may be larger, never smaller
}

// Birth is what a node's birth says about its past.
type Birth struct {
	Node  telemetry.Node
	Boot  [16]byte     // the machine's boot id; zero where it has none
	Chain []ChainEpoch // oldest first; the last is the current one
	// Seen holds, for epochs of the node in which positions were received that may
	// not have reached the ledger, the highest of them.
	Seen map[telemetry.Epoch]uint64
}

// Synced is the answer to a birth.
type Synced struct {
	// Stored holds, for every epoch of the chain, the positions committed or
	// quarantined: what the node may delete.
	Stored map[telemetry.Epoch]ranges.Set
	// Lost is how many positions this birth showed to be lost.
	Lost uint64
	// Doubted are epochs of the node that are neither in the chain nor known to
	// precede it: another box claims the same node, or epochs between are unknown.
	// They stay as they are.
	Doubted []telemetry.Epoch
}
