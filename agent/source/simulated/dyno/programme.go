package dyno

import "math"

// Programme is the test of one unit: a ramp, holds with stepped load, a reverse part,
// and cooling down. Its shape is fixed and its length is set, so that a demo sees
// whole tests and a soak sees long ones.
type Programme struct {
	Seconds float64 // of the whole test
	Load    float64 // of rated torque, such as 0.9
	Speed   float64 // of rated speed
}

// The parts of a test, as the fraction of it at which each ends.
const (
	rampEnd     = 0.10
	forwardEnd  = 0.45
	turnEnd     = 0.55
	reverseEnd  = 0.80
	slowDownEnd = 0.86 // the rest is cooling down
)

// duty is the length of one duty cycle in s: load on for two thirds of it.
const duty = 12.0

// At returns what is asked at t seconds into the test, and whether it is over.
func (p Programme) At(t float64) (d Demand, over bool) {
	part := t / p.Seconds
	full := ratedSpeed * p.Speed
	d.Run = true
	switch {
	case part < rampEnd:
		d.Speed = full * part / rampEnd
		d.Torque = 0.2 * p.torque() * part / rampEnd
	case part < forwardEnd:
		d.Speed, d.Torque = full, p.loaded(t)
	case part < turnEnd:
		d.Speed = full * (1 - 2*(part-forwardEnd)/(turnEnd-forwardEnd))
		d.Torque = 0.1 * p.torque()
	case part < reverseEnd:
		d.Speed, d.Torque = -full, -p.loaded(t)
	case part < slowDownEnd:
		d.Speed = -full * (1 - (part-reverseEnd)/(slowDownEnd-reverseEnd))
	case part < 1:
		d.Run = false
	default:
		return Demand{}, true
	}
	return d, false
}

func (p Programme) torque() float64 { return ratedTorque * p.Load }

// loaded returns the stepped load of a duty cycle.
func (p Programme) loaded(t float64) float64 {
	if math.Mod(t, duty) < duty*2/3 {
		return p.torque()
	}
	return 0.35 * p.torque()
}

// Cycles returns how many duty cycles are complete at t seconds.
func (p Programme) Cycles(t float64) int64 {
	loaded := max(0, min(t, forwardEnd*p.Seconds)-rampEnd*p.Seconds) +
		max(0, min(t, reverseEnd*p.Seconds)-turnEnd*p.Seconds)
	return int64(loaded / duty)
}
