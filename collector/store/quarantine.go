package store

import (
	"context"
	"encoding/json"
	"time"

	"andon.internal/shared/telemetry"
)

const (
	wholeRecord   = -1 // row_no of an entry that is quarantined whole
	maxReasonSize = 500
)

// asideSQL counts the positions of ledger row l that are quarantined, also those that
// the ledger has as committed, see [ledgerRow.fold].
const asideSQL = `(SELECT count(*) FROM quarantine q WHERE q.epoch_key = l.epoch_key AND q.row_no = -1)`

// insertQuarantine keeps what the batch sets aside: whole entries, and single rows
// of records that are stored otherwise.
func (b *batch) insertQuarantine() []call {
	var keys, positions, rowNos, units, reasons, formats, sizes, payloads, received list
	add := func(it *item, row int, unit, format string, payload []byte) {
		keys.int(int64(it.ledger.key))
		positions.int(int64(it.entry.Position))
		rowNos.int(int64(row))
		if unit == "" {
			units.null()
		} else {
			units.text(clip(unit, telemetry.MaxTextLength))
		}
		reasons.text(clip(it.reason, maxReasonSize))
		formats.text(format)
		sizes.int(int64(len(payload)))
		payloads.bytes(payload[:min(len(payload), MaxPayload)])
		received.micros(b.received(it).UnixMicro())
	}
	for i := range b.items {
		it := &b.items[i]
		rec := it.entry.Record
		switch {
		case it.outcome == Committed && it.table != nil && it.skip != nil:
			for row, skipped := range it.skip {
				if skipped {
					add(it, row, rec.Unit, "record", describe(rec, row, row+1))
				}
			}
		case it.outcome != Quarantined:
		case it.entry.Poison != nil:
			add(it, wholeRecord, "", "message", it.entry.Poison.Payload)
		case rec != nil:
			add(it, wholeRecord, rec.Unit, "record", describe(rec, 0, rec.Len()))
		default:
			payload, _ := json.Marshal(it.entry.Loss) // plain fields cannot fail
			add(it, wholeRecord, "", "record", payload)
		}
	}
	if keys.n == 0 {
		return nil
	}
	return []call{{
		sql: `INSERT INTO quarantine (epoch_key, position, row_no, unit_id, reason, format, size, payload, received_at)
 SELECT * FROM unnest($1::int[], $2::bigint[], $3::smallint[], $4::text[], $5::text[], $6::text[], $7::int[], $8::bytea[],
 $9::timestamptz[]) ON CONFLICT DO NOTHING`,
		params: [][]byte{
			keys.param(), positions.param(), rowNos.param(), units.param(), reasons.param(), formats.param(),
			sizes.param(), payloads.param(), received.param(),
		},
	}}
}

// unhide finds out which positions of the batch that could be stored now are quarantined,
// although their rows of the ledger, which are locked, have them as committed.
func (a *attempt) unhide(ctx context.Context) error {
	rows := map[int64]*ledgerRow{}
	var keys, positions list
	for i := range a.b.items {
		it := &a.b.items[i]
		if it.outcome == Invalid || !it.ledger.folded || it.whole() || !it.ledger.committed.Contains(it.entry.Position) {
			continue
		}
		rows[int64(it.ledger.key)] = it.ledger
		keys.int(int64(it.ledger.key))
		positions.int(int64(it.entry.Position))
	}
	if keys.n == 0 {
		return nil
	}
	return a.tx.run(ctx, call{
		sql: `SELECT q.epoch_key, q.position FROM unnest($1::int[], $2::bigint[]) d(k, p)
 JOIN quarantine q ON (q.epoch_key, q.position, q.row_no) = (d.k, d.p, -1)`,
		params: [][]byte{keys.param(), positions.param()},
		row: func(v [][]byte) error {
			var key, position int64
			if err := ints(v, &key, &position); err != nil {
				return err
			}
			rows[key].hidden.Add(uint64(position), uint64(position)+1)
			return nil
		},
	})
}

// deleteRecovered deletes from quarantine what the batch stores after all.
func (b *batch) deleteRecovered() []call {
	var keys, positions list
	for i := range b.items {
		if it := &b.items[i]; it.outcome == Committed && it.recovered {
			keys.int(int64(it.ledger.key))
			positions.int(int64(it.entry.Position))
		}
	}
	if keys.n == 0 {
		return nil
	}
	return []call{{
		sql: `DELETE FROM quarantine q USING unnest($1::int[], $2::bigint[]) d(k, p)
 WHERE (q.epoch_key, q.position, q.row_no) = (d.k, d.p, -1)`,
		params: [][]byte{keys.param(), positions.param()},
	}}
}

// describe writes rows [from, to) of a record as JSON that names everything, so
// that it can be read, mended and stored later. Numbers are text, because JSON has
// neither NaN nor 64-bit integers. A record that breaks its own shape loses what
// has no place.
func describe(rec *telemetry.Record, from, to int) []byte {
	type row struct {
		Row     int               `json:"row"`
		Time    string            `json:"time"`
		Quality uint16            `json:"quality"`
		Values  map[string]string `json:"values"`
	}
	out := struct {
		Unit    string            `json:"unit"`
		Profile string            `json:"profile,omitempty"`
		Types   map[string]string `json:"types,omitempty"`
		Born    string            `json:"born"`
		Count   uint64            `json:"count"`
		Ended   string            `json:"ended,omitempty"`
		Reason  string            `json:"reason,omitempty"`
		Rows    []row             `json:"rows"`
	}{Unit: clip(rec.Unit, telemetry.MaxTextLength), Born: stamp(rec.Born), Count: rec.Count, Rows: []row{}}
	if rec.End != nil {
		out.Ended, out.Reason = stamp(rec.End.Time), clip(rec.End.Reason, telemetry.MaxTextLength)
	}
	signals := 0
	if rec.Profile != nil {
		signals = len(rec.Profile.Signals)
		out.Profile = rec.Profile.Name
		out.Types = make(map[string]string, signals)
		for i := range rec.Profile.Signals {
			out.Types[rec.Profile.Signals[i].Name] = rec.Profile.Signals[i].Type.String()
		}
	}
	for i := from; i < to && i < len(rec.Times); i++ {
		r := row{Row: i, Time: stamp(rec.Times[i]), Values: map[string]string{}}
		if i < len(rec.Qualities) {
			r.Quality = uint16(rec.Qualities[i])
		}
		for j := 0; j < signals && i*signals+j < len(rec.Values); j++ {
			if v := rec.Values[i*signals+j]; !v.Missing() {
				r.Values[rec.Profile.Signals[j].Name] = v.String()
			}
		}
		out.Rows = append(out.Rows, r)
	}
	b, err := json.Marshal(out)
	if err != nil {
		return []byte(err.Error())
	}
	return b
}

func stamp(ns int64) string { return time.Unix(0, ns).UTC().Format(time.RFC3339Nano) }
