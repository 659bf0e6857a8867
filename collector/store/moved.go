package store

import (
	"context"
	"encoding/binary"
	"fmt"
	"strconv"

	"github.com/jackc/pgx/v5/pgconn"

	"andon.internal/shared/telemetry"
)

// A machine that is put back to a snapshot of itself holds records that its other life
// may have sent. It learns that from the answer to its birth, and gives what it holds new
// names, under which the ledger does not know it: such an entry is moved. So its readings
// are looked up, in the transaction that would write them, and only those that are not
// there are written, each with the row number that it has.
//
// A reading is there when there is a row of its unit, of its time to the microsecond, with
// its quality but for that of the time, which the collector may have judged otherwise, and
// all its values, under a name of another epoch; and when the run has any
// reading as late as that. Time alone would do for what one source has taken, but then a
// reading that two lives took at one time would be dropped for another's sake; two that
// agree in everything are one to whoever reads them. A count of the readings in the run,
// which would tell more, is not in a row. Within an epoch nothing is compared: there names
// tell readings apart, and two that a unit took in one microsecond are both stored.
//
// Where both lives go on at once, the one may move what the other still sends under its first
// name. So the run notes of which times readings came under a new name, and what comes
// behind them for those times under any name is looked up as well.

// compared reports whether the readings of a record are looked up.
func (a *attempt) compared(it *item) bool {
	return it.entry.Moved || it.times().overlaps(a.runs[it.run].moved)
}

// times is when the record's readings were taken.
func (it *item) times() span {
	times := it.entry.Record.Times
	if len(times) == 0 {
		return noSpan // the end of a run
	}
	return span{micros(times[0]), micros(times[len(times)-1])}
}

// apart takes records from the front of a list of moved ones, as long as no two of a unit
// overlap in time: what is copied together is not compared with each other.
func apart(moved []*item) (list, rest []*item) {
	taken := map[int32][]span{} // by unit
	for i, it := range moved {
		s := it.times()
		for _, other := range taken[it.runKey.unit] {
			if s.overlaps(other) {
				return moved[:i], moved[i:]
			}
		}
		taken[it.runKey.unit] = append(taken[it.runKey.unit], s)
	}
	return moved, nil
}

// recall finds out which readings of the records that are to be compared are stored.
func (a *attempt) recall(ctx context.Context, t *table, items []*item) error {
	var calls []call
	for _, it := range items {
		if it.rows+it.repeated == 0 || !a.compared(it) {
			continue
		}
		it.rows, it.repeated, it.known = it.rows+it.repeated, 0, nil
		var times list
		for row, ns := range it.entry.Record.Times {
			if us := micros(ns); (it.skip == nil || !it.skip[row]) && us <= a.runs[it.run].latest {
				times.micros(us)
			}
		}
		if times.n > 0 {
			calls = append(calls, it.recall(t, times.param()))
		}
	}
	if len(calls) == 0 {
		return nil
	}
	return a.tx.run(ctx, calls...)
}

// recall is the query for the stored readings of one record, no two of whose rows are of
// one millisecond.
func (it *item) recall(t *table, times []byte) call {
	stored := map[string]bool{} // by all that is compared
	var key []byte
	return call{
		sql: t.moveSQL, binary: true,
		params: [][]byte{
			strconv.AppendInt(nil, int64(it.runKey.unit), 10), times, strconv.AppendInt(nil, int64(it.ledger.key), 10),
		},
		row: func(v [][]byte) error {
			if len(v[1]) != 2 {
				return fmt.Errorf("a reading's quality has %d bytes", len(v[1]))
			}
			key = appendOwnQuality(append(key[:0], v[0]...), telemetry.Quality(binary.BigEndian.Uint16(v[1])))
			for _, column := range v[2:] {
				if column == nil {
					key = append(key, 0xff, 0xff, 0xff, 0xff)
					continue
				}
				key = append(binary.BigEndian.AppendUint32(key, uint32(len(column))), column...)
			}
			stored[string(key)] = true
			return nil
		},
		done: func(pgconn.CommandTag) error {
			rec := it.entry.Record
			for row, ns := range rec.Times {
				key = binary.BigEndian.AppendUint64(key[:0], uint64(micros(ns)-pgEpoch))
				key = appendOwnQuality(key, rec.Qualities[row])
				key = appendSignals(key, it.layout, rec.Row(row))
				if it.skip != nil && it.skip[row] || !stored[string(key)] {
					continue
				}
				if it.known == nil {
					it.known = make([]bool, rec.Len())
				}
				it.known[row] = true
				it.rows--
				it.repeated++
			}
			return nil
		},
	}
}

// copied notes how late the readings are that the transaction has written.
func (a *attempt) copied(items []*item) {
	for _, it := range items {
		if times := it.entry.Record.Times; len(times) > 0 {
			r := a.runs[it.run]
			r.latest = max(r.latest, micros(times[len(times)-1]))
		}
	}
}

// appendOwnQuality appends what a quality says of the values.
func appendOwnQuality(key []byte, q telemetry.Quality) []byte {
	return binary.BigEndian.AppendUint16(key, uint16(q.WithTime(telemetry.TimeOK)))
}
