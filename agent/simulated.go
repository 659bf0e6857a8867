package agent

import (
	"errors"
	"time"

	"andon.internal/agent/source"
	"andon.internal/agent/source/simulated"
	"andon.internal/agent/source/simulated/dyno"
	"andon.internal/shared/config"
	"andon.internal/shared/profiles"
)

// SimulatedConfig is a cell of dynamometers that do not exist, for demos, tests and
// trying out rules. Their readings are marked as simulated everywhere.
type SimulatedConfig struct {
	Stations  int           `yaml:"stations"`  // 4
	Prefix    string        `yaml:"prefix"`    // of the units' names: "dyno-"
	First     int           `yaml:"first"`     // number of the first station: 1
	Rate      float64       `yaml:"rate"`      // readings a second of each unit: 1, at most 1000
	Seed      uint64        `yaml:"seed"`      // 1; the same seed gives the same machines
	Programme time.Duration `yaml:"programme"` // length of a unit's test: 10m
	Idle      time.Duration `yaml:"idle"`      // between two units: 15s
	Latency   time.Duration `yaml:"latency"`   // from taking a reading to having it, on average: 5ms
	Drop      float64       `yaml:"drop"`      // part of the readings that never arrive: 0
	Faults    []FaultConfig `yaml:"faults"`
}

// FaultConfig is something that goes wrong at a simulated station.
type FaultConfig struct {
	Station  int           `yaml:"station,required"`
	Fault    dyno.Kind     `yaml:"fault,required"` // such as thermal-runaway
	After    time.Duration `yaml:"after"`          // since the start: 0s
	Duration time.Duration `yaml:"duration"`       // 0s: for the rest of the unit's test
	Signal   string        `yaml:"signal"`         // of a sensor's fault: a fitting one
}

// Check returns the faults of the settings, joined.
func (s *SimulatedConfig) Check() error {
	_, err := simulated.New(s.driver(shop{}))
	return err
}

func (s *SimulatedConfig) driver(with shop) simulated.Config {
	c := simulated.Config{
		Profile:  profiles.Find(profiles.Builtin(), "dyno"),
		Stations: s.Stations, Prefix: s.Prefix, First: s.First, Rate: s.Rate, Seed: s.Seed,
		Programme: s.Programme, Idle: s.Idle, Latency: s.Latency, Drop: s.Drop,
		Now: with.now, Logger: with.log, Metrics: with.simulated,
	}
	for _, f := range s.Faults {
		c.Faults = append(c.Faults, simulated.Planned{
			Station: f.Station, Kind: f.Fault, After: f.After, Duration: f.Duration, Signal: f.Signal,
		})
	}
	return c
}

func newSimulated(s SourceConfig, with shop) (source.Source, error) {
	settings := s.Simulated
	if settings == nil {
		settings = &SimulatedConfig{}
	}
	return simulated.New(settings.driver(with))
}

// checkDriver returns an error where the settings of one driver stand under another.
func (s *SourceConfig) checkDriver() error {
	var errs []error
	if s.Replay != nil && s.Driver != "replay" {
		errs = append(errs, config.At("replay", errors.New("belongs to the driver replay")))
	}
	if s.Simulated != nil && s.Driver != "simulated" {
		errs = append(errs, config.At("simulated", errors.New("belongs to the driver simulated")))
	}
	return errors.Join(errs...)
}
