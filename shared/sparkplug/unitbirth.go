package sparkplug

import (
	"errors"
	"fmt"
	"math"
	"strconv"

	"andon.internal/shared/telemetry"
)

// Names of the metrics of a unit's birth beside its signals.
const (
	metricProfile        = "Andon/Profile"
	metricProfileVersion = "Andon/ProfileVersion"
	metricFingerprint    = "Andon/Fingerprint"
	metricBorn           = "Andon/Born"
	metricBacklog        = "Andon/Backlog"
)

// Keys of a signal's properties.
const (
	propertyUnit = "engUnit"
	propertyLow  = "engLow"
	propertyHigh = "engHigh"
)

// UnitBirth is a DBIRTH of a unit of an Andon node.
type UnitBirth struct {
	Time       uint64 // ms since 1970 UTC
	Session    uint64 // of the node's birth that it belongs to; 0: not said, as by earlier agents
	Unit       string
	Profile    *telemetry.Profile
	FirstAlias uint64            // signal i has the alias FirstAlias+i
	Born       int64             // unix ns of the run's birth
	Backlog    bool              // the run has ended; only its records are still to come
	Last       []telemetry.Value // the latest value of each signal; nil for none
}

// Layout returns what decodes the unit's records.
func (b *UnitBirth) Layout() Layout { return Layout{b.Profile, b.FirstAlias} }

// Append appends the DBIRTH to dst and returns it.
func (b *UnitBirth) Append(dst []byte, seq uint8) []byte {
	p := Payload{Timestamp: b.Time, HasTimestamp: true, Seq: uint64(seq), HasSeq: true}
	p.Metrics = make([]Metric, 0, 6+len(b.Profile.Signals))
	p.Metrics = append(p.Metrics,
		Metric{Name: metricProfile, DataType: String, Value: StringValue(b.Profile.Name)},
		Metric{Name: metricProfileVersion, DataType: Int64, Value: LongValue(int64(b.Profile.Version))},
		Metric{Name: metricFingerprint, DataType: String, Value: StringValue(formatFingerprint(b.Profile.Fingerprint()))},
		Metric{Name: metricBorn, DataType: Int64, Value: LongValue(b.Born)},
		Metric{Name: metricBacklog, DataType: Boolean, Value: BoolValue(b.Backlog)},
	)
	if b.Session != 0 {
		p.Metrics = append(p.Metrics, Metric{Name: metricSession, DataType: UInt64, Value: UlongValue(b.Session)})
	}
	for i := range b.Profile.Signals {
		s := &b.Profile.Signals[i]
		m := Metric{
			Name: s.Name, Alias: b.FirstAlias + uint64(i), HasAlias: true,
			DataType: signalDataType(s.Type), Null: true, Properties: signalProperties(s),
		}
		if b.Last != nil && !b.Last[i].Missing() {
			m.Null, m.Value = false, signalValue(b.Last[i])
		}
		p.Metrics = append(p.Metrics, m)
	}
	p.stamp(b.Time)
	return p.Append(dst)
}

// ParseUnitBirth reads the DBIRTH of a unit. It returns [ErrForeign] for that of a
// node that is not Andon's. The profile is checked, and its fingerprint and
// aliases are those that the birth states; it has no descriptions.
func ParseUnitBirth(unit string, p *Payload) (*UnitBirth, error) {
	if p.Metric(metricProfile) == nil {
		return nil, ErrForeign
	}
	b, err := parseUnitBirth(unit, p)
	if err != nil {
		return nil, fmt.Errorf("read birth of unit %q: %w", clip(unit), err)
	}
	return b, nil
}

