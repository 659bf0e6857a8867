package dyno_test

import (
	"math"
	"slices"
	"testing"

	"andon.internal/agent/source/simulated/dyno"
	"andon.internal/shared/profiles"
	"andon.internal/shared/telemetry"
)

// rig runs a machine through a programme at 1 Hz.
type rig struct {
	machine   *dyno.Machine
	sensors   *dyno.Sensors
	programme dyno.Programme
	faults    []dyno.Fault
	now       float64
}

func newRig(seed uint64) *rig {
	m, s := dyno.New(seed)
	return &rig{machine: m, sensors: s, programme: dyno.Programme{Seconds: 600, Load: 0.9, Speed: 1}}
}

func (r *rig) step() []telemetry.Value {
	demand, _ := r.programme.At(r.now)
	r.machine.Cycles = r.programme.Cycles(r.now)
	r.machine.Apply(r.faults, r.now)
	r.machine.Step(1, demand)
	r.now++
	return r.sensors.Read(nil, r.machine, r.faults, r.now)
}

func signal(values []telemetry.Value, name string) (float64, bool) {
	return values[slices.Index(dyno.Signals(), name)].Float()
}

func TestSignalsAreTheProfiles(t *testing.T) {
	p := profiles.Find(profiles.Builtin(), "dyno")
	var want []string
	for _, s := range p.Signals {
		want = append(want, s.Name)
	}
	if !slices.Equal(dyno.Signals(), want) {
		t.Errorf("signals %v, profile %v", dyno.Signals(), want)
	}
	for _, v := range newRig(1).step() {
		if v.Missing() {
			t.Error("a sound machine has a missing value")
		}
	}
}

func TestSameSeedSameReadings(t *testing.T) {
	a, b, c := newRig(7), newRig(7), newRig(8)
	same := true
	for range 300 {
		x, y, z := a.step(), b.step(), c.step()
		if !slices.Equal(x, y) {
			t.Fatal("two machines of one seed differ")
		}
		same = same && slices.Equal(x, z)
	}
	if same {
		t.Error("two seeds gave the same machine")
	}
}

// TestSoundMachineStaysSound holds a whole test, over many specimens, inside the
// profile's plausible ranges and away from every shipped alarm's limit.
func TestSoundMachineStaysSound(t *testing.T) {
	p := profiles.Find(profiles.Builtin(), "dyno")
	for seed := range uint64(50) {
		r := newRig(seed)
		hottest, highest, best := 0.0, 0.0, 0.0
		for r.now < 600 {
			values := r.step()
			for i, v := range values {
				if !p.Signals[i].Plausible(v) {
					t.Fatalf("seed %d, %v s: %s is %v", seed, r.now, p.Signals[i].Name, v)
				}
			}
			temp, _ := signal(values, "winding_temp_c")
			psi, _ := signal(values, "hydraulic_pressure_psi")
			eff, _ := signal(values, "efficiency_pct")
			hottest, highest, best = max(hottest, temp), max(highest, psi), max(best, eff)
		}
		if hottest < 50 || hottest > 100 {
			t.Errorf("seed %d: hottest winding %.1f degC, want 50 to 100", seed, hottest)
		}
		if highest < 400 || highest > 480 {
			t.Errorf("seed %d: highest pressure %.1f psi, want 400 to 480", seed, highest)
		}
		if best < 85 || best > 97 {
			t.Errorf("seed %d: best efficiency %.1f %%, want 85 to 97", seed, best)
		}
	}
}

func TestEnergyIsConserved(t *testing.T) {
	// At a constant load the case settles where what is lost equals what is carried
	// away, so that the temperatures no longer move.
	m, _ := dyno.New(3)
	d := dyno.Demand{Speed: 3000, Torque: 36, Run: true}
	m.Step(4*3600, d)
	before := m.Winding
	m.Step(600, d)
	if math.Abs(m.Winding-before) > 0.01 {
		t.Errorf("after four hours at constant load the winding still moves: %.3f to %.3f degC", before, m.Winding)
	}
	if m.Electrical() <= m.Mechanical() {
		t.Errorf("the machine gives %v W and takes %v W", m.Mechanical(), m.Electrical())
	}
}

