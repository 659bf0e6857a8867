package source

import (
	"time"

	"andon.internal/shared/telemetry"
)

// Kind says what an [Event] tells.
type Kind uint8

// The kinds of events.
const (
	Birth   Kind = iota + 1 // a unit came on test: a new run begins
	Reading                 // one row of values
	Death                   // a unit left the test: its run has ended
)

func (k Kind) String() string {
	switch k {
	case Birth:
		return "birth"
	case Reading:
		return "reading"
	case Death:
		return "death"
	}
	return "unknown"
}

// Event is one thing that happened to one unit.
//
// The events of a unit make a grammar: a birth, readings, a death, and again. A
// birth while the unit is on test ends the old run and begins a new one, unless its
// time is that of the running one: then the run goes on, with the profile given.
type Event struct {
	Kind    Kind
	Unit    string             // matches telemetry.CheckID
	Time    int64              // unix ns: when born, taken, or died
	Profile *telemetry.Profile // of a Birth; not changed any more

	// Of a Reading. Values has one entry for each signal of the run's profile and
	// lies in the batch's arena. Quality holds what only the source knows: uncertain,
	// simulated, and the quality of Time where it is not the cell's clock
	// (telemetry.TimeSource). The sampler adds what can be seen from outside.
	Quality telemetry.Quality
	Values  []telemetry.Value
	Late    time.Duration // how long after its due moment it was taken; 0 when nothing was due

	Reason string // of a Death: such as "finished"; at most telemetry.MaxTextLength bytes
}

// MaxBatch is how many events a driver puts into a batch, about: one that keeps readings of one
// instant together may have more. The memory of the largest batch is kept for the next ones.
const MaxBatch = 4096

// Batch collects what one Read delivers. The zero Batch is ready for use. A Batch
// belongs to one goroutine at a time.
type Batch struct {
	Events []Event

	// Cursor, when not nil, says that the source is rereadable and where it stands
	// behind the last event. The bytes belong to the source. Opened at it, the source
	// gives the same events again, in batches of any size. Where the events hang on
	// what was chosen at the first Open, such as a start, the first batch of all holds
	// one reading, so that the choice is durable before anything else.
	Cursor []byte

	arena []telemetry.Value
}

// Reset empties the batch and keeps its memory. The values of earlier events are
// void after it.
func (b *Batch) Reset() {
	clear(b.Events)
	b.Events, b.Cursor, b.arena = b.Events[:0], nil, b.arena[:0]
}

// AddBirth appends the birth of a unit at born (unix ns).
func (b *Batch) AddBirth(unit string, p *telemetry.Profile, born int64) {
	b.Events = append(b.Events, Event{Kind: Birth, Unit: unit, Time: born, Profile: p})
}

// AddReading appends a reading taken at t (unix ns). The values are copied. The
// event returned is valid until the next Add and is for the rarely set Late.
func (b *Batch) AddReading(unit string, t int64, q telemetry.Quality, values []telemetry.Value) *Event {
	at := len(b.arena)
	// When the arena moves, earlier events keep the old one alive: it is not written
	// to again, so their values stay right.
	b.arena = append(b.arena, values...)
	b.Events = append(b.Events, Event{
		Kind: Reading, Unit: unit, Time: t, Quality: q,
		Values: b.arena[at:len(b.arena):len(b.arena)],
	})
	return &b.Events[len(b.Events)-1]
}

// AddDeath appends the death of a unit at t (unix ns).
func (b *Batch) AddDeath(unit string, t int64, reason string) {
	b.Events = append(b.Events, Event{Kind: Death, Unit: unit, Time: t, Reason: reason})
}
