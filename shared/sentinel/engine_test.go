package sentinel_test

import (
	"fmt"
	"math"
	"slices"
	"strings"
	"testing"
	"time"

	"andon.internal/shared/profiles"
	"andon.internal/shared/sentinel"
	"andon.internal/shared/telemetry"
)

const rulesText = `
apiVersion: andon/v1
rules:
- alarm: thermal-runaway
  profile: dyno
  enable_when: running
  features:
    hot:  {signal: winding_temp_c, fn: ewma, tau: 2s}
    rise: {signal: winding_temp_c, fn: slope, window: 15s, per: 1m, min_samples: 8}
  when: "hot > 110 and rise > 6"
  clear_when: "hot < 95 and rise <= 0"
  on_delay: 1s
  off_delay: 3s
  priority: critical
- alarm: sustained-overpressure
  profile: dyno
  enable_when: running
  features:
    over: {signal: hydraulic_pressure_psi, fn: frac_true, test: "> 500", window: 10s, min_samples: 8}
    p:    {signal: hydraulic_pressure_psi, fn: avg, window: 5s}
  when: "over >= 0.9"
  clear_when: "p < 485"
  priority: high
- alarm: node-offline
  features: {age: {fn: silence, of: node}}
  when: "age > 4"
  priority: high
- alarm: data-silence
  features: {age: {fn: silence, of: unit}}
  when: "age > max(5, 3 * period)"
  suppressed_by: [node-offline]
  priority: high
`

var (
	dyno    = profiles.Find(profiles.Builtin(), "dyno")
	subject = sentinel.Subject{Group: "plant", Node: "cell-01", Unit: "dyno-1"}
	begin   = time.Unix(1_800_000_000, 0)
)

// rig drives an engine at 1 Hz and writes down what it tells, as "second alarm kind".
type rig struct {
	t      *testing.T
	engine *sentinel.Engine
	now    time.Time
	next   uint64
	second float64 // of the next reading of drive
	log    []string
	units  []string // of the figures that were told
}

func newRig(t *testing.T) *rig {
	t.Helper()
	rules, err := sentinel.Load("rules.yaml", []byte(rulesText), profiles.Builtin())
	if err != nil {
		t.Fatal(err)
	}
	r := &rig{t: t, engine: sentinel.NewEngine(rules), now: begin}
	r.note(r.engine.Heard(r.now, "plant", "cell-01"))
	r.note(r.engine.Born(r.now, subject, dyno, false))
	return r
}

func (r *rig) note(list []sentinel.Transition) {
	for _, x := range list {
		r.log = append(r.log, fmt.Sprintf("%.1f %s %s", x.At.Sub(begin).Seconds(), x.Rule.Alarm, x.Kind))
		for _, f := range x.Figures {
			r.units = append(r.units, f.Unit)
		}
	}
}

// wait lets time pass to the given second, telling what expires at its own time.
func (r *rig) wait(second float64, heartbeat bool) {
	end := begin.Add(time.Duration(second * 1e9))
	for beat := r.now; ; {
		if heartbeat && beat.Add(2*time.Second).Before(end) {
			beat = beat.Add(2 * time.Second)
			r.tickUntil(beat)
			r.note(r.engine.Heard(beat, "plant", "cell-01"))
			continue
		}
		break
	}
	r.tickUntil(end)
	r.now = end
}

func (r *rig) tickUntil(end time.Time) {
	for {
		at, ok := r.engine.Next()
		if !ok || at.After(end) {
			return
		}
		r.note(r.engine.Tick(at))
	}
}

func (r *rig) reading(temp, psi float64, running bool) {
	values := make([]telemetry.Value, len(dyno.Signals))
	values[dyno.Index("winding_temp_c")] = telemetry.DoubleValue(temp)
	values[dyno.Index("hydraulic_pressure_psi")] = telemetry.DoubleValue(psi)
	if math.IsNaN(psi) {
		values[dyno.Index("hydraulic_pressure_psi")] = telemetry.Value{}
	}
	values[dyno.Index("running")] = telemetry.BooleanValue(running)
	r.note(r.engine.Reading(r.now, subject, sentinel.Reading{
		Identity: sentinel.Identity{Epoch: telemetry.Epoch{1}, Position: r.next},
		Time:     r.now.UnixNano(), Values: values,
	}))
	r.next++
}

