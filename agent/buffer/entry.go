package buffer

import (
	"time"

	"andon.internal/agent/buffer/internal/format"
)

// stage is how far a record in memory has come.
type stage uint8

const (
	queued  stage = iota // waits to be written, or to be acknowledged before that
	writing              // is in the transaction that runs
	stored               // is on disk; its bytes are kept for a while to be read from here
	gone                 // was acknowledged or put out of memory
)

// entryCost is what a record in memory costs beside its bytes, about.
const entryCost = 256

// entry is a record in memory. The index's lock guards it, but for the fields that
// never change after Append.
type entry struct {
	class       Class
	label       string
	rows        int
	first, last int64
	appended    time.Time
	length      int       // of the data
	size        int       // of the envelope, at most
	ahead       bool      // not visible before it is on disk
	moved       bool      // see Stored.Moved
	bound       bool      // written in one transaction with the cursor that follows
	cursor      *cursor   // it is not a record but this cursor; the label is its name
	bury        *LossInfo // a loss record: what is to be deleted once it is safe
	doomed      int64     // and the space that this frees, where it is known

	key    Key
	serial uint64 // orders the queue
	stage  stage
	acked  bool // while it was being written
	data   []byte
	packed []byte // compressed, where that pays and the record is sure to be written
	cost   int64  // bytes of memory
}

// newEntry makes an entry of an item. It compresses when it is sure to be written.
func newEntry(it *Item, now time.Time, ahead bool) *entry {
	e := &entry{
		class: it.Class, label: clipLabel(it.Label), rows: it.Rows, first: it.First, last: it.Last,
		appended: now, length: len(it.Data), ahead: ahead, data: it.Data,
	}
	payload := len(e.data)
	if ahead {
		if e.packed = format.Pack(e.data); e.packed != nil {
			payload = len(e.packed)
		}
	}
	e.size = format.EnvelopeHead + len(e.label) + payload + format.EnvelopeTail
	e.cost = int64(len(e.data)+len(e.packed)) + entryCost
	return e
}

func (e *entry) tally() tally { return format.TallyOf(e.rows, e.size) }

// envelope returns the entry as it is to be stored. It may be called without the
// lock while the entry is being written.
func (e *entry) envelope() format.Envelope {
	v := format.Envelope{
		Key: e.key, Class: e.class, Label: e.label, Rows: e.rows, First: e.first, Last: e.last,
		Appended: e.appended.UnixNano(), Length: e.length, Moved: e.moved, Payload: e.data,
	}
	packed := e.packed
	if packed == nil && !e.ahead {
		packed = format.Pack(e.data)
	}
	if packed != nil {
		v.Packed, v.Payload = true, packed
	}
	return v
}

// give returns the entry as the buffer gives it out.
func (e *entry) give() Stored {
	return Stored{
		Key: e.key, Class: e.class, Data: e.data, Label: e.label, Rows: e.rows,
		First: e.first, Last: e.last, Appended: e.appended, OnDisk: e.stage == stored, Moved: e.moved,
	}
}
