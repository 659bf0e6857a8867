package simulated

import (
	"errors"
	"fmt"
	"log/slog"
	"math"
	"time"

	"andon.internal/agent/source/simulated/dyno"
	"andon.internal/shared/telemetry"
)

// Config describes the stations. The zero value of each field but Profile is its
// default.
type Config struct {
	Profile  *telemetry.Profile // required: the built-in profile dyno
	Stations int                // 4; at most 1000
	Prefix   string             // of the units' names; "dyno-"
	First    int                // number of the first station; 1
	Rate     float64            // readings a second of each unit; 1, at most 1000
	Seed     uint64             // 1

	Programme time.Duration // length of a unit's test; 10 min
	Idle      time.Duration // between two units; 15 s

	Latency time.Duration // from taking a reading to having it, on average; 5 ms
	Drop    float64       // part of the readings that never arrive; 0
	Faults  []Planned

	Queue int // readings between the stations and the consumer; 65,536

	Now     func() time.Time // the wall clock, which may be set at any moment; time.Now
	Logger  *slog.Logger     // nothing is logged without one
	Metrics *Metrics         // nothing is registered without one
}

// Planned is a fault that a configuration asks for.
type Planned struct {
	Station  int // its number
	Kind     dyno.Kind
	After    time.Duration // since the source was opened
	Duration time.Duration // 0 for the rest of the unit's test
	Signal   string        // see dyno.Fault
}

func (c *Config) withDefaults() {
	if c.Now == nil {
		c.Now = time.Now
	}
	def := func(v *int, d int) {
		if *v == 0 {
			*v = d
		}
	}
	def(&c.Stations, 4)
	def(&c.First, 1)
	def(&c.Queue, 65_536)
	if c.Prefix == "" {
		c.Prefix = "dyno-"
	}
	if c.Rate == 0 {
		c.Rate = 1
	}
	if c.Seed == 0 {
		c.Seed = 1
	}
	if c.Programme == 0 {
		c.Programme = 10 * time.Minute
	}
	if c.Idle == 0 {
		c.Idle = 15 * time.Second
	}
	if c.Latency == 0 {
		c.Latency = 5 * time.Millisecond
	}
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	if c.Metrics == nil {
		c.Metrics = NewMetrics(nil)
	}
}

// check returns every fault of the configuration.
func (c *Config) check() error {
	var errs []error
	fault := func(format string, args ...any) { errs = append(errs, fmt.Errorf(format, args...)) }
	signals := dyno.Signals()
	if c.Profile == nil || len(c.Profile.Signals) != len(signals) {
		fault("the simulated source gives readings of the built-in profile dyno")
	} else {
		for i, s := range c.Profile.Signals {
			if s.Name != signals[i] {
				fault("the simulated source gives readings of the built-in profile dyno; signal %d is %s there", i+1, signals[i])
				break
			}
		}
	}
	if c.Stations < 1 || c.Stations > 1000 {
		fault("stations: %d is not 1 to 1000", c.Stations)
	}
	if err := telemetry.CheckID("unit", unitName(c.Prefix, c.First+c.Stations, 1)); err != nil {
		errs = append(errs, err)
	}
	if !(c.Rate > 0 && c.Rate <= 1000) {
		fault("rate: %v is not above 0 and at most 1000 readings a second", c.Rate)
	}
	if c.Programme < 10*time.Second || c.Idle < time.Second {
		fault("a programme takes 10s or more, and the idle time after it 1s or more")
	}
	if c.Latency < 0 || c.Latency > time.Minute {
		fault("latency: %v is not 0s to 1m", c.Latency)
	}
	if !(c.Drop >= 0 && c.Drop < 1) || math.IsNaN(c.Drop) {
		fault("drop: %v is not 0 or more and below 1", c.Drop)
	}
	for _, p := range c.Faults {
		f := dyno.Fault{Kind: p.Kind, Signal: p.Signal}
		if err := f.Check(signals); err != nil {
			errs = append(errs, err)
		}
		if p.Station < c.First || p.Station >= c.First+c.Stations {
			fault("fault %s: there is no station %d", p.Kind, p.Station)
		}
		if p.After < 0 || p.Duration < 0 {
			fault("fault %s: times are 0s or more", p.Kind)
		}
	}
	return errors.Join(errs...)
}

func stationName(prefix string, station int) string { return fmt.Sprintf("%s%02d", prefix, station) }

func unitName(prefix string, station, serial int) string {
	return fmt.Sprintf("%s-%04d", stationName(prefix, station), serial)
}
