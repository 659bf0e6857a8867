package replay

import (
	"errors"
	"fmt"
	"log/slog"
	"math"
	"time"

	"andon.internal/shared/telemetry"
)

// The formats of a file.
const (
	CMAPSS = "cmapss" // 26 numbers separated by blanks: unit, cycle, 24 signals in the profile's order
	CSV    = "csv"    // a header with unit, cycle or time (RFC 3339), then signal names
)

// DefaultPeriod is the time between two cycles.
const DefaultPeriod = time.Second

// maxOrphans is how many runs are ended in one batch.
const maxOrphans = 256

// Config of a replay. File and Profile are required.
type Config struct {
	File    string
	Format  string             // CMAPSS or CSV; default CMAPSS
	Profile *telemetry.Profile // its signals are the columns of the file

	// UnitPrefix stands before the unit's number or name in the file.
	UnitPrefix string
	// Period is the time between two cycles; default DefaultPeriod.
	Period time.Duration
	// Speed is how many times faster than life the file is read; 0 is as fast as can be.
	Speed float64
	// Loop begins the file again at its end, with times that go on and new runs.
	Loop bool
	// Start is the time of cycle 0, or of the first reading of a file with times. Zero
	// stands for the moment of the first Open, which the cursor keeps, and leaves
	// times in the file as they are.
	Start time.Time

	Now     func() time.Time // the wall clock; default time.Now
	Logger  *slog.Logger     // default: none
	Metrics *Metrics         // default: counted, not registered
}

// New checks the configuration and does no I/O.
func New(c Config) (*Source, error) {
	if c.File == "" {
		return nil, errors.New("replay: file is required")
	}
	if c.Format == "" {
		c.Format = CMAPSS
	}
	if c.Profile == nil {
		return nil, fmt.Errorf("replay %s: profile is required", c.File)
	}
	if c.Period == 0 {
		c.Period = DefaultPeriod
	}
	switch {
	case c.Format != CMAPSS && c.Format != CSV:
		return nil, fmt.Errorf("replay %s: format %q is none of %s, %s", c.File, c.Format, CMAPSS, CSV)
	case c.Format == CMAPSS && len(c.Profile.Signals) != cmapssSignals:
		return nil, fmt.Errorf("replay %s: a C-MAPSS file has %d signals, the profile %s has %d; use the profile turbofan",
			c.File, cmapssSignals, c.Profile.Name, len(c.Profile.Signals))
	case c.Period < 0:
		return nil, fmt.Errorf("replay %s: period %v must be above 0", c.File, c.Period)
	case c.Speed < 0 || math.IsNaN(c.Speed) || math.IsInf(c.Speed, 0):
		return nil, fmt.Errorf("replay %s: speed %v must be a factor above 0, or max", c.File, c.Speed)
	case !c.Start.IsZero() && (c.Start.Year() < 1970 || c.Start.Year() > 2200):
		return nil, fmt.Errorf("replay %s: start %v must lie between 1970 and 2200", c.File, c.Start)
	}
	if c.UnitPrefix != "" {
		if err := telemetry.CheckID("unit", c.UnitPrefix+"1"); err != nil {
			return nil, fmt.Errorf("replay %s: unit_prefix: %w", c.File, err)
		}
	}
	if c.Now == nil {
		c.Now = time.Now
	}
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	if c.Metrics == nil {
		c.Metrics = NewMetrics(nil)
	}
	return &Source{cfg: c, log: c.Logger.With("file", c.File)}, nil
}