// drive gives one reading a second from the rig's second to the end.
func (r *rig) drive(end float64, f func(second float64) (temp, psi float64, running bool)) {
	for s := max(r.second, r.now.Sub(begin).Seconds()); s < end; s++ {
		r.second = s + 1
		r.wait(s, true)
		r.reading(f(s))
		r.note(r.engine.Heard(r.now, "plant", "cell-01"))
	}
}

func calm(float64) (float64, float64, bool) { return 60, 400, true }

func (r *rig) want(lines ...string) {
	r.t.Helper()
	if got, want := strings.Join(r.log, "\n"), strings.Join(lines, "\n"); got != want {
		r.t.Errorf("told:\n%s\nwant:\n%s", got, want)
	}
}

func TestThermalRunawayRaisesAfterItsDelayAndClears(t *testing.T) {
	r := newRig(t)
	r.drive(20, calm)
	r.drive(40, func(s float64) (float64, float64, bool) { return 60 + 4*(s-20), 400, true }) // above 110 from 33.x on
	r.drive(120, func(s float64) (float64, float64, bool) { return 136 - 3*(s-40), 400, true })
	if len(r.log) != 2 || !strings.HasSuffix(r.log[0], "thermal-runaway raised") || !strings.HasSuffix(r.log[1], "thermal-runaway cleared") {
		t.Fatalf("told %q", r.log)
	}
}

// A birth with another text in the midst of a run is told with it, and empties no window.
func TestAnotherTextKeepsTheWindows(t *testing.T) {
	r := newRig(t)
	hot := func(s float64) (float64, float64, bool) { return 60 + 4*(s-20), 400, true }
	r.drive(20, calm)
	r.drive(33, hot)
	changed := *dyno
	changed.Signals = slices.Clone(dyno.Signals)
	changed.Signals[changed.Index("winding_temp_c")].Unit = "degF"
	r.note(r.engine.Born(r.now, subject, &changed, false))
	r.drive(37, hot) // fewer readings than a slope needs
	if len(r.log) != 1 || !slices.Equal(r.units, []string{"degF", "degF/min"}) {
		t.Errorf("told %q in %v", r.log, r.units)
	}
}

func TestDelayExpiresBetweenReadings(t *testing.T) {
	r := newRig(t)
	r.drive(20, calm)
	r.drive(36, func(s float64) (float64, float64, bool) { return 60 + 10*(s-20), 400, true })
	// `when` became true with a reading at a whole second; the delay of 1 s ends with or
	// before the next one, told at its own time and not later.
	if len(r.log) != 1 {
		t.Fatalf("told %q", r.log)
	}
}

func TestNothingIsRaisedWhileNotRunning(t *testing.T) {
	r := newRig(t)
	r.drive(60, func(s float64) (float64, float64, bool) { return 100 + 4*s, 700, false })
	r.want()
}

func TestOverpressureToleratesNoise(t *testing.T) {
	r := newRig(t)
	r.drive(30, func(s float64) (float64, float64, bool) {
		if int(s)%11 == 5 {
			return 60, 499, true
		}
		return 60, 520, true
	})
	r.drive(50, calm)
	r.want("9.0 sustained-overpressure raised", "31.0 sustained-overpressure cleared")
}

func TestMissingValuesNeitherRaiseNorClear(t *testing.T) {
	r := newRig(t)
	r.drive(12, func(float64) (float64, float64, bool) { return 60, 600, true })
	r.drive(40, func(float64) (float64, float64, bool) { return 60, math.NaN(), true })
	r.want("7.0 sustained-overpressure raised")
}

func TestUnitSilenceIsToldAtItsDeadline(t *testing.T) {
	r := newRig(t)
	r.drive(10, calm)
	r.wait(30, true)
	r.reading(60, 400, true)
	r.want("14.0 data-silence raised", "30.0 data-silence cleared")
}

func TestNodeSilenceStandsAboveItsUnits(t *testing.T) {
	r := newRig(t)
	r.drive(10, calm)
	r.wait(30, false)
	r.note(r.engine.Heard(r.now, "plant", "cell-01"))
	r.wait(33, true)
	r.reading(60, 400, true)
	r.wait(34, true)
	r.want("13.0 node-offline raised", "30.0 node-offline cleared")
	r.wait(60, true)
	r.want("13.0 node-offline raised", "30.0 node-offline cleared", "38.0 data-silence raised")
}

