package chaos

import "context"

// Bounds of what a cell may have on its way beyond its credit, which halves when
// something does not arrive, while that is still on its way.
const (
	creditFactor = 4
	creditFloor  = 16
)

// watchCredit looks whether the cells keep to the collector's credit.
func (r *rig) watchCredit(ctx context.Context) {
	for _, cell := range cells {
		s, err := r.status(ctx, cell)
		if err != nil {
			continue // it is down
		}
		if most := creditFactor*s.Link.CreditRecords + creditFloor; s.Link.InFlightRecords > most {
			r.over.Add(1)
			r.say("! %s has %d records on their way with a credit of %d", cell, s.Link.InFlightRecords, s.Link.CreditRecords)
		}
	}
}
