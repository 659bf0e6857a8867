package sparkplug

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"

	"google.golang.org/protobuf/encoding/protowire"

	"andon.internal/shared/telemetry"
)

// rowDecoder reads the metrics of one row of a record.
type rowDecoder struct {
	d      *recordDecoder
	values []telemetry.Value
	next   int    // signals below are done with
	ms     uint64 // the row's time
	// middle is what stands between alias and value in the row's first metric, when
	// that is as AppendRecord writes it; else empty. Its first 8 bytes, as far as it
	// has them, are in word; mask says which.
	middle     []byte
	word, mask uint64
}

// shortest is the least that [rowDecoder.short] takes, in bytes: tag, length, tag, alias, and 8 of
// the middle and the value.
const shortest = 12

// short takes a metric off b that is as AppendRecord writes it: alias, the middle
// that the row's first metric had, a value of the signal's type. ok is false, and
// nothing was done, for anything else.
func (r *rowDecoder) short(b []byte) (rest []byte, ok bool) {
	if len(b) < shortest || b[0] != tagMetric || b[2] != tagAlias || r.mask == 0 {
		return nil, false
	}
	end := 2 + int(b[1])
	if end < shortest || b[1] >= 0x80 || end > len(b) {
		return nil, false
	}
	alias, n := uint64(b[3]), 4 // n is where the middle begins
	if alias >= 0x80 {
		alias, n = alias&0x7f|uint64(b[4])<<7, 5
		if b[4] >= 0x80 {
			if alias, n = varint(b[3:end]); n == 0 {
				return nil, false
			}
			n += 3
		}
	}
	at, value := alias-r.d.layout.FirstAlias, n+len(r.middle)
	if at < uint64(r.next) || at >= uint64(len(r.values)) || value >= end || n+8 > end ||
		(binary.LittleEndian.Uint64(b[n:])^r.word)&r.mask != 0 ||
		len(r.middle) > 8 && string(b[n+8:value]) != string(r.middle[8:]) {
		return nil, false
	}
	tag, data := b[value], b[value+1:end]
	switch t := r.d.types[at]; {
	case tag == tagDouble && t == telemetry.Double && len(data) == 8:
		r.values[at] = telemetry.DoubleValue(math.Float64frombits(binary.LittleEndian.Uint64(data)))
	case tag == tagFloat && t == telemetry.Real && len(data) == 4:
		r.values[at] = telemetry.RealValue(math.Float32frombits(binary.LittleEndian.Uint32(data)))
	case tag == tagLong && t == telemetry.Integer, tag == tagBool && t == telemetry.Boolean:
		bits, n := varint(data)
		if n == 0 || n != len(data) {
			return nil, false
		}
		r.values[at] = telemetry.FromBits(t, bits)
	default:
		return nil, false
	}
	r.next = int(at) + 1
	return b[end:], true
}

// metric takes the next metric off b, in whatever form, and whatever other fields
// stand before it.
func (r *rowDecoder) metric(b []byte, first bool) ([]byte, error) {
	var f field
	for !f.is(payloadMetrics, protowire.BytesType) {
		if len(b) == 0 {
			return nil, errMissing
		}
		var err error
		if b, err = nextField(b, &f); err != nil {
			return nil, err
		}
	}
	var m recordMetric
	if err := m.parse(f.data); err != nil {
		return nil, err
	}
	if first {
		r.begin(m.time, middleOf(f.data, &m))
	}
	d := r.d
	if !d.started {
		d.started, d.historical = true, m.historical
	}
	at := m.alias - d.layout.FirstAlias // wraps around below the first
	switch {
	case !m.hasAlias:
		return nil, errors.New("a metric has no alias")
	case !m.hasTime || m.time != r.ms:
		return nil, errors.New("its metrics do not have one timestamp")
	case m.historical != d.historical:
		return nil, errors.New("the message is partly historical")
	case at < uint64(r.next) || at >= uint64(len(r.values)):
		return nil, fmt.Errorf("alias %d is out of order or of no signal", m.alias)
	}
	if !m.null {
		t := d.types[at]
		if m.typ != t {
			return nil, fmt.Errorf("value of alias %d is not of type %v", m.alias, t)
		}
		r.values[at] = telemetry.FromBits(t, m.bits)
	}
	r.next = int(at) + 1
	return b, nil
}

// begin sets what the row's metrics share.
func (r *rowDecoder) begin(ms uint64, middle []byte) {
	r.ms, r.middle = ms, middle
	var word [8]byte
	n := copy(word[:], middle)
	r.word = binary.LittleEndian.Uint64(word[:])
	r.mask = 1<<(8*n) - 1 // all bits when n is 8
}

// middleOf returns the time and the historical flag of the metric m in data, where
// they stand right behind the alias, as AppendRecord writes them; else nothing.
func middleOf(data []byte, m *recordMetric) []byte {
	if len(data) == 0 || data[0] != tagAlias {
		return nil
	}
	_, n := varint(data[1:])
	middle := data[1+n:]
	if len(middle) == 0 || middle[0] != tagMetricTime {
		return nil
	}
	time, n := varint(middle[1:])
	n++
	historical := len(middle) >= n+2 && middle[n] == tagHistorical && middle[n+1] == 1
	if historical {
		n += 2
	}
	if time != m.time || historical != m.historical {
		return nil // what comes later in the metric says otherwise
	}
	return middle[:n]
}

// recordMetric is a metric of a record: alias, time and value.
type recordMetric struct {
	alias, time, bits uint64
	typ               telemetry.Type // of the value; 0 for none
	hasAlias, hasTime bool
	historical, null  bool
}

var (
	errMetric  = errors.New("a metric is malformed")
	errMissing = errors.New("its metrics are not all there")
)

// parse reads the fields of a metric, whatever their order. It skips a name and a
// datatype, which something between the nodes may have added.
func (m *recordMetric) parse(b []byte) error {
	for len(b) > 0 {
		tag := b[0]
		switch tag {
		case tagDouble:
			if len(b) < 9 {
				return errMetric
			}
			m.bits, m.typ = binary.LittleEndian.Uint64(b[1:]), telemetry.Double
			b = b[9:]
			continue
		case tagFloat:
			if len(b) < 5 {
				return errMetric
			}
			m.bits, m.typ = uint64(binary.LittleEndian.Uint32(b[1:])), telemetry.Real
			b = b[5:]
			continue
		case tagAlias, tagMetricTime, tagHistorical, tagNull, tagLong, tagBool:
		default:
			var f field
			var err error
			if b, err = nextField(b, &f); err != nil {
				return err
			}
			continue
		}
		v, n := varint(b[1:])
		if n == 0 {
			return errMetric
		}
		b = b[1+n:]
		switch tag {
		case tagAlias:
			m.alias, m.hasAlias = v, true
		case tagMetricTime:
			m.time, m.hasTime = v, true
		case tagHistorical:
			m.historical = v != 0
		case tagNull:
			m.null = v != 0
		case tagLong:
			m.bits, m.typ = v, telemetry.Integer
		case tagBool:
			m.bits, m.typ = v, telemetry.Boolean
		}
	}
	return nil
}
