package sparkplug

import (
	"errors"
	"fmt"
	"math"
	"unicode/utf8"

	"google.golang.org/protobuf/encoding/protowire"

	"andon.internal/shared/telemetry"
)

// DecodeRecord reads the DDATA of a record of a unit. Everything is checked: the
// record passes its Check, its times are those of its metrics, its aliases those
// of the layout, and it is all live or all historical. The record keeps no
// reference to b; its profile is that of the layout.
//
// An error wraps [ErrForeign] when b is not a record, [ErrLayout] when its
// fingerprint is not that of the layout, [ErrLimit] when it is beyond lim; else b is
// malformed.
func DecodeRecord(b []byte, unit string, l Layout, lim Limits) (_ Header, _ *telemetry.Record, historical bool, err error) {
	defer guard("record", &err)
	d := recordDecoder{layout: l, signals: len(l.Profile.Signals), unit: unit}
	if err := d.decode(b, lim.withDefaults()); err != nil {
		return Header{}, nil, false, fmt.Errorf("decode record: %w", err)
	}
	return d.body.Header, d.record, d.historical, nil
}

// maxMilli is the latest time in ms that is a time in ns with any ns behind it.
const maxMilli = math.MaxInt64/1_000_000 - 1

type recordDecoder struct {
	layout     Layout
	types      [telemetry.MaxSignals]telemetry.Type
	signals    int
	unit       string
	body       body
	record     *telemetry.Record
	historical bool
	started    bool // historical is that of a metric
}

func (d *recordDecoder) decode(b []byte, lim Limits) error {
	if len(b) > lim.Message {
		return over(len(b), lim.Message, "bytes in a message")
	}
	var s scan
	err := s.run(b)
	if err != nil {
		return err
	}
	if s.uuid != RecordUUID {
		return ErrForeign
	}
	if !s.hasTime || !s.hasSeq || s.seq > 255 {
		return errors.New("timestamp is not there, or seq is not a number from 0 to 255")
	}
	if d.body, err = parseBody(s.body); err != nil {
		return err
	}
	if got := d.layout.Profile.Fingerprint(); d.body.fingerprint != got {
		return fmt.Errorf("fingerprint %016x, expected %016x: %w", d.body.fingerprint, got, ErrLayout)
	}
	if err := d.begin(lim, len(s.metrics)); err != nil {
		return err
	}
	if err := d.rows(s.metrics); err != nil {
		return err
	}
	if err := d.exactTimes(); err != nil {
		return err
	}
	if err := d.qualities(); err != nil {
		return err
	}
	return d.record.Check()
}

// leastMetric is how many bytes a metric of a record has at the least: tag and length, and two
// each for alias, time, and a value or that there is none.
const leastMetric = 8

// begin allocates the record once its size is known to be within bounds, those that the bytes
// of its metrics set among them.
func (d *recordDecoder) begin(lim Limits, metrics int) error {
	if d.signals > telemetry.MaxSignals {
		return over(d.signals, telemetry.MaxSignals, "signals in a profile")
	}
	for i := range d.signals {
		d.types[i] = d.layout.Profile.Signals[i].Type
	}
	n := countVarints(d.body.rowLen)
	if n > telemetry.MaxRows {
		return over(n, telemetry.MaxRows, "rows in a record")
	}
	if n > metrics/leastMetric {
		return errMissing
	}
	if n*d.signals > lim.Values {
		return over(n*d.signals, lim.Values, "values in a record")
	}
	d.record = &telemetry.Record{
		Unit: d.unit, Profile: d.layout.Profile,
		Born: d.body.born, Count: d.body.count, Clock: d.body.clock,
	}
	if d.body.ended {
		if len(d.body.endReason) > telemetry.MaxTextLength {
			return over(len(d.body.endReason), telemetry.MaxTextLength, "bytes in the reason of an end")
		}
		if !utf8.Valid(d.body.endReason) {
			return errors.New("reason of the run's end is not UTF-8")
		}
		d.record.End = &telemetry.End{Time: d.body.endTime, Reason: string(d.body.endReason)}
	}
	if n > 0 {
		d.record.Times = make([]int64, n)
		d.record.Qualities = make([]telemetry.Quality, n)
		d.record.Values = make([]telemetry.Value, n*d.signals)
	}
	return nil
}

// rows reads the metrics, row by row.
func (d *recordDecoder) rows(b []byte) (err error) {
	lens := d.body.rowLen
	for i := range d.record.Times {
		want, n := varint(lens)
		lens = lens[n:]
		if n == 0 || want == 0 || want > uint64(d.signals) {
			return fmt.Errorf("row %d: its number of metrics is not from 1 to %d", i, d.signals)
		}
		if b, err = d.row(b, i, int(want)); err != nil {
			return fmt.Errorf("row %d: %w", i, err)
		}
	}
	if len(lens) > 0 {
		return errors.New("the last number of metrics of a row is cut off")
	}
	for f := (field{}); len(b) > 0; {
		if b, err = nextField(b, &f); err != nil {
			return err
		}
		if f.is(payloadMetrics, protowire.BytesType) {
			return errors.New("there are more metrics than the rows have")
		}
	}
	return nil
}

// row reads the next n metrics as row i and returns what follows them. After the
// first metric it knows what all of the row share, and takes the short way.
func (d *recordDecoder) row(b []byte, i, n int) ([]byte, error) {
	row := rowDecoder{d: d, values: d.record.Row(i)}
	for k := 0; k < n; k++ {
		if k > 0 {
			if rest, ok := row.short(b); ok {
				b = rest
				continue
			}
		}
		var err error
		if b, err = row.metric(b, k == 0); err != nil {
			return nil, err
		}
	}
	ms := int64(row.ms)
	if ms > maxMilli || ms < -maxMilli {
		return nil, fmt.Errorf("timestamp %d ms is out of range", ms)
	}
	d.record.Times[i] = ms * 1e6
	return b, nil
}

// exactTimes adds what the times have below a millisecond.
func (d *recordDecoder) exactTimes() error {
	if len(d.body.subMilli) == 0 {
		return nil
	}
	list := d.body.subMilli
	for i := range d.record.Times {
		ns, n := varint(list)
		if n == 0 || ns >= 1e6 {
			return fmt.Errorf("row %d: its time below a millisecond is not from 0 to 999999 ns", i)
		}
		d.record.Times[i] += int64(ns)
		list = list[n:]
	}
	if len(list) > 0 {
		return errors.New("there are more times below a millisecond than rows")
	}
	return nil
}

func (d *recordDecoder) qualities() error {
	if len(d.body.quality) == 0 {
		return nil
	}
	list := d.body.quality
	for i := range d.record.Qualities {
		q, n := varint(list)
		if n == 0 || q > math.MaxInt16 {
			return fmt.Errorf("row %d: its quality is not a number from 0 to %d", i, math.MaxInt16)
		}
		d.record.Qualities[i] = telemetry.Quality(q)
		list = list[n:]
	}
	if len(list) > 0 {
		return errors.New("there are more qualities than rows")
	}
	return nil
}
