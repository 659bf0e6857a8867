// Package sparkplug writes and reads what Andon says over MQTT: Sparkplug B 3.0
// topics and payloads, in both directions.
//
// It stands between agent and collector. The general codec ([Payload], [Decode])
// carries births, deaths, commands, heartbeats and the messages of other people's
// nodes. Records take a fast path ([AppendRecord], [DecodeRecord]) that builds no
// Payload. What the standard leaves free, Andon fills: the uuid and body of a
// payload carry a record's identity, and a node command named Andon/Ack carries
// the database's acknowledgement ([Ack]).
//
// The package is pure: no I/O, no clock, no goroutine. Every function is safe for
// concurrent use. Decoders never panic, refuse what exceeds [Limits], and keep no
// reference to the bytes they were given, unless they say so.
package sparkplug