func parseUnitBirth(unit string, p *Payload) (*UnitBirth, error) {
	if err := telemetry.CheckID("unit", unit); err != nil {
		return nil, err
	}
	if !p.HasTimestamp || !p.HasSeq {
		return nil, errors.New("timestamp or seq is not there")
	}
	if p.Seq > math.MaxUint8 {
		return nil, fmt.Errorf("seq is %d, not 0 to 255", p.Seq)
	}
	b := &UnitBirth{Time: p.Timestamp, Unit: unit, Profile: &telemetry.Profile{}}
	var fingerprint string
	for i := range p.Metrics {
		m := &p.Metrics[i]
		if m.HasAlias {
			if err := b.addSignal(m); err != nil {
				return nil, err
			}
			continue
		}
		ok := true
		switch m.Name {
		case metricProfile:
			b.Profile.Name, ok = m.Value.Text()
		case metricProfileVersion:
			var version int64
			version, ok = m.Value.Int64(Int64)
			b.Profile.Version = int(max(0, min(version, math.MaxInt32)))
		case metricFingerprint:
			fingerprint, ok = m.Value.Text()
		case metricBorn:
			b.Born, ok = m.Value.Int64(Int64)
		case metricBacklog:
			b.Backlog, ok = m.Value.Bool()
		case metricSession:
			b.Session, ok = m.Value.Uint64(UInt64)
		}
		if !ok {
			return nil, fmt.Errorf("%s is of the wrong type", m.Name)
		}
	}
	if err := b.Profile.Check(); err != nil {
		return nil, err
	}
	if got := formatFingerprint(b.Profile.Fingerprint()); got != fingerprint {
		return nil, fmt.Errorf("fingerprint is %s but %q is stated", got, clip(fingerprint))
	}
	return b, nil
}

// addSignal adds the metric of a signal: everything that has an alias.
func (b *UnitBirth) addSignal(m *Metric) error {
	n := len(b.Profile.Signals)
	if n == telemetry.MaxSignals {
		return over(n+1, n, "signals")
	}
	if n == 0 {
		b.FirstAlias = m.Alias
	}
	if m.Alias < b.FirstAlias || m.Alias-b.FirstAlias != uint64(n) {
		return fmt.Errorf("alias %d of signal %q does not follow the one before", m.Alias, clip(m.Name))
	}
	s := telemetry.Signal{Name: m.Name}
	for s.Type = telemetry.Double; signalDataType(s.Type) != m.DataType; s.Type++ {
		if s.Type == telemetry.Boolean {
			return fmt.Errorf("signal %q has datatype %v, which no signal has", clip(m.Name), m.DataType)
		}
	}
	s.Unit, _ = m.Property(propertyUnit).Text()
	if low, ok := m.Property(propertyLow).Double(); ok {
		s.Min = &low
	}
	if high, ok := m.Property(propertyHigh).Double(); ok {
		s.Max = &high
	}
	var last telemetry.Value
	if !m.Null {
		if m.Value.kind != signalKind(s.Type) {
			return fmt.Errorf("last value of signal %q is not of its type %v", clip(m.Name), s.Type)
		}
		last = telemetry.FromBits(s.Type, m.Value.bits)
	}
	b.Profile.Signals = append(b.Profile.Signals, s)
	b.Last = append(b.Last, last)
	return nil
}

func formatFingerprint(f uint64) string {
	const digits = 16
	s := strconv.FormatUint(f, 16)
	return "0000000000000000"[:digits-len(s)] + s
}

func signalProperties(s *telemetry.Signal) []Property {
	var props []Property
	if s.Unit != "" {
		props = append(props, Property{propertyUnit, String, StringValue(s.Unit)})
	}
	if s.Min != nil {
		props = append(props, Property{propertyLow, Double, DoubleValue(*s.Min)})
	}
	if s.Max != nil {
		props = append(props, Property{propertyHigh, Double, DoubleValue(*s.Max)})
	}
	return props
}

func signalDataType(t telemetry.Type) DataType {
	switch t {
	case telemetry.Double:
		return Double
	case telemetry.Real:
		return Float
	case telemetry.Integer:
		return Int64
	}
	return Boolean
}

// signalKind returns the field that carries values of a signal.
func signalKind(t telemetry.Type) Kind {
	switch t {
	case telemetry.Double:
		return KindDouble
	case telemetry.Real:
		return KindFloat
	case telemetry.Integer:
		return KindLong
	}
	return KindBool
}

func signalValue(v telemetry.Value) Value {
	return Value{kind: signalKind(v.Type()), bits: v.Bits()}
}
