// Package salvage looks at record files that were not closed, and takes out of damaged ones
// what still reads back.
//
// It stands beside the start of a buffer, which has an [Asker] look at each file before the
// database opens it in the agent. The Asker runs the agent's program again, as a [Child] with
// limits of time, memory and stack, and believes what that says, or a panic or fault in it.
// Where the child cannot tell, the file is looked at here, without the database.
//
// What it promises: it changes no file that is there; a record is copied only if all of it
// reads back, once, under the name that it has itself; and [Report] tells what was there
// and did not read back, or how far that is known.
package salvage
