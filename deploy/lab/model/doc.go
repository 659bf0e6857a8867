// Package model is the protocol between cell and database, small enough to be tried
// whole: a test goes through every state that a cell, a network that delays, repeats and
// loses, and a ledger can come to, with crashes, failed writes, overflow, rotation, a
// second box of the same name, a copied disk, a copy of a running machine beside it, a machine
// that was put back, and a database restored from a backup.
//
// It stands beside the rig that breaks the real thing: what a rig meets by chance, once in
// a thousand hours, is here met for certain; what the model leaves out, the rig has. In
// every state each reading that was taken is stored once, or still held, or its loss has
// a cause that may be told. Each rule of the protocol can be left out, and then there is a
// state in which a reading is gone, doubled or told wrongly; the shortest way to it is
// what [Explore] returns.
//
// It is pure and knows nothing of the code that it speaks for.
package model
