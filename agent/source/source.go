// Package source is the vocabulary between whatever takes readings and the rest of
// the agent: events, batches, and the [Source] that every driver implements.
//
// It stands at the very left of the flow: a driver (a sub-package such as replay)
// reads a cell's machines, the sampler reads the driver. A driver says which units
// are on test (births and deaths) and what they measured; it knows nothing of
// records, buffers or MQTT. The suite in source/sourcetest holds what every driver
// promises, and every driver passes it.
//
// There are two kinds of source. A rereadable one (a file) sets [Batch.Cursor]: what
// it delivered can be had again, so a full buffer holds it back and nothing is lost
// or doubled by a crash. A live one (a PLC, a simulator) leaves the cursor nil: it
// stamps readings when it takes them, never waits for its consumer, and counts what
// it had to drop.
package source

import (
	"context"
	"time"

	"andon.internal/shared/telemetry"
)

// StopTakes is how long a driver takes at most to notice that it is to stop.
const StopTakes = 100 * time.Millisecond

// Source is one place that readings come from. Open, Read and Close are called by
// one goroutine, never at the same time.
//
// The runs that a Source announced with births stay on test until it sends their
// death, also across restarts of the agent: Open is told which they are.
type Source interface {
	// Open prepares the source to go on behind what is durable. It may be called
	// again after an error, or after Close. An error leaves nothing open, and is
	// worth another try unless it wraps [ErrRefused]; even then the caller may try
	// again later, because an operator may have applied the cure.
	Open(ctx context.Context, from Resume) error

	// Read blocks until something is due and appends at least one event to b, in
	// order, and about [MaxBatch] at most. It returns ctx.Err() within [StopTakes] of ctx
	// ending, [io.EOF] (unwrapped) when the source has ended for good, and with either has
	// appended nothing. Any other error is temporary: nothing was appended and nothing was
	// passed over, and the caller tries again after a while.
	//
	// The caller resets b before each call. Everything in b is valid until the next
	// Read with the same b or the next call of b.Reset.
	Read(ctx context.Context, b *Batch) error

	// Close frees what Open took and stops every goroutine of the source. Closing a
	// source that is not open, or twice, is not an error.
	Close() error
}

// Resume says where a source goes on.
type Resume struct {
	// Cursor is the [Batch.Cursor] that last became durable; nil at the first start
	// and for a live source. A rereadable source continues exactly behind it.
	Cursor []byte

	// Runs are the runs of this source that are still on test, as far as the agent
	// knows. They go on without another birth. A source that finds one of them gone
	// sends its death; a birth of the same unit with another time also ends it.
	Runs []Run
}

// Run is one time on test of a unit. Unit and Born together name it.
type Run struct {
	Unit    string
	Profile *telemetry.Profile
	Born    int64  // unix ns
	Count   uint64 // readings so far
}
