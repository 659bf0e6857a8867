package format

import (
	"bytes"
	"encoding/binary"
)

// Epoch names one life of a buffer: from an Open to its Close or crash. It is a
// ULID, so epochs sort by the wall time at which they began.
type Epoch = [16]byte

// Class says what a record is, and with it how long it may linger in memory.
type Class uint8

// The classes. Their numbers are stored and never change.
const (
	Bulk  Class = 0 // readings
	Alarm Class = 1 // readings around an alarm, alarm events: on disk within the alarm linger, let go of last
	Loss  Class = 2 // made by the buffer itself: its data tell what is lost
)

func (c Class) String() string {
	switch c {
	case Bulk:
		return "bulk"
	case Alarm:
		return "alarm"
	case Loss:
		return "loss"
	}
	return "unknown"
}

// Key is the name of a record.
type Key struct {
	Epoch    Epoch
	Position uint64
}

// MaxPosition is the highest position that a record can have.
const MaxPosition = 1<<63 - 2

// RecordKey is the key of a record in its bucket; [ParseKey] is the inverse.
func RecordKey(k Key) []byte {
	return binary.BigEndian.AppendUint64(bytes.Clone(k.Epoch[:]), k.Position)
}

// ParseKey reads the name of a record.
func ParseKey(key []byte) (Key, bool) {
	if len(key) != len(Epoch{})+8 {
		return Key{}, false
	}
	k := Key{Epoch(key), binary.BigEndian.Uint64(key[len(Epoch{}):])}
	return k, k.Position <= MaxPosition
}
