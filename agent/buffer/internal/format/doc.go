// Package format is the files of a buffer: what lies in a record file, how it is written in
// one transaction, and how it is read, with the database and without it.
//
// It stands below agent/buffer, which decides what is written, and agent/buffer/internal/salvage, which
// reads what is damaged. The database (bbolt) answers damage with a panic, some of them in
// goroutines of its own, or by following pages for ever; so [CheckRecords] and [OpenWalker]
// go through its pages themselves, each once, and [Guarded] turns a panic into an error.
//
// What it promises: what does not read back is an error that wraps [ErrDamaged], never a
// panic; what a newer version wrote is an error that does not.
package format
