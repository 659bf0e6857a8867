package telemetry

import "strings"

// Quality says how far a reading can be trusted. It fits a PostgreSQL smallint.
// Zero is good with a good clock. The low 8 bits are flags about the values, the
// next 4 hold a [TimeQuality].
type Quality uint16

// Flags about a reading's values.
const (
	QualityMissing    Quality = 1 << 0 // at least one signal has no value
	QualityOutOfRange Quality = 1 << 1 // at least one value is outside its plausible range
	QualityUncertain  Quality = 1 << 2 // the source itself marked a value as uncertain or bad
	QualitySimulated  Quality = 1 << 3 // made by a simulator or a replay, not by a plant

	// QualityMask holds every bit that is in use.
	QualityMask = QualityMissing | QualityOutOfRange | QualityUncertain | QualitySimulated | 0x0f00
)

// TimeQuality says how far a reading's wall time can be trusted.
type TimeQuality uint8

// The time qualities, in the order of their trouble.
const (
	TimeOK        TimeQuality = 0
	TimeSkewed    TimeQuality = 1 // the cell's clock is off by more than the limit
	TimeStepped   TimeQuality = 2 // the clock was set while the record was taken
	TimeCorrected TimeQuality = 3 // the collector dated it from boot time
	TimeUnsynced  TimeQuality = 4 // the cell had no clock (1970 at boot)
	TimeSource    TimeQuality = 5 // the source's own time, as in a replay
)

// Time returns the quality of the reading's time.
func (q Quality) Time() TimeQuality { return TimeQuality(q >> 8 & 0x0f) }

// WithTime returns q with its time quality replaced.
func (q Quality) WithTime(t TimeQuality) Quality {
	return q&^0x0f00 | Quality(t&0x0f)<<8
}

func (t TimeQuality) String() string {
	names := [...]string{"ok", "skewed", "stepped", "corrected", "unsynced", "source"}
	if int(t) < len(names) {
		return names[t]
	}
	return "unknown"
}

func (q Quality) String() string {
	var parts []string
	for _, f := range []struct {
		bit  Quality
		name string
	}{
		{QualityMissing, "missing"},
		{QualityOutOfRange, "out-of-range"},
		{QualityUncertain, "uncertain"},
		{QualitySimulated, "simulated"},
	} {
		if q&f.bit != 0 {
			parts = append(parts, f.name)
		}
	}
	if t := q.Time(); t != TimeOK {
		parts = append(parts, "time-"+t.String())
	}
	if len(parts) == 0 {
		return "good"
	}
	return strings.Join(parts, ",")
}
