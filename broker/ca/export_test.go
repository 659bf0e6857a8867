package ca

import "time"

// SetClock sets the authority's clock.
func (c *CA) SetClock(now func() time.Time) { c.now = now }

// Bounds.
const (
	MaxGood     = maxGood
	ForgetAfter = forgetAfter
)
