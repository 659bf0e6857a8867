package sparkplug

import (
	"google.golang.org/protobuf/encoding/protowire"
)

// Payload is one Sparkplug B message.
type Payload struct {
	Timestamp    uint64 // ms since 1970 UTC
	HasTimestamp bool
	Metrics      []Metric
	Seq          uint64
	HasSeq       bool
	UUID         string
	Body         []byte
}

// Metric is one named value of a payload.
type Metric struct {
	Name         string
	Alias        uint64
	HasAlias     bool
	Timestamp    uint64 // ms since 1970 UTC
	HasTimestamp bool
	DataType     DataType // Unknown where the message does not say
	Historical   bool
	Transient    bool
	Null         bool
	Value        Value // of KindNone when Null
	Properties   []Property
}

// Property is one entry of a metric's property set. A value of KindNone is null.
type Property struct {
	Key      string
	DataType DataType
	Value    Value
}

// Metric returns the first metric of that name, or nil.
func (p *Payload) Metric(name string) *Metric {
	for i := range p.Metrics {
		if p.Metrics[i].Name == name {
			return &p.Metrics[i]
		}
	}
	return nil
}

// Property returns the value of the metric's first property with that key; it is
// of KindNone when there is none.
func (m *Metric) Property(key string) Value {
	for i := range m.Properties {
		if m.Properties[i].Key == key {
			return m.Properties[i].Value
		}
	}
	return Value{}
}

// Field numbers of the standard's protobuf.
const (
	payloadTimestamp = 1
	payloadMetrics   = 2
	payloadSeq       = 3
	payloadUUID      = 4
	payloadBody      = 5

	metricName       = 1
	metricAlias      = 2
	metricTimestamp  = 3
	metricDataType   = 4
	metricHistorical = 5
	metricTransient  = 6
	metricNull       = 7
	metricProperties = 9
	metricValue      = 10 // the first of the value fields, int_value

	propertySetKeys   = 1
	propertySetValues = 2

	propertyType  = 1
	propertyNull  = 2
	propertyValue = 3 // the first of the value fields, int_value
)

// valueWire is the wire type of the value fields, from int_value on. A metric and
// a property use the same order; only a metric has bytes.
var valueWire = [...]protowire.Type{
	protowire.VarintType, protowire.VarintType, protowire.Fixed32Type, protowire.Fixed64Type,
	protowire.VarintType, protowire.BytesType, protowire.BytesType,
}

// Append appends the payload's protobuf to dst and returns it.
func (p *Payload) Append(dst []byte) []byte {
	if p.HasTimestamp {
		dst = appendUint(dst, payloadTimestamp, p.Timestamp)
	}
	for i := range p.Metrics {
		dst = p.Metrics[i].append(dst)
	}
	if p.HasSeq {
		dst = appendUint(dst, payloadSeq, p.Seq)
	}
	if p.UUID != "" {
		dst = appendText(dst, payloadUUID, p.UUID)
	}
	if p.Body != nil {
		dst = appendText(dst, payloadBody, p.Body)
	}
	return dst
}

func (m *Metric) append(dst []byte) []byte {
	dst, at := openMessage(dst, payloadMetrics)
	if m.Name != "" {
		dst = appendText(dst, metricName, m.Name)
	}
	if m.HasAlias {
		dst = appendUint(dst, metricAlias, m.Alias)
	}
	if m.HasTimestamp {
		dst = appendUint(dst, metricTimestamp, m.Timestamp)
	}
	if m.DataType != Unknown {
		dst = appendUint(dst, metricDataType, uint64(m.DataType))
	}
	if m.Historical {
		dst = appendUint(dst, metricHistorical, 1)
	}
	if m.Transient {
		dst = appendUint(dst, metricTransient, 1)
	}
	if m.Null {
		dst = appendUint(dst, metricNull, 1)
	}
	if len(m.Properties) > 0 {
		dst = appendProperties(dst, m.Properties)
	}
	if !m.Null {
		dst = appendValue(dst, metricValue, m.Value)
	}
	return closeMessage(dst, at)
}

func appendProperties(dst []byte, props []Property) []byte {
	dst, at := openMessage(dst, metricProperties)
	for i := range props {
		dst = appendText(dst, propertySetKeys, props[i].Key)
	}
	for i := range props {
		var inner int
		dst, inner = openMessage(dst, propertySetValues)
		dst = appendUint(dst, propertyType, uint64(props[i].DataType))
		switch v := props[i].Value; v.kind {
		case KindNone, KindBytes: // a property has no field for bytes
			dst = appendUint(dst, propertyNull, 1)
		default:
			dst = appendValue(dst, propertyValue, v)
		}
		dst = closeMessage(dst, inner)
	}
	return closeMessage(dst, at)
}

// appendValue appends v; first is the number of the int_value field.
func appendValue(dst []byte, first protowire.Number, v Value) []byte {
	if v.kind == KindNone {
		return dst
	}
	i := protowire.Number(v.kind - KindInt)
	dst = protowire.AppendTag(dst, first+i, valueWire[i])
	switch valueWire[i] {
	case protowire.VarintType:
		return protowire.AppendVarint(dst, v.bits)
	case protowire.Fixed32Type:
		return protowire.AppendFixed32(dst, uint32(v.bits))
	case protowire.Fixed64Type:
		return protowire.AppendFixed64(dst, v.bits)
	}
	return protowire.AppendString(dst, v.text)
}

func appendUint(dst []byte, field protowire.Number, v uint64) []byte {
	return protowire.AppendVarint(protowire.AppendTag(dst, field, protowire.VarintType), v)
}

func appendFixed64(dst []byte, field protowire.Number, v uint64) []byte {
	return protowire.AppendFixed64(protowire.AppendTag(dst, field, protowire.Fixed64Type), v)
}

func appendText[T string | []byte](dst []byte, field protowire.Number, s T) []byte {
	dst = protowire.AppendTag(dst, field, protowire.BytesType)
	dst = protowire.AppendVarint(dst, uint64(len(s)))
	return append(dst, s...)
}

// openMessage begins a nested message and returns where its content begins. One
// byte is kept for the length; closeMessage moves the content if it needs more.
func openMessage(dst []byte, field protowire.Number) ([]byte, int) {
	dst = append(protowire.AppendTag(dst, field, protowire.BytesType), 0)
	return dst, len(dst)
}

func closeMessage(dst []byte, at int) []byte {
	n := len(dst) - at
	if n < 1<<7 {
		dst[at-1] = byte(n)
		return dst
	}
	var length [10]byte
	enc := protowire.AppendVarint(length[:0], uint64(n))
	dst = append(dst, enc[1:]...)
	copy(dst[at-1+len(enc):], dst[at:at+n])
	copy(dst[at-1:], enc)
	return dst
}
