package buffer

import (
	"errors"
	"time"

	"andon.internal/agent/buffer/internal/format"
	"andon.internal/shared/ranges"
)

// Item is what [Buffer.Append] takes: one record without a name.
type Item struct {
	Class       Class
	Data        []byte // the buffer keeps it: it must not be changed after Append
	Label       string // whose it is, for loss records; at most 255 bytes are kept
	Rows        int    // readings in it
	First, Last int64  // unix ns of the first and last reading; 0 where it has none
}

// Stored is a record as the buffer gives it out.
type Stored struct {
	Key
	Class       Class
	Data        []byte // read-only, valid for ever
	Label       string
	Rows        int
	First, Last int64     // unix ns
	Appended    time.Time // monotonic when it was appended by this process
	OnDisk      bool      // a power cut does not take it
	// Moved: NewEpoch gave it its name. It had another one, and where this process is the
	// second life of a machine that was put back, the first one may have sent it under that.
	Moved bool
	// PassedOver: between this one and the one behind which Next looked are some that cannot be
	// read now.
	PassedOver bool
}

// Lane is an order in which records are read.
type Lane uint8

const (
	// Live is the records of the current epoch that were appended less than
	// Options.LiveAge ago, in the order of their positions.
	Live Lane = iota
	// Backlog is every record that is held, oldest epoch first, then by position. It
	// includes the live ones.
	Backlog
)

// Cursor is a rereadable source's place, stored in the same transaction as the
// items it stands behind.
type Cursor struct {
	Name string // the source; 1..255 bytes
	Data []byte // at most 64 KiB
}

// EndKind says how an epoch ended.
type EndKind uint8

// The ends of an epoch. Their numbers are stored and never change.
const (
	EndOpen    EndKind = 0 // it is the current one
	EndClosed  EndKind = 1 // closed in order: positions below Next were assigned, no other
	EndUnclean EndKind = 2 // crashed: Next is one more than the highest position known
)

// EpochState is one link of the chain of epochs.
type EpochState struct {
	Epoch, Prev Epoch // Prev is zero where there is none
	Ended       EndKind
	Next        uint64     // see EndKind; for the current epoch the next position to be assigned
	Held        ranges.Set // what is still held, also what Next does not yet give out
	Retained    ranges.Set // what was acknowledged and can be requeued; see Options.Retain
}

// Stats is a look at the buffer at one moment.
type Stats struct {
	Records   uint64        // held
	Rows      uint64        // readings in them; loss records have none
	Bytes     uint64        // of them, as stored
	OldestAge time.Duration // since the oldest held record was appended; 0 when nothing is held

	Unwritten         int           // held records that are in memory only
	Overdue           time.Duration // how much longer than their lingers the one that waits longest does; a disk that hangs makes it long
	MemoryBytes       int64         // record bytes in memory, unwritten and cached
	DiskBytes         int64         // size of all files
	DiskLimit         int64         // Options.MaxDisk
	Files             int           // record files on disk
	Sealed            int           // how many of them are not written any more, because a write to them failed, a record in them is damaged, or they cannot be removed
	Full              bool          // there is no room: sources with a cursor wait, of the others something is lost
	NoSpace           bool          // the file system has no space left, though DiskLimit is not reached
	LostRows          uint64        // readings lost to overflow, oversize or damage since Open
	LostRecords       uint64        // records likewise
	UnreadableRecords uint64        // how many of those that are held: see Unreadable
	InPlace           int           // damaged record files that could not be salvaged or set aside: the next start tries again
	Unreadable        error         // why held records cannot be read now, in files that do not open or in a newer form; nil while all can
	WriteError        error         // why the last write failed; nil after one that succeeded
	SealError         error         // why a record file was given up, the last one within five minutes: a write or sync failed, and its records are in another one; nil when none was
	ChainError        error         // why the chain of epochs cannot be written, so that no epoch can begin or be closed; nil while it can
	Detached          error         // why the folder is not in use at all; nil while it is: see OpenDetached
}

var (
	// ErrFull is returned by an Append with a cursor when there is no room, or half of the
	// memory holds what the disk has still to take: nothing was taken. Wait with [Buffer.WaitSpace] and append again.
	ErrFull = errors.New("buffer is full")
	// ErrTooLarge is wrapped by an Append of more than could ever find room at once:
	// append it in parts.
	ErrTooLarge = errors.New("more than the buffer takes at once")
	// ErrCursorLost is wrapped by [Buffer.Cursor] when the newest copy of a cursor was in
	// a file that is damaged. The text says what to do.
	ErrCursorLost = errors.New("the place up to which the source was read is lost")
	// ErrUnreadable is wrapped where records are held that cannot be read now: their file does
	// not open, and is tried again, or they are in a form that this version does not know.
	ErrUnreadable = errors.New("it is held, and cannot be read now")
	// ErrClosed is returned after Close.
	ErrClosed = errors.New("buffer is closed")
	// ErrNewer is wrapped by Open when the files are in a form that this version does not know.
	ErrNewer = format.ErrNewer
	// ErrInUse is returned by Open when another process has the folder open.
	ErrInUse = errors.New("buffer folder is in use by another process")
)
