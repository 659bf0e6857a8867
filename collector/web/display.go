package web

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"math"
	"slices"
	"strings"
	"sync"

	"andon.internal/shared/telemetry"
)

// Display says how the signals of a profile are shown.
type Display struct {
	// Fleet are the signals that the fleet page shows, the most telling first; four
	// at most are shown.
	Fleet   []string
	Signals map[string]SignalDisplay
}

// SignalDisplay says how a signal is shown. What is left out follows from the profile.
type SignalDisplay struct {
	Label     string
	Low, High float64  // the ends of its bar; both 0: its plausible range
	Min, Max  *float64 // limits: a value beyond is abnormal
}

// DefaultDisplays returns the displays of the built-in profiles. The limits of dyno
// are those of the rules that ship for it.
func DefaultDisplays() map[string]Display {
	hot, high := 110.0, 500.0
	return map[string]Display{
		"dyno": {
			Fleet: []string{"winding_temp_c", "hydraulic_pressure_psi", "torque_nm", "speed_rpm"},
			Signals: map[string]SignalDisplay{
				"torque_nm":              {Low: -60, High: 60},
				"speed_rpm":              {Low: -4000, High: 4000},
				"winding_temp_c":         {High: 150, Max: &hot, Label: "Winding"},
				"case_temp_c":            {High: 100, Label: "Case"},
				"bus_voltage_v":          {Low: 500, High: 600},
				"phase_current_a":        {High: 100},
				"vibration_mm_s":         {High: 12, Label: "Vibration"},
				"hydraulic_pressure_psi": {High: 700, Max: &high, Label: "Pressure"},
				"coolant_flow_l_min":     {High: 12, Label: "Coolant"},
				"efficiency_pct":         {High: 100},
			},
		},
		"turbofan": {
			Fleet: []string{"t50", "t30", "p30", "nc"},
			Signals: map[string]SignalDisplay{
				"t30": {Low: 1200, High: 1700, Label: "T30 HPC outlet"}, "t50": {Low: 900, High: 1500, Label: "T50 exhaust"},
				"p30": {Low: 100, High: 600, Label: "P30 HPC outlet"}, "nc": {Low: 7500, High: 9500, Label: "Core speed Nc"},
				"t24": {Low: 500, High: 700}, "nf": {Low: 1800, High: 2500}, "ps30": {Low: 30, High: 60},
				"phi": {Low: 100, High: 600}, "bpr": {Low: 7, High: 12}, "htbleed": {Low: 300, High: 450},
			},
		},
	}
}

// fleetSignals is how many signals of a unit the fleet page shows.
const fleetSignals = 4

// Signal is how one signal is shown, worked out.
type Signal struct {
	Name        string   `json:"name"`
	Label       string   `json:"label"`
	Unit        string   `json:"unit,omitempty"`
	Boolean     bool     `json:"boolean,omitempty"`
	Digits      int      `json:"digits"`
	Low         *float64 `json:"low,omitempty"` // the ends of its bar; absent: it has none
	High        *float64 `json:"high,omitempty"`
	Min         *float64 `json:"min,omitempty"` // its limits
	Max         *float64 `json:"max,omitempty"`
	PlausibleLo *float64 `json:"plausible_min,omitempty"`
	PlausibleHi *float64 `json:"plausible_max,omitempty"`
	Description string   `json:"description,omitempty"`
}

// Profile is how the signals of a kind of unit are shown.
type Profile struct {
	ID      string   `json:"-"` // unlike the name, it tells apart what is shown differently
	Name    string   `json:"name"`
	Signals []Signal `json:"signals"`
	Fleet   []int    `json:"fleet"` // indexes of those on the fleet page
	Line    string   `json:"line"`  // the same where the heads of their columns say the same
}

// displays works out profiles and remembers them.
type displays struct {
	config map[string]Display

	mu   sync.Mutex
	seen map[*telemetry.Profile]*Profile
}

// maxDisplays bounds what is remembered: each cell has its own profiles.
const maxDisplays = 4096

func newDisplays(config map[string]Display) *displays {
	return &displays{config: config, seen: map[*telemetry.Profile]*Profile{}}
}

