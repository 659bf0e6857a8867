package sparkplug

import (
	"encoding/binary"
	"slices"

	"google.golang.org/protobuf/encoding/protowire"

	"andon.internal/shared/telemetry"
)

// The single-byte tags of a record's message.
const (
	tagTimestamp = payloadTimestamp<<3 | byte(protowire.VarintType)
	tagMetric    = payloadMetrics<<3 | byte(protowire.BytesType)

	tagAlias      = metricAlias<<3 | byte(protowire.VarintType)
	tagMetricTime = metricTimestamp<<3 | byte(protowire.VarintType)
	tagHistorical = metricHistorical<<3 | byte(protowire.VarintType)
	tagNull       = metricNull<<3 | byte(protowire.VarintType)
	tagLong       = 11<<3 | byte(protowire.VarintType)
	tagFloat      = 12<<3 | byte(protowire.Fixed32Type)
	tagDouble     = 13<<3 | byte(protowire.Fixed64Type)
	tagBool       = 14<<3 | byte(protowire.VarintType)
)

// maxMetric is the most that a record's metric can need: a tag and a length of one
// byte each, alias and timestamp of up to 10, the historical flag, a value of up
// to 10; with room for the stores of 8 bytes that write past what they keep.
const maxMetric = 2 + 11 + 11 + 2 + 11 + 8

// AppendRecord appends the DDATA of a record to dst and returns it. ts is the time
// of sending in ms. The record must pass its Check. historical marks every metric.
//
// For every row, in time order, there is one metric for each value that is not
// missing, with its alias and the row's ms. A row in which all are missing has one
// metric that is null, so that its time is told. What the standard has no field
// for is in the body, which is written before the metrics so that a reader can stop
// early.
func AppendRecord(dst []byte, h Header, r *telemetry.Record, firstAlias, ts uint64, seq uint8, historical bool) []byte {
	dst = appendUint(dst, payloadTimestamp, ts)
	dst = appendUint(dst, payloadSeq, uint64(seq))
	dst = appendText(dst, payloadUUID, RecordUUID)
	dst, at := openMessage(dst, payloadBody)
	dst = appendBody(dst, &h, r)
	dst = closeMessage(dst, at)
	for i, t := range r.Times {
		dst = appendRow(dst, r.Row(i), firstAlias, milli(t), historical)
	}
	return dst
}

// RecordBound returns the most bytes that [AppendRecord] needs for a record of
// this many rows and signals, whatever its values, with aliases below 2^28 and
// times from 1970 to 2109.
func RecordBound(rows, signals int) int {
	const (
		envelope = 64
		body     = 192 + telemetry.MaxTextLength
		row      = 3 + 3 + 3          // in the lists of the body
		metric   = 2 + 5 + 7 + 2 + 11 // frame, alias, time, flag, the longest integer
	)
	return envelope + body + rows*(row+signals*metric)
}

func appendBody(dst []byte, h *Header, r *telemetry.Record) []byte {
	dst = appendHeader(dst, h)
	dst = appendFixed64(dst, bodyFingerprint, r.Profile.Fingerprint())
	if len(r.Times) > 0 {
		dst = appendRowLen(dst, r)
		dst = appendSubMilli(dst, r.Times)
	}
	dst = appendUint(dst, bodyCount, r.Count)
	dst = appendFixed64(dst, bodyBorn, uint64(r.Born))
	dst = appendQualities(dst, r.Qualities)
	if r.Clock.Boot != [16]byte{} {
		dst = appendText(dst, bodyBoot, r.Clock.Boot[:])
	}
	if r.Clock.Offset != 0 {
		dst = appendUint(dst, bodyOffset, protowire.EncodeZigZag(r.Clock.Offset))
	}
	dst = appendSentBoot(dst, h)
	if r.Clock.Quality != telemetry.TimeOK {
		dst = appendUint(dst, bodyTimeQuality, uint64(r.Clock.Quality))
	}
	if r.End != nil {
		dst = appendFixed64(dst, bodyEndTime, uint64(r.End.Time))
		if r.End.Reason != "" {
			dst = appendText(dst, bodyEndReason, r.End.Reason)
		}
	}
	return appendMoved(dst, h)
}

