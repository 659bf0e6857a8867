// Package simulated is the source of a cell full of dynamometers that do not exist:
// stations on which units are born, driven through a test programme, and die, with the
// noise, the latency, the dropped readings and the faults of a plant. The physics is
// in package dyno.
//
// It is a live source. A clock of its own takes the readings; a consumer that is slow
// does not delay it. What finds no room in the bounded queue between them is counted
// and gone, as it would be with a machine; so are readings of a time in which the process
// stood still, but for the last second of it.
//
// Units are named PREFIX + station + "-" + serial, such as "dyno-03-0007". The same seed
// gives the same machines. After a restart of the agent a unit that is still on test
// goes on where a machine would be that ran on meanwhile.
package simulated
