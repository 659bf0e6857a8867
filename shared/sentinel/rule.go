package sentinel

import (
	"errors"
	"fmt"
	"slices"
	"time"

	"andon.internal/shared/config"
	"andon.internal/shared/telemetry"
)

// Bounds of a rule file.
const (
	MaxRules      = 1000
	MaxFeatures   = 16 // of one rule
	MaxExpression = 1000
	MaxWindow     = 24 * time.Hour
)

// Priority is an alarm's priority after ISA-18.2.
type Priority uint8

// The priorities, least urgent first.
const (
	Low Priority = iota + 1
	Medium
	High
	Critical
)

func (p Priority) String() string {
	names := [...]string{"", "low", "medium", "high", "critical"}
	if int(p) < len(names) {
		return names[p]
	}
	return "unknown"
}

// UnmarshalText reads a priority as [Priority.String] writes it.
func (p *Priority) UnmarshalText(text []byte) error {
	for q := Low; q <= Critical; q++ {
		if q.String() == string(text) {
			*p = q
			return nil
		}
	}
	return fmt.Errorf("%q is none of low, medium, high, critical", text)
}

// MarshalText writes the priority for JSON.
func (p Priority) MarshalText() ([]byte, error) { return []byte(p.String()), nil }

// Rule is one rule as its file has it.
type Rule struct {
	Alarm        string             `yaml:"alarm,required"` // the rule's name: an id
	Profile      string             `yaml:"profile"`        // whose units; empty for every profile
	EnableWhen   string             `yaml:"enable_when"`    // else suppressed by design; empty for always
	Features     map[string]Feature `yaml:"features"`
	When         string             `yaml:"when,required"`
	ClearWhen    string             `yaml:"clear_when"` // empty: when `when` is no longer true
	OnDelay      time.Duration      `yaml:"on_delay"`
	OffDelay     time.Duration      `yaml:"off_delay"`
	Priority     Priority           `yaml:"priority,required"`
	SuppressedBy []string           `yaml:"suppressed_by"` // alarms of the unit or its node that stand above this one
	Consequence  string             `yaml:"consequence"`
	Response     string             `yaml:"response"`
}

// Feature is a figure that a rule computes from one signal.
type Feature struct {
	Signal     string        `yaml:"signal"`
	Fn         string        `yaml:"fn,required"`
	Window     time.Duration `yaml:"window"`
	Tau        time.Duration `yaml:"tau"`
	Per        time.Duration `yaml:"per"`         // of slope: the unit of time; 1 s
	Test       string        `yaml:"test"`        // of frac_true: a comparison such as "> 500"
	MinSamples int           `yaml:"min_samples"` // fewer leave the feature unknown; 1
	Of         string        `yaml:"of"`          // of silence: unit or node
}

// Check returns every fault of the rule that can be seen without profiles.
func (r *Rule) Check() error {
	var errs []error
	fault := func(key string, err error) {
		if err != nil {
			errs = append(errs, config.At(key, err))
		}
	}
	fault("alarm", telemetry.CheckID("alarm", r.Alarm))
	if r.Profile != "" {
		fault("profile", telemetry.CheckID("profile", r.Profile))
	}
	if len(r.Features) > MaxFeatures {
		fault("features", fmt.Errorf("a rule may have %d features", MaxFeatures))
	}
	for key, d := range map[string]time.Duration{"on_delay": r.OnDelay, "off_delay": r.OffDelay} {
		if d < 0 || d > MaxWindow {
			fault(key, fmt.Errorf("a delay is 0s to %v", MaxWindow))
		}
	}
	for key, text := range map[string]string{"enable_when": r.EnableWhen, "when": r.When, "clear_when": r.ClearWhen} {
		if len(text) > MaxExpression {
			fault(key, fmt.Errorf("an expression may have %d bytes", MaxExpression))
		}
	}
	if slices.Contains(r.SuppressedBy, r.Alarm) {
		fault("suppressed_by", errors.New("an alarm cannot suppress itself"))
	}
	return errors.Join(errs...)
}

// Check returns every fault of the feature that can be seen without profiles.
func (f *Feature) Check() error {
	kind, ok := kinds[f.Fn]
	if !ok {
		return config.At("fn", fmt.Errorf("unknown function %q; there are %s", f.Fn, kindNames()))
	}
	var errs []error
	fault := func(key, format string, args ...any) {
		errs = append(errs, config.At(key, fmt.Errorf(format, args...)))
	}
	need := func(key string, set, wanted bool) {
		switch {
		case wanted && !set:
			fault(key, "%s needs %s", f.Fn, key)
		case !wanted && set:
			fault(key, "%s takes no %s", f.Fn, key)
		}
	}
	need("signal", f.Signal != "", kind.signal)
	need("window", f.Window != 0, kind.window)
	need("tau", f.Tau != 0, kind.tau)
	need("test", f.Test != "", kind.test)
	need("of", f.Of != "", kind.of)
	if f.Per != 0 && f.Fn != "slope" {
		fault("per", "%s takes no per", f.Fn)
	}
	for key, d := range map[string]time.Duration{"window": f.Window, "tau": f.Tau, "per": f.Per} {
		if d < 0 || d > MaxWindow {
			fault(key, "a time is more than 0s and at most %v", MaxWindow)
		}
	}
	if kind.of && f.Of != "" && f.Of != "unit" && f.Of != "node" {
		fault("of", "%q is neither unit nor node", f.Of)
	}
	if f.MinSamples < 0 || f.MinSamples > MaxSamples {
		fault("min_samples", "there may be 1 to %d samples", MaxSamples)
	}
	if kind.test && f.Test != "" {
		if _, err := parseTest(f.Test); err != nil {
			errs = append(errs, config.At("test", err))
		}
	}
	return errors.Join(errs...)
}
