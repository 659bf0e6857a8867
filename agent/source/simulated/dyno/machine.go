package dyno

import "math"

// The constants of the machine. Temperatures are in degC, the rest in SI units unless
// the name says otherwise.
const (
	ratedTorque  = 40.0  // N·m
	ratedSpeed   = 3000. // rpm
	torquePerAmp = 0.62  // N·m per A RMS of phase current
	resistance   = 0.055 // ohm, one phase at 20 degC
	copperTemp   = 0.00393
	noLoadAmps   = 2.5
	busVolts     = 560.0
	busOhms      = 0.08 // what the supply sags
	hysteresis   = 0.35 // iron loss per rad/s, W
	eddy         = 0.0016
	friction     = 0.25 // bearing loss per rad/s, W

	windingHeat  = 900.0  // heat capacity, J/K
	caseHeat     = 6500.0 // J/K
	windingCase  = 0.075  // thermal resistance winding to case, K/W
	caseCoolant  = 0.022  // case to coolant at nominal flow, K/W
	caseAir      = 0.35   // case to air, K/W
	coolantTemp  = 24.0
	airTemp      = 22.0
	nominalFlow  = 8.0 // L/min
	ironToStator = 0.6 // part of the iron loss that heats the winding

	speedLag    = 0.5 // s, of the speed controller
	torqueLag   = 0.2 // s, of the brake
	pressureLag = 0.3 // s, of the hydraulics

	pressureIdle = 310.0 // psi, of the brake circuit with no load
	pressurePer  = 3.4   // psi per N·m of brake torque
	burnOut      = 230.0 // degC at which the winding's insulation (class H, 180 degC, and its reserve) is gone
	vibrationMin = 0.35  // mm/s RMS at standstill: the floor
	unbalance    = 1.1   // mm/s at rated speed
)

// Machine is one actuator on its dynamometer: its true state, before any sensor.
type Machine struct {
	Speed    float64 // rpm; negative in reverse
	Torque   float64 // N·m at the shaft
	Winding  float64 // degC
	Case     float64 // degC
	Pressure float64 // psi
	Flow     float64 // L/min
	Wear     float64 // of the bearing: 0 new, 1 worn out
	Cycles   int64
	Running  bool

	copper, iron float64 // losses of the last step, W
	faults       effects
	stopped      bool
	burnt        bool
	spread       spread
}

// spread is how far this specimen is from the drawing.
type spread struct{ resistance, cooling, unbalance float64 }

// Demand is what the programme asks of the machine.
type Demand struct {
	Speed  float64 // rpm
	Torque float64 // N·m
	Run    bool
}

// Stop takes away speed and torque until Release: the machine runs down and cools.
func (m *Machine) Stop() { m.stopped = true }

// Release lets the programme drive again.
func (m *Machine) Release() { m.stopped = false }

// Stopped reports whether a stop holds the machine.
func (m *Machine) Stopped() bool { return m.stopped }

// Burnt reports whether the winding got so hot that its insulation failed. The drive
// trips on the earth fault, and nothing makes this specimen run again.
func (m *Machine) Burnt() bool { return m.burnt }

// maxStep keeps the integration stable and exact enough: the fastest lag is 0.2 s.
const maxStep = 0.05

// Step lets dt seconds pass under the demand.
func (m *Machine) Step(dt float64, d Demand) {
	if m.stopped || m.burnt {
		d = Demand{}
	}
	m.Running = d.Run
	for dt > 0 {
		h := min(dt, maxStep)
		m.step(h, d)
		if m.Winding >= burnOut && !m.burnt {
			m.burnt, m.Running, d = true, false, Demand{}
			m.faults.shorted, m.faults.heat = 0, 0 // the current that fed them is gone
		}
		dt -= h
	}
}

func (m *Machine) step(h float64, d Demand) {
	m.Speed += (d.Speed - m.Speed) * -math.Expm1(-h/speedLag)
	m.Torque += (d.Torque - m.Torque) * -math.Expm1(-h/torqueLag)
	omega := m.omega()

	amps := m.Current()
	phase := resistance * m.spread.resistance * (1 + copperTemp*(m.Winding-20))
	m.copper = 3 * amps * amps * phase * (1 + m.faults.shorted)
	m.iron = hysteresis*omega + eddy*omega*omega

	m.Flow = nominalFlow * (1 - m.faults.blocked)
	cooling := math.Pow(max(m.Flow, 0)/nominalFlow, 0.8) / (caseCoolant * m.spread.cooling)
	toCase := (m.Winding - m.Case) / windingCase
	m.Winding += h / windingHeat * (m.copper + ironToStator*m.iron + m.faults.heat - toCase)
	m.Case += h / caseHeat * (toCase + (1-ironToStator)*m.iron -
		cooling*(m.Case-coolantTemp) - (m.Case-airTemp)/caseAir)

	pressure := (pressureIdle + pressurePer*math.Abs(m.Torque) + m.faults.overpressure) * (1 - m.faults.leak)
	m.Pressure += (pressure - m.Pressure) * -math.Expm1(-h/pressureLag)
	m.Wear = max(m.Wear, m.faults.wear)
}

func (m *Machine) omega() float64 { return math.Abs(m.Speed) * 2 * math.Pi / 60 }

// Current returns the RMS current of a phase in A.
func (m *Machine) Current() float64 {
	if math.Abs(m.Speed) < 1 && math.Abs(m.Torque) < 0.1 {
		return 0
	}
	return math.Hypot(noLoadAmps, m.Torque/torquePerAmp)
}

// Mechanical returns the power at the shaft in W.
func (m *Machine) Mechanical() float64 { return math.Abs(m.Torque) * m.omega() }

// Electrical returns the power taken from the bus in W.
func (m *Machine) Electrical() float64 {
	return m.Mechanical() + m.copper + m.iron + friction*m.omega()*(1+3*m.Wear)
}

// Efficiency returns shaft power over bus power in percent; 0 where hardly any power
// flows.
func (m *Machine) Efficiency() float64 {
	if m.Electrical() < 50 {
		return 0
	}
	return 100 * m.Mechanical() / m.Electrical()
}

// BusVolts returns the voltage of the drive's DC bus.
func (m *Machine) BusVolts() float64 { return busVolts - busOhms*m.Electrical()/busVolts }

// Vibration returns the velocity at the bearing in mm/s RMS: the floor, the unbalance
// with the square of the speed, and the bearing, which grows steeply with its wear.
func (m *Machine) Vibration() float64 {
	part := math.Abs(m.Speed) / ratedSpeed
	bearing := 9 * m.Wear * m.Wear * part
	shaft := unbalance * m.spread.unbalance * part * part
	return math.Sqrt(vibrationMin*vibrationMin + shaft*shaft + bearing*bearing)
}
