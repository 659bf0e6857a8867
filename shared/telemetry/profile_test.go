package telemetry_test

import (
	"math"
	"strings"
	"testing"

	"andon.internal/shared/telemetry"
)

func bound(f float64) *float64 { return &f }

// press is a small valid profile.
func press() *telemetry.Profile {
	return &telemetry.Profile{Name: "press", Version: 1, Signals: []telemetry.Signal{
		{Name: "force_n", Unit: "N", Type: telemetry.Double, Min: bound(0), Max: bound(1e6)},
		{Name: "strokes", Type: telemetry.Integer},
		{Name: "running", Type: telemetry.Boolean},
	}}
}

func TestProfileCheck(t *testing.T) {
	tests := []struct {
		name   string
		change func(*telemetry.Profile)
		want   string // part of the error; empty for none
	}{
		{"valid", func(*telemetry.Profile) {}, ""},
		{"name with a capital", func(p *telemetry.Profile) { p.Name = "Press" }, `profile name "Press"`},
		{"name too long", func(p *telemetry.Profile) { p.Name = strings.Repeat("a", 33) }, "profile name"},
		{"version 0", func(p *telemetry.Profile) { p.Version = 0 }, "version 0"},
		{"no signals", func(p *telemetry.Profile) { p.Signals = nil }, "this one has 0"},
		{"too many signals", func(p *telemetry.Profile) {
			p.Signals = make([]telemetry.Signal, telemetry.MaxSignals+1)
		}, "this one has 513"},
		{"signal name that is no column", func(p *telemetry.Profile) { p.Signals[1].Name = "2nd" }, `signal 2: name "2nd"`},
		{"signal name of 48", func(p *telemetry.Profile) { p.Signals[1].Name = strings.Repeat("a", 48) }, ""},
		{"signal name of 49", func(p *telemetry.Profile) { p.Signals[1].Name = strings.Repeat("a", 49) }, "signal 2"},
		{"reserved column", func(p *telemetry.Profile) { p.Signals[1].Name = "ts" }, "choose another"},
		{"name twice", func(p *telemetry.Profile) { p.Signals[1].Name = "force_n" }, "used twice"},
		{"no type", func(p *telemetry.Profile) { p.Signals[1].Type = 0 }, "type must be"},
		{"unknown type", func(p *telemetry.Profile) { p.Signals[1].Type = 5 }, "type must be"},
		{"empty range", func(p *telemetry.Profile) { p.Signals[0].Max = bound(0) }, "must be below max"},
		{"range with a NaN", func(p *telemetry.Profile) { p.Signals[0].Max = bound(math.NaN()) }, "must be below max"},
		{"a NaN alone", func(p *telemetry.Profile) { p.Signals[1].Min = bound(math.NaN()) }, `signal "strokes": bound NaN is not a number`},
		{"no lower bound, as infinity", func(p *telemetry.Profile) { p.Signals[0].Min = bound(math.Inf(-1)) }, "bound -Inf is not a number"},
		{"long unit", func(p *telemetry.Profile) { p.Signals[0].Unit = strings.Repeat("x", 257) }, "256 bytes"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			p := press()
			tt.change(p)
			err := p.Check()
			if tt.want == "" && err != nil || tt.want != "" && (err == nil || !strings.Contains(err.Error(), tt.want)) {
				t.Errorf("Check() = %v, want an error with %q", err, tt.want)
			}
		})
	}
}

func TestFingerprintIsTheLayout(t *testing.T) {
	base := press().Fingerprint()
	same := map[string]func(*telemetry.Profile){
		"version":     func(p *telemetry.Profile) { p.Version = 2 },
		"description": func(p *telemetry.Profile) { p.Description = "a press" },
		"unit":        func(p *telemetry.Profile) { p.Signals[0].Unit = "kN" },
		"range":       func(p *telemetry.Profile) { p.Signals[0].Max = nil },
	}
	for name, change := range same {
		p := press()
		if change(p); p.Fingerprint() != base || !p.SameRow(press()) {
			t.Errorf("%s changes the layout", name)
		}
	}
	other := map[string]func(*telemetry.Profile){
		"name":        func(p *telemetry.Profile) { p.Name = "press2" },
		"signal name": func(p *telemetry.Profile) { p.Signals[1].Name = "cycles" },
		"type":        func(p *telemetry.Profile) { p.Signals[1].Type = telemetry.Double },
		"order":       func(p *telemetry.Profile) { p.Signals[0], p.Signals[1] = p.Signals[1], p.Signals[0] },
		"one fewer":   func(p *telemetry.Profile) { p.Signals = p.Signals[:2] },
		"name boundary": func(p *telemetry.Profile) {
			p.Name, p.Signals[0].Name = "pressf", "orce_n"
		},
	}
	for name, change := range other {
		p := press()
		if change(p); p.Fingerprint() == base || p.SameRow(press()) {
			t.Errorf("%s does not change the layout", name)
		}
	}
	// Records in buffers and databases carry it: it must never change.
	if want := uint64(pressFingerprint); base != want {
		t.Errorf("fingerprint of the press is %016x, want %016x", base, want)
	}
}

func TestProfileIndex(t *testing.T) {
	if i := press().Index("running"); i != 2 {
		t.Errorf("Index(running) = %d", i)
	}
	if i := press().Index("absent"); i != -1 {
		t.Errorf("Index(absent) = %d", i)
	}
}

func TestPlausible(t *testing.T) {
	s := telemetry.Signal{Type: telemetry.Double, Min: bound(-1), Max: bound(1)}
	open := telemetry.Signal{Type: telemetry.Double}
	tests := []struct {
		name   string
		signal telemetry.Signal
		value  telemetry.Value
		want   bool
	}{
		{"inside", s, telemetry.DoubleValue(0), true},
		{"at the bound", s, telemetry.DoubleValue(1), true},
		{"above", s, telemetry.DoubleValue(1.1), false},
		{"below", s, telemetry.DoubleValue(-1.1), false},
		{"missing", s, telemetry.Value{}, true},
		{"no bounds", open, telemetry.DoubleValue(1e300), true},
		{"NaN without bounds", open, telemetry.DoubleValue(math.NaN()), false},
		{"infinity without bounds", open, telemetry.DoubleValue(math.Inf(-1)), false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if got := tt.signal.Plausible(tt.value); got != tt.want {
				t.Errorf("Plausible(%v) = %v", tt.value, got)
			}
		})
	}
}

func TestCheckID(t *testing.T) {
	for _, id := range []string{"a", "cell-07", "A_b-9", strings.Repeat("x", 64)} {
		if err := telemetry.CheckID("unit", id); err != nil {
			t.Errorf("CheckID(%q) = %v", id, err)
		}
	}
	for _, id := range []string{"", "a b", "a/b", "+", "#", "ä", "a\n", strings.Repeat("x", 65)} {
		if err := telemetry.CheckID("unit", id); err == nil {
			t.Errorf("CheckID took %q", id)
		}
	}
	if err := (telemetry.Node{Group: "line1", ID: "cell-07"}).Check(); err != nil {
		t.Errorf("Node.Check() = %v", err)
	}
	if err := (telemetry.Node{Group: "line1"}).Check(); err == nil {
		t.Error("Node.Check() took an empty id")
	}
}
