package dyno

import (
	"math"
	"math/rand/v2"

	"andon.internal/shared/telemetry"
)

// channel is one sensor: the noise it adds (one standard deviation) and the step of
// its converter, both in the signal's unit.
type channel struct {
	signal      string
	noise, step float64
	jump        float64 // of a spike
	drift       float64 // per second, of a drift
	read        func(m *Machine) float64
}

// channels are the analog signals of the profile dyno.
var channels = []channel{
	{"torque_nm", 0.15, 0.01, 60, 0.05, func(m *Machine) float64 { return m.Torque }},
	{"speed_rpm", 1.5, 0.5, 900, 1, func(m *Machine) float64 { return m.Speed }},
	{"winding_temp_c", 0.25, 0.1, 70, 0.15, func(m *Machine) float64 { return m.Winding }},
	{"case_temp_c", 0.15, 0.1, 50, 0.1, func(m *Machine) float64 { return m.Case }},
	{"bus_voltage_v", 0.6, 0.1, 120, 0.2, (*Machine).BusVolts},
	{"phase_current_a", 0.3, 0.05, 90, 0.1, (*Machine).Current},
	{"vibration_mm_s", 0.06, 0.01, 12, 0.02, (*Machine).Vibration},
	{"hydraulic_pressure_psi", 2.2, 0.5, 300, 0.8, func(m *Machine) float64 { return m.Pressure }},
	{"coolant_flow_l_min", 0.05, 0.01, 6, 0.02, func(m *Machine) float64 { return m.Flow }},
	{"efficiency_pct", 0.25, 0.01, 40, 0.05, (*Machine).Efficiency},
}

// Signals returns the names of the signals that a reading has, in their order.
func Signals() []string {
	out := make([]string, 0, len(channels)+2)
	for _, c := range channels {
		out = append(out, c.signal)
	}
	return append(out, "cycle_count", "running")
}

// Sensors turns a machine's state into readings. It belongs to one goroutine.
type Sensors struct {
	rng   *rand.Rand
	stuck map[string]float64
}

// spikeEvery is how many readings a spike fault leaves between two spikes, on average.
const spikeEvery = 10

// Read returns one reading in the order of [Signals], appended to out. The faults are
// those of the machine; now is its time in s.
func (s *Sensors) Read(out []telemetry.Value, m *Machine, faults []Fault, now float64) []telemetry.Value {
	for i := range channels {
		c := &channels[i]
		v := c.read(m) + c.noise*s.rng.NormFloat64()
		v, missing := s.disturb(c, v, faults, now)
		if missing {
			out = append(out, telemetry.Value{})
			continue
		}
		v = math.Round(v/c.step) * c.step
		// Rounding to the step leaves digits that the converter does not have.
		v = math.Round(v*1e6) / 1e6
		switch c.signal {
		case "phase_current_a", "vibration_mm_s", "hydraulic_pressure_psi", "coolant_flow_l_min", "efficiency_pct":
			v = max(v, 0) // these sensors do not read below zero
		}
		out = append(out, telemetry.DoubleValue(v))
	}
	return append(out, telemetry.IntegerValue(m.Cycles), telemetry.BooleanValue(m.Running))
}

// disturb applies the faults of a sensor to its value.
func (s *Sensors) disturb(c *channel, v float64, faults []Fault, now float64) (_ float64, missing bool) {
	held := false
	for i := range faults {
		f := &faults[i]
		age := f.at(now)
		if age < 0 || !f.ofSensor() || (f.Signal != c.signal && (f.Signal != "" || c.signal != defaultSignal[f.Kind])) {
			continue
		}
		switch f.Kind {
		case StuckSensor:
			if _, ok := s.stuck[c.signal]; !ok {
				s.stuck[c.signal] = v
			}
			v, held = s.stuck[c.signal], true
		case Spike:
			if s.rng.IntN(spikeEvery) == 0 {
				v += c.jump * float64(1-2*s.rng.IntN(2))
			}
		case Dropout:
			missing = true
		case Drift:
			v += c.drift * age
		}
	}
	if !held {
		delete(s.stuck, c.signal)
	}
	return v, missing
}

// defaultSignal is whose sensor fails when a fault names none.
var defaultSignal = map[Kind]string{
	StuckSensor: "winding_temp_c",
	Spike:       "hydraulic_pressure_psi",
	Dropout:     "coolant_flow_l_min",
	Drift:       "torque_nm",
}

// New returns a machine at rest in a warm hall and its sensors. Two of the same seed
// are alike to the last bit; different seeds are specimens of one series.
func New(seed uint64) (*Machine, *Sensors) {
	rng := rand.New(rand.NewPCG(seed, 0x616e646f6e))
	m := &Machine{
		Winding: airTemp + 3*rng.Float64(), Case: airTemp + 2*rng.Float64(),
		Pressure: pressureIdle, Flow: nominalFlow,
		spread: spread{1 + 0.03*rng.NormFloat64(), 1 + 0.05*rng.NormFloat64(), 1 + 0.15*rng.NormFloat64()},
	}
	return m, &Sensors{rng: rng, stuck: map[string]float64{}}
}