func appendRowLen(dst []byte, r *telemetry.Record) []byte {
	dst, at := openMessage(dst, bodyRowLen)
	for i := range r.Times {
		n := 0
		for _, v := range r.Row(i) {
			if !v.Missing() {
				n++
			}
		}
		dst = protowire.AppendVarint(dst, uint64(max(n, 1)))
	}
	return closeMessage(dst, at)
}

func appendSubMilli(dst []byte, times []int64) []byte {
	if !slices.ContainsFunc(times, func(t int64) bool { return t%1e6 != 0 }) {
		return dst
	}
	dst, at := openMessage(dst, bodySubMilli)
	for _, t := range times {
		dst = protowire.AppendVarint(dst, uint64(t-milli(t)*1e6))
	}
	return closeMessage(dst, at)
}

func appendQualities(dst []byte, qualities []telemetry.Quality) []byte {
	if !slices.ContainsFunc(qualities, func(q telemetry.Quality) bool { return q != 0 }) {
		return dst
	}
	dst, at := openMessage(dst, bodyQuality)
	for _, q := range qualities {
		dst = protowire.AppendVarint(dst, uint64(q))
	}
	return closeMessage(dst, at)
}

// appendRow appends the metrics of one row taken at ms.
func appendRow(dst []byte, row []telemetry.Value, firstAlias uint64, ms int64, historical bool) []byte {
	dst = slices.Grow(dst, len(row)*maxMetric)
	start := len(dst)
	b, at := dst[:cap(dst)], start

	// What stands between alias and value is the same in the whole row.
	var middle [24]byte
	stamp := append(middle[:0], tagMetricTime)
	stamp = protowire.AppendVarint(stamp, uint64(ms))
	if historical {
		stamp = append(stamp, tagHistorical, 1)
	}
	middle0 := binary.LittleEndian.Uint64(middle[0:])
	middle1 := binary.LittleEndian.Uint64(middle[8:])

	for i, v := range row {
		if v.Missing() {
			continue
		}
		b[at], b[at+2] = tagMetric, tagAlias
		n := at + 3
		alias := firstAlias + uint64(i)
		for ; alias >= 0x80; alias >>= 7 {
			b[n] = byte(alias) | 0x80
			n++
		}
		b[n] = byte(alias)
		n++
		binary.LittleEndian.PutUint64(b[n:], middle0)
		binary.LittleEndian.PutUint64(b[n+8:], middle1)
		n += len(stamp)
		switch bits := v.Bits(); v.Type() {
		case telemetry.Double:
			b[n] = tagDouble
			binary.LittleEndian.PutUint64(b[n+1:], bits)
			n += 9
		case telemetry.Real:
			b[n] = tagFloat
			binary.LittleEndian.PutUint32(b[n+1:], uint32(bits))
			n += 5
		case telemetry.Integer:
			b[n] = tagLong
			n += 1 + binary.PutUvarint(b[n+1:], bits)
		default:
			b[n], b[n+1] = tagBool, byte(bits)
			n += 2
		}
		b[at+1] = byte(n - at - 2)
		at = n
	}
	if at == start {
		return appendNullMetric(dst, firstAlias, stamp)
	}
	return dst[:at]
}

// appendNullMetric appends the one metric of a row without values.
func appendNullMetric(dst []byte, alias uint64, stamp []byte) []byte {
	dst, at := openMessage(dst, payloadMetrics)
	dst = appendUint(dst, metricAlias, alias)
	dst = append(dst, stamp...)
	dst = append(dst, tagNull, 1)
	return closeMessage(dst, at)
}

// milli rounds unix ns down to ms, also before 1970.
func milli(ns int64) int64 {
	ms := ns / 1e6
	if ns%1e6 < 0 {
		ms--
	}
	return ms
}
