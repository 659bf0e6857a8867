package buffer

import "andon.internal/agent/buffer/internal/format"

// Epoch names one life of a buffer: from an Open to its Close or crash. It is a
// ULID, so epochs sort by the wall time at which they began.
type Epoch = format.Epoch

// Key is the name of a record: its Epoch and Position.
type Key = format.Key

// Class says what a record is, and with it how long it may linger in memory.
type Class = format.Class

// The classes.
const (
	Bulk  = format.Bulk  // readings
	Alarm = format.Alarm // alarm events and stop results: on disk within the alarm linger
	Loss  = format.Loss  // made by the buffer itself: see [DecodeLoss]
)

const maxPosition = format.MaxPosition

// errDamaged is what a record or file that does not read back is reported with.
var errDamaged = format.ErrDamaged

type (
	cursor = format.Cursor
	tally  = format.Tally
)
