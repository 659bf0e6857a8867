package buffer

import (
	"time"

	"andon.internal/agent/buffer/internal/format"
)

// Found is a record as it lies in a buffer, or what does not read back there.
type Found struct {
	Stored
	File   string // that it is in; empty for one that is in memory
	Offset int64  // of its page in the file, where known
	Err    error  // why it does not read back; only the name, the file and the place are then set, as far as known
}

// AppendStored appends a record in the form in which it lies in a file, but not
// compressed, to dst. [ParseStored] reads it.
func AppendStored(dst []byte, s *Stored) []byte {
	v := format.Envelope{
		Key: s.Key, Class: s.Class, Label: s.Label, Rows: s.Rows, First: s.First, Last: s.Last,
		Appended: s.Appended.UnixNano(), Length: len(s.Data), Payload: s.Data,
	}
	return v.AppendTo(dst)
}

// ParseStored reads what AppendStored made, or a record of a file. The error wraps
// [ErrDamaged] where its checksum, form or lengths do not fit.
func ParseStored(b []byte) (Stored, error) {
	v, err := format.ParseEnvelope(b)
	if err != nil {
		return Stored{}, err
	}
	data, err := v.Data()
	if err != nil {
		return Stored{Key: v.Key}, err
	}
	return Stored{
		Key: v.Key, Class: v.Class, Data: data, Label: v.Label, Rows: v.Rows, First: v.First, Last: v.Last,
		Appended: time.Unix(0, v.Appended), OnDisk: true,
	}, nil
}

// ErrDamaged is wrapped by what says that a record or a file does not read back.
var ErrDamaged = errDamaged

// Inventory is what a buffer holds, by epoch and by file.
type Inventory struct {
	Epochs   []EpochInfo // oldest first
	Files    []FileInfo  // oldest first
	Cursors  []CursorInfo
	SetAside []FileInfo // damaged files that are kept under another name, without their contents
	Faults   []string   // what of the folder itself does not read back
}

// EpochInfo is one epoch.
type EpochInfo struct {
	EpochState
	Boot  [16]byte  // the machine's boot id, while it was the current one
	Began time.Time // zero where only a file knows of it
}

// FileInfo is one record file.
type FileInfo struct {
	Name    string
	Size    int64  // bytes
	Sealed  bool   // not written any more
	Active  bool   // is written
	Records uint64 // in it, also those that are only to be deleted
	Rows    uint64 // readings in them
	Bytes   uint64 // of them, as stored
	Live    uint64 // how many of the records are held
	Err     error  // why it does not read back
}

// CursorInfo is how far a source that can be read again has been read.
type CursorInfo struct {
	Name       string
	Generation uint64
	Bytes      int
	Lost       string // the file with which it was lost; empty where it is not
}
