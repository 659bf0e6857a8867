package sparkplug

import (
	"fmt"
	"unicode/utf8"

	"google.golang.org/protobuf/encoding/protowire"
)

// field is one field of a protobuf message. bits holds a number, data the content
// of a text or a nested message, which is the caller's slice.
type field struct {
	num  protowire.Number
	wire protowire.Type
	bits uint64
	data []byte
}

// is reports whether the field is number num with wire type wire. A known field
// with another wire type is skipped like an unknown one.
func (f *field) is(num protowire.Number, wire protowire.Type) bool {
	return f.num == num && f.wire == wire
}

// nextField takes one field off b and returns the rest.
func nextField(b []byte, f *field) ([]byte, error) {
	num, wire, n := protowire.ConsumeTag(b)
	if n < 0 {
		return nil, malformed(n)
	}
	*f = field{num: num, wire: wire}
	b = b[n:]
	switch wire {
	case protowire.VarintType:
		f.bits, n = protowire.ConsumeVarint(b)
	case protowire.Fixed32Type:
		var v uint32
		v, n = protowire.ConsumeFixed32(b)
		f.bits = uint64(v)
	case protowire.Fixed64Type:
		f.bits, n = protowire.ConsumeFixed64(b)
	case protowire.BytesType:
		f.data, n = protowire.ConsumeBytes(b)
	default:
		n = protowire.ConsumeFieldValue(num, wire, b)
	}
	if n < 0 {
		return nil, malformed(n)
	}
	return b[n:], nil
}

func malformed(n int) error {
	return fmt.Errorf("malformed protobuf: %w", protowire.ParseError(n))
}

// decoder holds the bounds of one call of Decode.
type decoder struct {
	lim        Limits
	properties int // decoded so far
}

// Decode reads a payload. Fields that are not the standard's, datasets, templates
// and extensions are skipped. The payload keeps no reference to b. An error wraps
// [ErrLimit] when the message is beyond lim, else b is malformed.
func Decode(b []byte, lim Limits) (_ *Payload, err error) {
	defer guard("payload", &err)
	p, err := decodePayload(b, lim.withDefaults())
	if err != nil {
		return nil, fmt.Errorf("decode payload: %w", err)
	}
	return p, nil
}

func decodePayload(b []byte, lim Limits) (*Payload, error) {
	if len(b) > lim.Message {
		return nil, over(len(b), lim.Message, "bytes in a message")
	}
	metrics, err := countMetrics(b, lim.Metrics)
	if err != nil {
		return nil, err
	}
	d := decoder{lim: lim}
	p := &Payload{}
	if metrics > 0 {
		p.Metrics = make([]Metric, 0, metrics)
	}
	for f := (field{}); len(b) > 0; {
		if b, err = nextField(b, &f); err != nil {
			return nil, err
		}
		switch {
		case f.is(payloadTimestamp, protowire.VarintType):
			p.Timestamp, p.HasTimestamp = f.bits, true
		case f.is(payloadMetrics, protowire.BytesType):
			p.Metrics = append(p.Metrics, Metric{})
			if err := d.metric(f.data, &p.Metrics[len(p.Metrics)-1]); err != nil {
				return nil, fmt.Errorf("metric %d: %w", len(p.Metrics)-1, err)
			}
		case f.is(payloadSeq, protowire.VarintType):
			p.Seq, p.HasSeq = f.bits, true
		case f.is(payloadUUID, protowire.BytesType):
			if p.UUID, err = d.text(f.data); err != nil {
				return nil, fmt.Errorf("uuid: %w", err)
			}
		case f.is(payloadBody, protowire.BytesType):
			p.Body = append([]byte{}, f.data...)
		}
	}
	return p, nil
}

// countMetrics walks a payload, so that its metrics are allocated once and a bound
// is met before anything is.
func countMetrics(b []byte, limit int) (n int, err error) {
	for f := (field{}); len(b) > 0; {
		if b, err = nextField(b, &f); err != nil {
			return 0, err
		}
		if f.is(payloadMetrics, protowire.BytesType) {
			n++
		}
	}
	if n > limit {
		return 0, over(n, limit, "metrics in a message")
	}
	return n, nil
}

