package agent

import (
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"

	"andon.internal/agent/source"
	"andon.internal/agent/source/replay"
	"andon.internal/agent/source/simulated"
	"andon.internal/shared/config"
	"andon.internal/shared/profiles"
	"andon.internal/shared/telemetry"
)

// ReplayConfig is a file that is read again as if it were happening.
type ReplayConfig struct {
	File   config.Path `yaml:"file,required"`
	Format string      `yaml:"format"` // cmapss (the default) or csv, with a header
	// Profile has the file's signals: turbofan for cmapss; required for csv.
	Profile    string        `yaml:"profile"`
	UnitPrefix string        `yaml:"unit_prefix"` // before each unit's number or name: none
	Period     time.Duration `yaml:"period"`      // between two cycles: 1s
	Speed      Speed         `yaml:"speed"`       // factor above 0, or max: 1
	Loop       bool          `yaml:"loop"`        // begin again at the end
	// Start is the time of cycle 0: the moment of the first start, which is kept.
	Start time.Time `yaml:"start"`
}

// Check returns the faults that show without the file, joined.
func (r *ReplayConfig) Check() error {
	var errs []error
	if r.Format != "" && r.Format != replay.CMAPSS && r.Format != replay.CSV {
		errs = append(errs, config.At("format", fmt.Errorf("%q is none of %s, %s", r.Format, replay.CMAPSS, replay.CSV)))
	}
	if r.Format == replay.CSV && r.Profile == "" {
		errs = append(errs, config.At("profile", errors.New("is required for csv")))
	}
	if r.Period < 0 {
		errs = append(errs, config.At("period", errors.New("must be above 0s")))
	}
	return errors.Join(errs...)
}

// Speed is a factor above 0, or max. The zero Speed is 1.
type Speed float64

// MaxSpeed is as fast as can be.
var MaxSpeed = Speed(math.Inf(1))

// UnmarshalText reads a factor or the word max.
func (s *Speed) UnmarshalText(text []byte) error {
	if string(text) == "max" {
		*s = MaxSpeed
		return nil
	}
	f, err := strconv.ParseFloat(string(text), 64)
	if err != nil || !(f > 0) || math.IsInf(f, 0) {
		return errors.New("must be a factor above 0, or max")
	}
	*s = Speed(f)
	return nil
}

// factor is the speed as the driver takes it: 0 is as fast as can be.
func (s Speed) factor() float64 {
	switch {
	case s == 0:
		return 1
	case math.IsInf(float64(s), 1):
		return 0
	}
	return float64(s)
}

// drivers makes sources by the name of their driver.
var drivers = map[string]func(SourceConfig, shop) (source.Source, error){
	"replay":    newReplay,
	"simulated": newSimulated,
}

// rereadable reports whether the source sets cursors: what it delivered can be had again.
func (s *SourceConfig) rereadable() bool { return s.Driver == "replay" }

// shop is what drivers are made with.
type shop struct {
	profiles  []*telemetry.Profile
	now       func() time.Time // the wall clock
	replay    *replay.Metrics
	simulated *simulated.Metrics
	log       *slog.Logger
}

// Check returns the faults of a source that are not its driver's own, joined.
func (s *SourceConfig) Check() error {
	errs := []error{config.At("name", telemetry.CheckID("source", s.Name))}
	if _, known := drivers[s.Driver]; !known {
		errs = append(errs, config.At("driver", fmt.Errorf("%q is not known; there are: %s",
			s.Driver, strings.Join(slices.Sorted(maps.Keys(drivers)), ", "))))
	}
	if s.Driver == "replay" && s.Replay == nil {
		errs = append(errs, config.At("replay", errors.New("is required by the driver replay")))
	}
	return errors.Join(append(errs, s.checkDriver())...)
}

func newReplay(s SourceConfig, with shop) (source.Source, error) {
	r := s.Replay
	name := r.Profile
	if name == "" {
		name = "turbofan"
	}
	profile := profiles.Find(with.profiles, name)
	if profile == nil {
		return nil, fmt.Errorf("profile %q is not known; there are: %s", name, profiles.Names(with.profiles))
	}
	return replay.New(replay.Config{
		File: string(r.File), Format: r.Format, Profile: profile, UnitPrefix: r.UnitPrefix,
		Period: r.Period, Speed: r.Speed.factor(), Loop: r.Loop, Start: r.Start,
		Now: with.now, Logger: with.log, Metrics: with.replay,
	})
}

// newSource makes the source of a configuration. It opens nothing.
func newSource(s SourceConfig, with shop) (source.Source, error) {
	with.log = with.log.With("source", s.Name)
	src, err := drivers[s.Driver](s, with)
	if err != nil {
		return nil, fmt.Errorf("source %s: %w", s.Name, err)
	}
	return src, nil
}
