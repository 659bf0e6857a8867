package session

import (
	"fmt"
	"math"
	"time"

	"andon.internal/shared/sparkplug"
	"andon.internal/shared/telemetry"
)

// SkewLimit is how far a node's clock may be off until its readings are marked.
const SkewLimit = 2 * time.Second

// year2020 in unix ns: a wall clock before it was never set.
const year2020 = 1_577_836_800_000_000_000

// date brings the times of a record in order before anybody looks at them. Those of a
// clock that was set are never changed, only marked where the clock is off. Those of a
// node that had no clock are found from boot time, which runs on from the reading to the
// sending, and the anchor of its boot (see [dating]). What was taken in an earlier boot
// cannot be dated: it stays marked as unsynced, and ends where it was over at the latest,
// when the boot in which it was sent began. A run keeps the time of birth that names it.
//
// The error is of a record without a clock that no clock can have made.
func (n *node) date(env *sparkplug.Envelope, rec *telemetry.Record, received time.Time, skew Skew) error {
	switch rec.Clock.Quality {
	case telemetry.TimeOK:
		if n.skewThen(env, rec, skew).Beyond(SkewLimit) {
			mark(rec, telemetry.TimeOK, telemetry.TimeSkewed)
		}
	case telemetry.TimeUnsynced:
		if rec.Clock.Offset >= year2020 {
			return nil // a source's time of long ago, and a clock that was set
		}
		if err := movable(rec); err != nil {
			return err
		}
		if by, ok := n.sinceBoot(env, rec); ok {
			shift(rec, by)
			mark(rec, telemetry.TimeUnsynced, telemetry.TimeCorrected)
			return nil
		}
		shift(rec, bootBegan(env, received)-last(rec))
	}
	return nil
}

// farthest from 1970, in ns, is the year 2065: times, anchors and what moves one to the
// other are within int64 then.
const farthest = 3_000_000_000_000_000_000

// movable returns an error where a time of the record, or its anchor, is so far off that it
// cannot be reckoned with.
func movable(rec *telemetry.Record) error {
	at := []int64{rec.Clock.Offset}
	if n := len(rec.Times); n > 0 {
		at = append(at, rec.Times[0], rec.Times[n-1]) // they increase
	}
	if rec.End != nil {
		at = append(at, rec.End.Time)
	}
	for _, t := range at {
		if t < -farthest || t > farthest {
			return fmt.Errorf("record of a node without a clock has the time or the anchor %d ns since 1970", t)
		}
	}
	return nil
}

// skewThen is how far the clock was off when a record was taken: it may have been set
// before the record was sent. Of another boot's clock nothing is known. Where that of the
// sending is not known yet, one of the two is off all the same if they are far apart, and
// it is the record's if no delay on the way explains it.
func (n *node) skewThen(env *sparkplug.Envelope, rec *telemetry.Record, skew Skew) Skew {
	if rec.Clock.Boot != n.boot {
		return Skew{}
	}
	if env.SentBoot <= 0 {
		return skew
	}
	anchor := int64(min(env.Timestamp, maxSent))*1e6 - env.SentBoot
	if set := time.Duration(anchor - rec.Clock.Offset); set > anchorMoved || set < -anchorMoved {
		skew.By += set
		if skew.By-longestWay > SkewLimit || skew.By < -SkewLimit {
			skew.Known = true
		}
	}
	return skew
}

// sinceBoot returns by how much the times of a record are to be moved; ok is false where
// its boot is not the one that it was sent in, or its clocks make no sense.
func (n *node) sinceBoot(env *sparkplug.Envelope, rec *telemetry.Record) (by int64, ok bool) {
	if n.boot == [16]byte{} || rec.Clock.Boot != n.boot || env.SentBoot <= 0 || n.dating.least == 0 {
		return 0, false
	}
	first, latest := ends(rec)
	const slack = int64(time.Second)
	if first-rec.Clock.Offset < -slack || latest-rec.Clock.Offset > env.SentBoot+slack {
		return 0, false
	}
	anchor := n.dating.of(rec.Unit, first-rec.Clock.Offset, latest-rec.Clock.Offset)
	return anchor - rec.Clock.Offset, true
}

// bootBegan is when the boot began in which a message was sent; where that is not known,
// when it came.
func bootBegan(env *sparkplug.Envelope, received time.Time) int64 {
	at := received.UnixNano()
	if env.SentBoot > 0 && env.SentBoot < at {
		at -= env.SentBoot
	}
	return at
}

// ends are the first and the last time in a record.
func ends(rec *telemetry.Record) (first, latest int64) {
	if n := len(rec.Times); n > 0 {
		return rec.Times[0], last(rec)
	}
	return rec.End.Time, rec.End.Time
}

// last is the latest time in a record, which has rows or an end.
func last(rec *telemetry.Record) int64 {
	at := int64(math.MinInt64)
	if n := len(rec.Times); n > 0 {
		at = rec.Times[n-1]
	}
	if rec.End != nil {
		at = max(at, rec.End.Time)
	}
	return at
}

// shift moves the times of a record by whole milliseconds, so that its rows stay in
// different ones.
func shift(rec *telemetry.Record, by int64) {
	whole := by - by%1e6
	for i := range rec.Times {
		rec.Times[i] += whole
	}
	if rec.End != nil {
		end := *rec.End
		end.Time += whole
		rec.End = &end
	}
}

// mark gives the rows of one time quality another.
func mark(rec *telemetry.Record, from, to telemetry.TimeQuality) {
	rec.Clock.Quality = to
	for i, q := range rec.Qualities {
		if q.Time() == from {
			rec.Qualities[i] = q.WithTime(to)
		}
	}
}
