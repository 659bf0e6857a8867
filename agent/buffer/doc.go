// Package buffer keeps records on the edge box until they are acknowledged.
//
// It stands between the sampler, which calls [Buffer.Append], and the uplink, which
// reads with [Buffer.Next] and deletes with [Buffer.Ack]. It knows nothing of units,
// signals or MQTT: a record is a class, some bytes and a few numbers about them.
//
// What it promises:
//
//   - A record's name, its epoch and position, never changes and is never used
//     twice. Every Open begins a new epoch, whose header is on disk before Open
//     returns; where the folder cannot be used, [OpenDetached] begins one in memory.
//   - What is not acknowledged within the linger is on disk one synced write later.
//     Appends made with a cursor, and all appends in write-ahead mode, are on disk
//     before they are given out.
//   - Nothing held is dropped in silence: what does not fit, or no longer reads back,
//     becomes a loss record that is kept and given out like any other. A loss that is
//     still growing when the process crashes is told by where the epoch ended, but for
//     its last second.
//   - Append never waits for the disk. Memory, disk, open files and the size of a
//     record are bounded.
//   - After a crash a record may be given out again, under the same name.
package buffer