func TestNodeDeathIsToldAtOnce(t *testing.T) {
	r := newRig(t)
	r.drive(10, calm)
	r.wait(10, true)
	r.note(r.engine.NodeDied(r.now, "plant", "cell-01"))
	r.want("10.0 node-offline raised")
}

// TestFiguresOfSilence: a silence says how long it was, an announced death says nothing.
func TestFiguresOfSilence(t *testing.T) {
	r := newRig(t)
	raised := r.engine.Tick(begin.Add(time.Minute))
	if len(raised) == 0 || len(raised[0].Figures) != 1 || math.Abs(raised[0].Figures[0].Value-4) > 0.01 || raised[0].Figures[0].Unit != "s" {
		t.Errorf("a silent node: %+v, want age 4", raised)
	}
	r = newRig(t)
	raised = r.engine.NodeDied(r.now, "plant", "cell-01")
	if len(raised) != 1 || len(raised[0].Figures) != 0 {
		t.Errorf("a node whose death was announced: %+v, want no figure", raised)
	}
}

func TestMissingDataHoldsADelay(t *testing.T) {
	r := newRig(t)
	r.drive(20, calm)
	r.drive(60, func(s float64) (float64, float64, bool) { return 140, 400, true })
	r.log = nil
	// A clear needs 3 s of data; silence does not count towards it.
	r.drive(61, func(float64) (float64, float64, bool) { return 10, 400, true })
	r.wait(64, true)
	for _, line := range r.log {
		if strings.Contains(line, "cleared") {
			t.Errorf("silence cleared an alarm: %q", r.log)
		}
	}
}

func TestLateAndRepeatedReadingsChangeNothing(t *testing.T) {
	r := newRig(t)
	r.drive(12, calm)
	late := sentinel.Reading{
		Identity: sentinel.Identity{Epoch: telemetry.Epoch{1}, Position: 3},
		Time:     begin.UnixNano(), Values: make([]telemetry.Value, len(dyno.Signals)),
	}
	r.engine.Reading(r.now, subject, late)
	late.Position = r.next - 1
	r.engine.Reading(r.now, subject, late)
	if r.engine.Late != 1 || r.engine.Repeats != 1 {
		t.Errorf("late %d, repeats %d, want 1 and 1", r.engine.Late, r.engine.Repeats)
	}
}

func TestDeathOfAUnitEndsItsAlarms(t *testing.T) {
	r := newRig(t)
	r.drive(12, func(float64) (float64, float64, bool) { return 60, 600, true })
	r.note(r.engine.Died(r.now, subject))
	r.wait(60, true)
	r.want("7.0 sustained-overpressure raised", "11.0 sustained-overpressure ended")
}

func TestRestoredAlarmIsNotToldAgainAndClears(t *testing.T) {
	r := newRig(t)
	r.engine.Restore("sustained-overpressure", subject, sentinel.Identity{}, 0)
	r.drive(15, func(float64) (float64, float64, bool) { return 60, 600, true })
	r.want()
	r.drive(30, calm)
	r.want("18.0 sustained-overpressure cleared")
}

func TestLoadNamesEveryFaultWithItsLine(t *testing.T) {
	text := `apiVersion: andon/v1
rules:
- alarm: a
  profile: dyno
  features: {x: {signal: winding_temp, fn: ewma, tau: 2s}}
  when: "y > 1"
  priority: high
- alarm: b
  profile: pump
  when: "true"
  priority: urgent
- alarm: c
  profile: dyno
  features: {x: {signal: torque_nm, fn: median, window: 1s}, z: {signal: torque_nm, fn: avg}}
  when: "x >"
  priority: low
  suppressed_by: [nobody]
`
	_, err := sentinel.Load("r.yaml", []byte(text), profiles.Builtin())
	if err == nil {
		t.Fatal("a file full of faults was taken")
	}
	for _, want := range []string{
		"r.yaml:5:", `no signal "winding_temp"`, "unknown name y", `r.yaml:11:`, "urgent", `no profile "pump"`,
		"r.yaml:14:", `unknown function "median"`, "avg needs window", `no alarm "nobody"`,
	} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("the error does not say %q:\n%v", want, err)
		}
	}
}
