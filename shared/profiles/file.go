package profiles

import (
	"errors"
	"fmt"
	"strings"

	"andon.internal/shared/config"
	"andon.internal/shared/telemetry"
)

// file is a profile as it stands in YAML.
type file struct {
	Profile     string   `yaml:"profile,required"`
	Version     int      `yaml:"version,required"`
	Description string   `yaml:"description"`
	Signals     []signal `yaml:"signals,required"`
}

type signal struct {
	Name        string     `yaml:"name,required"`
	Unit        string     `yaml:"unit"`
	Type        signalType `yaml:"type"`
	Min         *float64   `yaml:"min"`
	Max         *float64   `yaml:"max"`
	Description string     `yaml:"description"`
}

// signalType is a telemetry.Type whose zero value is a double.
type signalType telemetry.Type

func (t *signalType) UnmarshalText(text []byte) error {
	parsed, err := telemetry.ParseType(string(text))
	*t = signalType(parsed)
	return err
}

func (f *file) profile() *telemetry.Profile {
	p := &telemetry.Profile{Name: f.Profile, Version: f.Version, Description: f.Description}
	for _, s := range f.Signals {
		p.Signals = append(p.Signals, s.signal())
	}
	return p
}

func (s signal) signal() telemetry.Signal {
	t := telemetry.Type(s.Type)
	if t == 0 {
		t = telemetry.Double
	}
	return telemetry.Signal{
		Name: s.Name, Unit: s.Unit, Type: t, Description: s.Description, Min: s.Min, Max: s.Max,
	}
}

// Check is the profile's own check, with each signal's faults at its own place.
func (f *file) Check() error {
	var errs []error
	seen := map[string]int{}
	for i, s := range f.Signals {
		// A profile of this signal alone has the faults of this signal alone.
		alone := telemetry.Profile{Name: "alone", Version: 1, Signals: []telemetry.Signal{s.signal()}}
		at := fmt.Sprintf("signals[%d]", i)
		if err := alone.Check(); err != nil {
			errs = append(errs, config.At(at, errors.New(withoutSubject(err))))
		}
		if first, taken := seen[s.Name]; taken {
			errs = append(errs, config.At(at+".name", fmt.Errorf("%q is also the name of signals[%d]", s.Name, first)))
			continue
		}
		seen[s.Name] = i
	}
	if len(errs) == 0 {
		errs = append(errs, f.profile().Check())
	}
	return errors.Join(errs...)
}

// withoutSubject drops the leading `signal 1: ` of each fault: the place says it.
func withoutSubject(err error) string {
	lines := strings.Split(err.Error(), "\n")
	for i, line := range lines {
		if _, rest, ok := strings.Cut(line, ": "); ok && strings.HasPrefix(line, "signal ") {
			lines[i] = rest
		}
	}
	return strings.Join(lines, "\n")
}