func (d *displays) of(p *telemetry.Profile) *Profile {
	d.mu.Lock()
	defer d.mu.Unlock()
	out := d.seen[p]
	if out == nil {
		if len(d.seen) >= maxDisplays {
			clear(d.seen)
		}
		out = d.workOut(p)
		d.seen[p] = out
	}
	return out
}

func (d *displays) workOut(p *telemetry.Profile) *Profile {
	c := d.config[p.Name]
	out := &Profile{Name: p.Name}
	for i := range p.Signals {
		out.Signals = append(out.Signals, show(&p.Signals[i], c.Signals[p.Signals[i].Name]))
	}
	for _, name := range c.Fleet {
		if i := p.Index(name); i >= 0 {
			out.Fleet = append(out.Fleet, i)
		}
	}
	for i := range p.Signals {
		if len(c.Fleet) == 0 && p.Signals[i].Type != telemetry.Boolean {
			out.Fleet = append(out.Fleet, i)
		}
	}
	out.Fleet = out.Fleet[:min(len(out.Fleet), fleetSignals)]
	var heads []any
	for _, i := range out.Fleet {
		s := &out.Signals[i]
		heads = append(heads, s.Name, s.Label, s.Unit, s.Max)
	}
	out.Line = out.Name + "-" + digest(heads)
	out.ID = out.Name + "-" + digest(out)
	return out
}

// with returns p with the signals of o where both have them: what the database knows of a unit
// comes by the installed profile, and the unit is shown by its own.
func (p *Profile) with(o *Profile) *Profile {
	out := *p
	out.Signals = slices.Clone(p.Signals)
	for i := range out.Signals {
		if at := slices.IndexFunc(o.Signals, func(s Signal) bool { return s.Name == out.Signals[i].Name }); at >= 0 {
			out.Signals[i] = o.Signals[at]
		}
	}
	return &out
}

// digest tells apart what is shown differently: cells may have profiles of one name with other
// ranges, and a hash that can be forged would let one cell change what is shown of another.
func digest(shown any) string {
	b, err := json.Marshal(shown)
	if err != nil {
		b = nil // does not happen: all bounds are finite
	}
	sum := sha256.Sum256(b)
	return base64.RawURLEncoding.EncodeToString(sum[:16])
}

func show(s *telemetry.Signal, c SignalDisplay) Signal {
	out := Signal{
		Name: s.Name, Label: c.Label, Unit: unitText(s.Unit), Boolean: s.Type == telemetry.Boolean,
		Min: c.Min, Max: c.Max, PlausibleLo: s.Min, PlausibleHi: s.Max, Description: s.Description,
	}
	if out.Label == "" {
		out.Label = labelOf(s.Name, s.Unit)
	}
	switch {
	case c.Low != 0 || c.High != 0:
		out.Low, out.High = &c.Low, &c.High
	case s.Min != nil && s.Max != nil:
		out.Low, out.High = s.Min, s.Max
	}
	if s.Type != telemetry.Integer && s.Type != telemetry.Boolean {
		out.Digits = 1
		if out.Low != nil {
			// Four digits or so of the bar's span.
			out.Digits = min(max(3-int(math.Floor(math.Log10(*out.High-*out.Low))), 0), 6)
		}
	}
	return out
}

// unitText writes an engineering unit the way people do.
func unitText(unit string) string {
	for _, scale := range []string{"C", "F", "R"} {
		if rest, ok := strings.CutPrefix(unit, "deg"+scale); ok && (rest == "" || rest[0] == '/') {
			return "°" + scale + rest
		}
	}
	return unit
}

// labelOf makes a label of a signal's name: winding_temp_c with degC is Winding temp.
func labelOf(name, unit string) string {
	words := strings.Split(name, "_")
	tail := strings.NewReplacer("·", "", "/", "", "%", "pct", "deg", "", " ", "").Replace(strings.ToLower(unit))
	for n := len(words) - 1; n > 0 && tail != ""; n-- {
		if strings.Join(words[n:], "") == tail {
			words = words[:n]
			break
		}
	}
	label := strings.Join(words, " ")
	return strings.ToUpper(label[:1]) + label[1:]
}