func (d *decoder) metric(b []byte, m *Metric) (err error) {
	for f := (field{}); len(b) > 0; {
		if b, err = nextField(b, &f); err != nil {
			return err
		}
		switch {
		case f.is(metricName, protowire.BytesType):
			if m.Name, err = d.text(f.data); err != nil {
				return fmt.Errorf("name: %w", err)
			}
		case f.is(metricAlias, protowire.VarintType):
			m.Alias, m.HasAlias = f.bits, true
		case f.is(metricTimestamp, protowire.VarintType):
			m.Timestamp, m.HasTimestamp = f.bits, true
		case f.is(metricDataType, protowire.VarintType):
			m.DataType = DataType(f.bits)
		case f.is(metricHistorical, protowire.VarintType):
			m.Historical = f.bits != 0
		case f.is(metricTransient, protowire.VarintType):
			m.Transient = f.bits != 0
		case f.is(metricNull, protowire.VarintType):
			m.Null = f.bits != 0
		case f.is(metricProperties, protowire.BytesType):
			if m.Properties, err = d.propertySet(f.data, m.Properties); err != nil {
				return fmt.Errorf("properties: %w", err)
			}
		default:
			if err = d.value(&f, metricValue, KindBytes, &m.Value); err != nil {
				return fmt.Errorf("value: %w", err)
			}
		}
	}
	if m.Null {
		m.Value = Value{}
	}
	return nil
}

// value sets v when f is one of the value fields from number first up to kind last.
func (d *decoder) value(f *field, first protowire.Number, last Kind, v *Value) (err error) {
	i := f.num - first
	if i < 0 || i > protowire.Number(last-KindInt) || f.wire != valueWire[i] {
		return nil
	}
	*v = Value{kind: KindInt + Kind(i), bits: f.bits}
	switch v.kind {
	case KindInt:
		v.bits = uint64(uint32(v.bits))
	case KindBool:
		v.bits = min(v.bits, 1)
	case KindString:
		v.text, err = d.text(f.data)
	case KindBytes:
		if len(f.data) > d.lim.Text {
			return over(len(f.data), d.lim.Text, "bytes in a value")
		}
		v.text = string(f.data)
	}
	return err
}

// propertySet appends the entries of a property set to props. Keys and values are
// two lists; what has no partner in the other is dropped.
func (d *decoder) propertySet(set []byte, props []Property) (_ []Property, err error) {
	first, f := len(props), field{}
	for b := set; len(b) > 0; {
		if b, err = nextField(b, &f); err != nil {
			return nil, err
		}
		if !f.is(propertySetKeys, protowire.BytesType) {
			continue
		}
		if d.properties++; d.properties > d.lim.Properties {
			return nil, over(d.properties, d.lim.Properties, "properties in a message")
		}
		key, err := d.text(f.data)
		if err != nil {
			return nil, err
		}
		props = append(props, Property{Key: key})
	}
	at := first
	for b := set; len(b) > 0 && at < len(props); {
		if b, err = nextField(b, &f); err != nil {
			return nil, err
		}
		if f.is(propertySetValues, protowire.BytesType) {
			if err = d.property(f.data, &props[at]); err != nil {
				return nil, err
			}
			at++
		}
	}
	if at == 0 { // keys alone are none
		return nil, nil
	}
	return props[:at], nil
}

func (d *decoder) property(b []byte, p *Property) (err error) {
	null := false
	for f := (field{}); len(b) > 0; {
		if b, err = nextField(b, &f); err != nil {
			return err
		}
		switch {
		case f.is(propertyType, protowire.VarintType):
			p.DataType = DataType(f.bits)
		case f.is(propertyNull, protowire.VarintType):
			null = f.bits != 0
		default:
			if err = d.value(&f, propertyValue, KindString, &p.Value); err != nil {
				return err
			}
		}
	}
	if null {
		p.Value = Value{}
	}
	return nil
}

// text copies a text out of the message.
func (d *decoder) text(b []byte) (string, error) {
	if len(b) > d.lim.Text {
		return "", over(len(b), d.lim.Text, "bytes in a text")
	}
	if !utf8.Valid(b) {
		return "", fmt.Errorf("text %q is not UTF-8", clip(string(b[:min(len(b), 81)])))
	}
	return string(b), nil
}
