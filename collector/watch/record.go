package watch

import (
	"encoding/json"
	"strconv"
	"time"

	"andon.internal/shared/sparkplug"
	"andon.internal/shared/telemetry"
)

// own decodes a record or a loss.
func (d *Decoder) own(e *Event, t sparkplug.Topic, env sparkplug.Envelope, payload []byte) error {
	id := Identity{Epoch: env.Epoch.String(), Position: env.Position, Session: env.Session}
	if env.UUID == sparkplug.LossUUID {
		_, l, err := sparkplug.DecodeLoss(payload, sparkplug.Limits{})
		if err == nil {
			e.Loss = &Loss{
				Identity: id, Of: l.Epoch.String(), From: l.From, To: l.To,
				Reason: string(l.Reason), Units: l.Units, Readings: l.Readings,
			}
		}
		return err
	}
	e.Record = &Record{Identity: id, Born: unixNano(env.Born), Count: env.Count, RowCount: env.Rows}
	layout, ok := d.layouts[layoutKey{telemetry.Node{Group: t.Group, ID: t.Node}, t.Device, env.Fingerprint}]
	if !ok {
		layout, ok = d.guess(env, payload)
	}
	if ok {
		_, r, historical, err := sparkplug.DecodeRecord(payload, t.Device, layout, sparkplug.Limits{})
		if err == nil {
			e.Record.fill(r, historical)
		}
		return err
	}
	p, err := sparkplug.Decode(payload, sparkplug.Limits{})
	if err == nil {
		e.Metrics = metrics(p)
		e.Record.Historical = len(p.Metrics) > 0 && p.Metrics[0].Historical
	}
	return err
}

// guess finds the layout of a record whose unit's birth was not seen: its profile is
// one of ours, and when no value is missing the first alias is the first signal's.
func (d *Decoder) guess(env sparkplug.Envelope, payload []byte) (sparkplug.Layout, bool) {
	profile := d.profiles[env.Fingerprint]
	if profile == nil || env.Rows == 0 {
		return sparkplug.Layout{}, false
	}
	p, err := sparkplug.Decode(payload, sparkplug.Limits{})
	if err != nil || len(p.Metrics) != env.Rows*len(profile.Signals) || !p.Metrics[0].HasAlias {
		return sparkplug.Layout{}, false
	}
	return sparkplug.Layout{Profile: profile, FirstAlias: p.Metrics[0].Alias}, true
}

func (out *Record) fill(r *telemetry.Record, historical bool) {
	out.Historical, out.Profile = historical, r.Profile.Name
	if r.End != nil {
		if out.End = r.End.Reason; out.End == "" {
			out.End = "ended"
		}
	}
	for i := range r.Len() {
		out.Rows = append(out.Rows, Row{
			Time: unixNano(r.Times[i]), Quality: r.Qualities[i].String(), Values: Values{r.Profile, r.Row(i)},
		})
	}
}

// Values are the values of a row, with their names. In JSON they are an object in
// the profile's order, without the missing ones; what JSON cannot say (NaN) is text.
type Values struct {
	profile *telemetry.Profile
	list    []telemetry.Value
}

// MarshalJSON implements [json.Marshaler].
func (v Values) MarshalJSON() ([]byte, error) {
	b := []byte{'{'}
	for i, value := range v.list {
		if value.Missing() {
			continue
		}
		if len(b) > 1 {
			b = append(b, ',')
		}
		b = strconv.AppendQuote(b, v.profile.Signals[i].Name) // of [a-z0-9_]
		b = append(b, ':')
		text := value.String()
		if !json.Valid([]byte(text)) {
			text = strconv.Quote(text)
		}
		b = append(b, text...)
	}
	return append(b, '}'), nil
}

// String returns name=value, with spaces between.
func (v Values) String() string {
	var b []byte
	for i, value := range v.list {
		if value.Missing() {
			continue
		}
		if len(b) > 0 {
			b = append(b, ' ')
		}
		b = append(b, v.profile.Signals[i].Name...)
		b = append(b, '=')
		b = append(b, value.String()...)
	}
	return string(b)
}

func newBirth(b *sparkplug.NodeBirth) *Birth {
	out := &Birth{Session: b.Session, BdSeq: b.BdSeq, Version: b.Version}
	for _, c := range b.Chain {
		out.Chain = append(out.Chain, Epoch{c.Epoch.String(), c.End.String(), c.Next, c.Held.String()})
	}
	return out
}

func newUnitBirth(b *sparkplug.UnitBirth) *UnitBirth {
	out := &UnitBirth{Profile: b.Profile.Name, Version: b.Profile.Version, Born: unixNano(b.Born), Backlog: b.Backlog}
	for i := range b.Profile.Signals {
		out.Signals = append(out.Signals, b.Profile.Signals[i].Name)
	}
	return out
}

func newHeartbeat(h sparkplug.Heartbeat) *Heartbeat {
	return &Heartbeat{
		Rows: h.Rows, Records: h.Records, Bytes: h.Bytes, OldestS: float64(h.OldestMS) / 1000,
		DiskFree: h.DiskFree, Clock: h.Clock.String(), Stops: h.Stops, Lost: h.Lost,
	}
}

// metrics lists a payload's metrics as they stand.
func metrics(p *sparkplug.Payload) []Metric {
	list := make([]Metric, 0, len(p.Metrics))
	for i := range p.Metrics {
		m := &p.Metrics[i]
		out := Metric{Name: m.Name, Value: valueText(m)}
		if m.HasAlias {
			out.Alias = &m.Alias
		}
		list = append(list, out)
	}
	return list
}

func valueText(m *sparkplug.Metric) string {
	if m.Null {
		return "null"
	}
	switch v := m.Value; v.Kind() {
	case sparkplug.KindInt, sparkplug.KindLong:
		// Without a datatype, as in data, the sign is not known: most are small.
		t := m.DataType
		if t == sparkplug.Unknown {
			t = sparkplug.Int64
			if v.Kind() == sparkplug.KindInt {
				t = sparkplug.Int32
			}
		}
		if n, ok := v.Int64(t); ok {
			return strconv.FormatInt(n, 10)
		}
		return strconv.FormatUint(v.Bits(), 10)
	case sparkplug.KindFloat:
		f, _ := v.Float()
		return strconv.FormatFloat(float64(f), 'g', -1, 32)
	case sparkplug.KindDouble:
		f, _ := v.Double()
		return strconv.FormatFloat(f, 'g', -1, 64)
	case sparkplug.KindBool:
		b, _ := v.Bool()
		return strconv.FormatBool(b)
	case sparkplug.KindString:
		s, _ := v.Text()
		return s
	case sparkplug.KindBytes:
		b, _ := v.Bytes()
		return strconv.Itoa(len(b)) + " bytes"
	}
	return "of a kind that is not shown"
}

func unixNano(ns int64) time.Time { return time.Unix(0, ns).UTC() }
