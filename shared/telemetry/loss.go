package telemetry

// Reason says why positions were lost.
type Reason string

// The reasons for a loss. What was dropped while it was on its way has the reason for which
// it was dropped: the ledger decides whether it came, as it does of every loss.
const (
	LossOverflow Reason = "overflow" // the buffer was full
	LossCrash    Reason = "crash"    // taken by a crash before they were durable
	LossDamaged  Reason = "damaged"  // the stored record no longer reads back
	LossOversize Reason = "oversize" // one record larger than the wire allows
	LossDatabase Reason = "database" // acknowledged, and no longer in the database: it was put back to an earlier state
)

// Known reports whether r is one of the reasons above.
func (r Reason) Known() bool {
	switch r {
	case LossOverflow, LossCrash, LossDamaged, LossOversize, LossDatabase:
		return true
	}
	return false
}

// Loss names positions that will not come, and why. It travels and is kept like a
// record of its own.
type Loss struct {
	Epoch       Epoch
	From, To    uint64 // positions [From, To)
	Reason      Reason
	Units       []string // where known
	Readings    uint64   // how many readings, where known
	First, Last int64    // unix ns of the first and last reading; 0 where unknown
}