func TestFaultsShow(t *testing.T) {
	for _, c := range []struct {
		kind dyno.Kind
		want func(sound, faulty []telemetry.Value) bool
	}{
		{dyno.ThermalRunaway, func(s, f []telemetry.Value) bool {
			a, _ := signal(s, "winding_temp_c")
			b, _ := signal(f, "winding_temp_c")
			return b > 110 && b > a+40
		}},
		{dyno.Overpressure, func(_, f []telemetry.Value) bool { p, _ := signal(f, "hydraulic_pressure_psi"); return p > 500 }},
		{dyno.PressureLeak, func(_, f []telemetry.Value) bool { p, _ := signal(f, "hydraulic_pressure_psi"); return p < 250 }},
		{dyno.BearingWear, func(s, f []telemetry.Value) bool {
			a, _ := signal(s, "vibration_mm_s")
			b, _ := signal(f, "vibration_mm_s")
			return b > 3*a
		}},
		{dyno.Dropout, func(_, f []telemetry.Value) bool { _, ok := signal(f, "coolant_flow_l_min"); return !ok }},
		{dyno.Drift, func(s, f []telemetry.Value) bool {
			a, _ := signal(s, "torque_nm")
			b, _ := signal(f, "torque_nm")
			return b > a+2
		}},
	} {
		t.Run(string(c.kind), func(t *testing.T) {
			sound, faulty := newRig(1), newRig(1)
			faulty.faults = []dyno.Fault{{Kind: c.kind, Start: 120}}
			var a, b []telemetry.Value
			for sound.now < 220 {
				a, b = sound.step(), faulty.step()
				if sound.now < 120 && !slices.Equal(a, b) {
					t.Fatalf("the fault shows at %v s, before it starts", sound.now)
				}
			}
			if !c.want(a, b) {
				t.Errorf("sound %v\nfaulty %v", a, b)
			}
		})
	}
}

func TestStuckSensorKeepsItsValueAndComesBack(t *testing.T) {
	r := newRig(1)
	r.faults = []dyno.Fault{{Kind: dyno.StuckSensor, Start: 30, Duration: 60e9, Signal: "speed_rpm"}}
	seen, after := map[float64]int{}, map[float64]int{}
	for r.now < 140 {
		v, _ := signal(r.step(), "speed_rpm")
		if r.now >= 31 && r.now <= 90 {
			seen[v]++
		} else if r.now > 91 {
			after[v]++
		}
	}
	if len(after) < 3 {
		t.Errorf("after the fault the signal took %d values: it does not come back", len(after))
	}
	longest := 0
	for _, n := range seen {
		longest = max(longest, n)
	}
	if longest < 59 {
		t.Errorf("the stuck signal kept a value for %d readings, want 59 or more", longest)
	}
}

func TestRunawayBurnsOut(t *testing.T) {
	r := newRig(1)
	r.faults = []dyno.Fault{{Kind: dyno.ThermalRunaway, Start: 100}}
	hottest := 0.0
	for r.now < 400 {
		r.step()
		hottest = max(hottest, r.machine.Winding)
	}
	if !r.machine.Burnt() || hottest < 220 || hottest > 240 {
		t.Errorf("burnt %v, at most %.1f degC; want the insulation gone at 230, as seen once a second", r.machine.Burnt(), hottest)
	}
	if r.machine.Running || math.Abs(r.machine.Speed) > 1 || r.machine.Winding > hottest-50 {
		t.Errorf("burnt out and running %v at %.1f rpm, %.1f degC", r.machine.Running, r.machine.Speed, r.machine.Winding)
	}
}

func TestStopReallyStopsAndCools(t *testing.T) {
	r := newRig(1)
	r.faults = []dyno.Fault{{Kind: dyno.ThermalRunaway, Start: 100}}
	for r.now < 130 {
		r.step()
	}
	hot := r.machine.Winding
	r.machine.Stop()
	for r.now < 200 {
		r.step()
	}
	if math.Abs(r.machine.Speed) > 1 || r.machine.Running {
		t.Errorf("stopped for 70 s and still at %.1f rpm, running %v", r.machine.Speed, r.machine.Running)
	}
	if r.machine.Winding >= hot-10 {
		t.Errorf("stopped for 70 s the winding went from %.1f to %.1f degC", hot, r.machine.Winding)
	}
}
