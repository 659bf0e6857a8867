// Package flight decides what may be on its way between a cell and PostgreSQL: how
// much at once, when a record counts as lost and is due again, and which record is
// put aside because it never arrives.
//
// It stands inside the uplink, between the lanes of the buffer and the MQTT link.
// It is pure: time comes in as an argument, it does no I/O, starts no goroutine and
// is not safe for concurrent use. It promises that no more than the collector's
// credit is in flight, that at least one record always may be, and that a record
// put aside is only delayed, never given up.
package flight
