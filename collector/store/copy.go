package store

import (
	"encoding/binary"
	"io"

	"andon.internal/shared/telemetry"
)

// copyColumns are the columns before the signals, in the order that copyReader
// writes them: what changes with the row, then what is the record's.
const copyColumns = "ts, row_no, quality, unit_key, epoch_key, position, received_at"

const (
	fixedColumns = 7
	pgEpoch      = 946_684_800_000_000 // 2000-01-01 in µs since 1970
)

// copyHeader begins PostgreSQL's binary COPY format: signature, flags, extension.
var copyHeader = []byte("PGCOPY\n\xff\r\n\x00\x00\x00\x00\x00\x00\x00\x00\x00")

// copyItem is a record on its way into a table.
type copyItem struct {
	rec      *telemetry.Record
	layout   *layout
	skip     []bool // rows to leave out; nil: none
	unit     int32
	epoch    int32
	position uint64
	received int64 // µs
}

// copyReader is the stream of a binary COPY. It writes rows straight into the
// reader's buffer, so that a batch of any size needs no memory of its own.
type copyReader struct {
	items []copyItem
	item  int // the next row to write is row `row` of item `item`
	row   int

	begun, ended bool
	record       []byte // the record's columns, encoded; rebuilt for each item
	built        int    // items for which record was built
	over         []byte // what did not fit into the last buffer
	spare        []byte
}

// Read implements io.Reader.
func (r *copyReader) Read(p []byte) (int, error) {
	if len(p) == 0 {
		return 0, nil
	}
	if len(r.over) > 0 {
		n := copy(p, r.over)
		r.over = r.over[n:]
		return n, nil
	}
	b := p[:0]
	for !r.ended {
		need := r.need()
		if cap(b)-len(b) < need {
			if len(b) > 0 {
				break
			}
			// A buffer smaller than a row: write aside, and hand out in pieces.
			r.spare = r.next(r.spare[:0])
			n := copy(p, r.spare)
			r.over = r.spare[n:]
			return n, nil
		}
		b = r.next(b)
	}
	if len(b) == 0 {
		return 0, io.EOF
	}
	return len(b), nil
}

// need is an upper bound of what the next call of next appends.
func (r *copyReader) need() int {
	if !r.begun || r.item == len(r.items) {
		return len(copyHeader)
	}
	return 128 + 12*len(r.items[r.item].layout.columns)
}

// next appends the header, one row, or the trailer.
func (r *copyReader) next(b []byte) []byte {
	if !r.begun {
		r.begun = true
		return append(b, copyHeader...)
	}
	for r.item < len(r.items) {
		it := &r.items[r.item]
		for r.row < it.rec.Len() && it.skip != nil && it.skip[r.row] {
			r.row++
		}
		if r.row < it.rec.Len() {
			if r.built <= r.item {
				r.record = appendRecordColumns(r.record[:0], it)
				r.built = r.item + 1
			}
			b = appendRow(b, it, r.row, r.record)
			r.row++
			return b
		}
		r.item, r.row = r.item+1, 0
	}
	r.ended = true
	return append(b, 0xff, 0xff)
}

// appendRecordColumns encodes the columns that all rows of a record share.
func appendRecordColumns(b []byte, it *copyItem) []byte {
	be := binary.BigEndian
	b = be.AppendUint32(be.AppendUint32(b, 4), uint32(it.unit))
	b = be.AppendUint32(be.AppendUint32(b, 4), uint32(it.epoch))
	b = be.AppendUint64(be.AppendUint32(b, 8), it.position)
	return be.AppendUint64(be.AppendUint32(b, 8), uint64(it.received-pgEpoch))
}

// appendRow encodes one row.
func appendRow(b []byte, it *copyItem, row int, record []byte) []byte {
	be := binary.BigEndian
	b = be.AppendUint16(b, uint16(fixedColumns+len(it.layout.columns)))
	b = be.AppendUint64(be.AppendUint32(b, 8), uint64(micros(it.rec.Times[row])-pgEpoch))
	b = be.AppendUint16(be.AppendUint32(b, 2), uint16(row))
	b = be.AppendUint16(be.AppendUint32(b, 2), uint16(it.rec.Qualities[row]))
	b = append(b, record...)
	return appendSignals(b, it.layout, it.rec.Row(row))
}

// appendSignals encodes the columns of the signals, each with its length before it.
func appendSignals(b []byte, l *layout, values []telemetry.Value) []byte {
	be := binary.BigEndian
	for _, c := range l.columns {
		var v telemetry.Value
		if c.source >= 0 {
			v = values[c.source]
		}
		if v.Missing() {
			b = append(b, 0xff, 0xff, 0xff, 0xff)
			continue
		}
		switch c.typ {
		case telemetry.Real:
			b = be.AppendUint32(append(b, 0, 0, 0, 4), uint32(v.Bits()))
		case telemetry.Boolean:
			b = append(b, 0, 0, 0, 1, byte(v.Bits()))
		default:
			b = be.AppendUint64(append(b, 0, 0, 0, 8), v.Bits())
		}
	}
	return b
}
