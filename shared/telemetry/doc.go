// Package telemetry holds the words that every part of Andon shares: signals and
// profiles, values and readings, records, epochs and losses, with their checks.
//
// It stands at both ends of the flow and imports only the standard library. A
// signal's [Value] is read at a cell, grouped into a [Record], kept under an
// [Epoch] and a position until PostgreSQL has committed it. Nothing here does I/O,
// reads a clock or starts a goroutine; all functions are safe for concurrent use
// on values that are not being changed.
package telemetry
