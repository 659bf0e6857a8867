package dyno

import (
	"fmt"
	"math"
	"slices"
	"strings"
	"time"
)

// Fault is something that goes wrong, with its label: what, since when.
type Fault struct {
	Kind     Kind
	Start    float64       // s of the machine's own time
	Duration time.Duration // 0 lasts until it is cleared
	Signal   string        // of stuck, spike, dropout and drift: the signal; empty for a fitting one
}

// Kind is a kind of fault.
type Kind string

// The kinds of faults.
const (
	ThermalRunaway Kind = "thermal-runaway" // turns of the winding shorted while the coolant fails
	Overpressure   Kind = "overpressure"    // the brake's relief valve sticks
	PressureLeak   Kind = "pressure-leak"   // the brake circuit loses oil
	BearingWear    Kind = "bearing-wear"    // the bearing goes
	StuckSensor    Kind = "stuck-sensor"    // one signal keeps its value
	Spike          Kind = "spike"           // one signal jumps for single readings
	Dropout        Kind = "dropout"         // one signal is missing
	Drift          Kind = "drift"           // one signal walks away
)

// Kinds returns every kind of fault.
func Kinds() []Kind {
	return []Kind{ThermalRunaway, Overpressure, PressureLeak, BearingWear, StuckSensor, Spike, Dropout, Drift}
}

// Check returns an error when the fault is none of the kinds, or its signal is none of
// the profile's.
func (f *Fault) Check(signals []string) error {
	if !slices.Contains(Kinds(), f.Kind) {
		names := make([]string, 0, len(Kinds()))
		for _, k := range Kinds() {
			names = append(names, string(k))
		}
		return fmt.Errorf("fault %q is none of %s", f.Kind, strings.Join(names, ", "))
	}
	if f.Signal != "" && !slices.Contains(signals, f.Signal) {
		return fmt.Errorf("fault %s: there is no signal %q", f.Kind, f.Signal)
	}
	if f.Signal != "" && !f.ofSensor() {
		return fmt.Errorf("fault %s is of the machine and takes no signal", f.Kind)
	}
	return nil
}

// ofSensor reports whether only a sensor is at fault and the machine is well.
func (f *Fault) ofSensor() bool {
	switch f.Kind {
	case StuckSensor, Spike, Dropout, Drift:
		return true
	}
	return false
}

// at returns for how many seconds the fault has been there, or a negative number.
func (f *Fault) at(now float64) float64 {
	age := now - f.Start
	if age >= 0 && f.Duration > 0 && age > f.Duration.Seconds() {
		return -1
	}
	return age
}

// effects is what the machine's faults do to it.
type effects struct {
	shorted      float64 // additional copper loss, of the loss itself
	blocked      float64 // part of the coolant flow that is gone
	heat         float64 // W straight into the winding
	overpressure float64 // psi
	leak         float64 // part of the pressure that is gone
	wear         float64
}

// Apply works out what the faults do to the machine at its time now.
func (m *Machine) Apply(faults []Fault, now float64) {
	m.faults = effects{}
	for i := range faults {
		f := &faults[i]
		age := f.at(now)
		if age < 0 {
			continue
		}
		switch f.Kind {
		case ThermalRunaway:
			grown := -math.Expm1(-age / 4)
			m.faults.blocked = max(m.faults.blocked, grown)
			// A short feeds on the current: it is gone with the drive, so a stopped
			// machine really cools down.
			if m.Running {
				m.faults.shorted += 1.5 * grown
				m.faults.heat += 6000 * grown
			}
		case Overpressure:
			m.faults.overpressure += 190 * -math.Expm1(-age/2)
		case PressureLeak:
			m.faults.leak = max(m.faults.leak, 0.7*-math.Expm1(-age/40))
		case BearingWear:
			m.faults.wear = max(m.faults.wear, min(1, age/120))
		}
	}
}
