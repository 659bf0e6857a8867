// Package agent is the edge agent: it takes readings at a cell, keeps them until
// PostgreSQL has them, and sends them.
//
// It stands at the left end of the whole flow, and is the one place where the
// agent's own parts are wired together:
//
//	source -> sampler -> buffer -> uplink -> MQTT
//	              \-> roster ------/
//
// It promises that nothing beyond the configuration is needed for it to start and
// to go on: the broker, the collector or a source may be away, a file may be damaged,
// and readings are taken and kept regardless. When it is stopped it stops against
// nobody's back: sources first, then one last bounded round of the uplink, then the
// buffer, so that what was taken is sent or on disk.
package agent
