// Package broken breaks a rule on purpose, so that the chaos rig can show that it would
// notice. Only a program built with the tag andon_broken can be broken, by the environment
// variable ANDON_BROKEN, which names one of the rules below; in any other Is is false
// and what stands behind it is not compiled in. An agent of that build also lets its wall
// clock be set, by the file that ANDON_CLOCK names: see agent/clock.
package broken

// The rules that can be broken.
const (
	NoSync          = "no-sync"          // the buffer does not sync what it writes
	EarlyAck        = "early-ack"        // the intake acknowledges before the commit
	NoLedger        = "no-ledger"        // the store does not ask the ledger what it has
	EarlyMemory     = "early-memory"     // the buffer believes in a write before it has succeeded
	ReusedPositions = "reused-positions" // an agent begins its epoch anew at each start
	NoCredit        = "no-credit"        // the uplink sends more than the collector's credit
)
