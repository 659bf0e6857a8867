// Package plant is the live picture of the plant in memory: every unit on test with
// its last values and state, every cell with its link and backlog, the alarms, and
// the last fifteen minutes of every signal.
//
// It stands beside the flow: what the cells send and what the sentinel announces
// goes in, and pages read snapshots and changes from it. It is what remains when
// the database is away.
//
// It is pure: time comes in as an argument, nothing here does I/O or starts a
// goroutine. It promises bounded memory whatever comes in (see [Limits]), and that
// what it gave out is never changed afterwards. All methods of [Plant] are safe for
// concurrent use.
package plant
