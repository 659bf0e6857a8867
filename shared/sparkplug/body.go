package sparkplug

import (
	"errors"
	"fmt"
	"math"

	"google.golang.org/protobuf/encoding/protowire"

	"andon.internal/shared/ranges"
	"andon.internal/shared/telemetry"
)

// The uuid of a payload says what its body is.
const (
	RecordUUID = "andon.record.1" // a DDATA with a record
	AlarmUUID  = "andon.alarm.1"  // a DDATA with alarm events
	LossUUID   = "andon.loss.1"   // an NDATA with a loss
)

// Header says which record a message carries, and when it was sent.
type Header struct {
	Epoch    telemetry.Epoch
	Position uint64
	Session  uint64 // of the birth whose aliases the record uses
	SentBoot int64  // CLOCK_BOOTTIME in ns when it was sent; 0 where unknown
	// Moved: it had another name in an epoch that somebody else has used too, and may
	// be stored under that.
	Moved bool
}

// Layout is what a birth says about the records of a unit.
type Layout struct {
	Profile    *telemetry.Profile
	FirstAlias uint64 // signal i has the alias FirstAlias+i
}

// Field numbers of the body.
const (
	bodyEpoch       = 1  // bytes, 16
	bodyPosition    = 2  // varint
	bodySession     = 3  // varint
	bodyFingerprint = 4  // fixed64
	bodyRowLen      = 5  // packed varints: the metrics of each row
	bodySubMilli    = 6  // packed varints: ns behind the ms of each row; absent when all are 0
	bodyCount       = 7  // varint: readings of the run before the first row
	bodyBorn        = 8  // sfixed64: unix ns
	bodyQuality     = 9  // packed varints; absent when all are 0
	bodyBoot        = 10 // bytes, 16; absent when unknown
	bodyOffset      = 11 // zigzag: wall time minus boot time, ns
	bodySentBoot    = 12 // varint: ns; absent when unknown
	bodyTimeQuality = 13 // varint
	bodyEndTime     = 14 // sfixed64: unix ns; there when the record ends its run
	bodyEndReason   = 15 // string
	bodyLoss        = 16 // message; of a loss only
	bodyMoved       = 17 // varint: 1; absent when it is not so
)

// body is a parsed body. Its slices are the message's.
type body struct {
	Header
	fingerprint uint64
	rowLen      []byte
	subMilli    []byte
	quality     []byte
	count       uint64
	born        int64
	clock       telemetry.Clock
	endTime     int64
	ended       bool
	endReason   []byte
	loss        []byte
}

func appendHeader(dst []byte, h *Header) []byte {
	dst = appendText(dst, bodyEpoch, h.Epoch[:])
	dst = appendUint(dst, bodyPosition, h.Position)
	return appendUint(dst, bodySession, h.Session)
}

func appendMoved(dst []byte, h *Header) []byte {
	if !h.Moved {
		return dst
	}
	return appendUint(dst, bodyMoved, 1)
}

func appendSentBoot(dst []byte, h *Header) []byte {
	if h.SentBoot == 0 {
		return dst
	}
	return appendUint(dst, bodySentBoot, uint64(h.SentBoot))
}

// parseBody reads a body. What it returns refers to b.
func parseBody(b []byte) (body, error) {
	var out body
	var err error
	for f := (field{}); len(b) > 0; {
		if b, err = nextField(b, &f); err != nil {
			return body{}, fmt.Errorf("body: %w", err)
		}
		switch f.wire {
		case protowire.BytesType:
			err = out.setBytes(&f)
		case protowire.VarintType:
			err = out.setVarint(&f)
		case protowire.Fixed64Type:
			out.setFixed(&f)
		}
		if err != nil {
			return body{}, fmt.Errorf("body: %w", err)
		}
	}
	if out.Epoch.IsZero() {
		return body{}, errors.New("body: epoch is not there")
	}
	if out.Position > ranges.MaxPosition {
		return body{}, fmt.Errorf("body: position %d is above %d", out.Position, uint64(ranges.MaxPosition))
	}
	return out, nil
}

func (o *body) setBytes(f *field) error {
	switch f.num {
	case bodyEpoch:
		return setID((*[16]byte)(&o.Epoch), f.data, "epoch")
	case bodyRowLen:
		o.rowLen = f.data
	case bodySubMilli:
		o.subMilli = f.data
	case bodyQuality:
		o.quality = f.data
	case bodyBoot:
		return setID(&o.clock.Boot, f.data, "boot id")
	case bodyEndReason:
		o.endReason = f.data
	case bodyLoss:
		o.loss = f.data
	}
	return nil
}

func (o *body) setVarint(f *field) error {
	switch f.num {
	case bodyPosition:
		o.Position = f.bits
	case bodySession:
		o.Session = f.bits
	case bodyCount:
		if f.bits > math.MaxInt64 {
			return fmt.Errorf("run count %d does not fit 63 bits", f.bits)
		}
		o.count = f.bits
	case bodyOffset:
		o.clock.Offset = protowire.DecodeZigZag(f.bits)
	case bodySentBoot:
		o.SentBoot = int64(f.bits)
	case bodyMoved:
		o.Moved = f.bits != 0
	case bodyTimeQuality:
		if f.bits > 0x0f {
			return fmt.Errorf("time quality %d does not fit 4 bits", f.bits)
		}
		o.clock.Quality = telemetry.TimeQuality(f.bits)
	}
	return nil
}

func (o *body) setFixed(f *field) {
	switch f.num {
	case bodyFingerprint:
		o.fingerprint = f.bits
	case bodyBorn:
		o.born = int64(f.bits)
	case bodyEndTime:
		o.endTime, o.ended = int64(f.bits), true
	}
}

func setID(dst *[16]byte, data []byte, what string) error {
	if len(data) != len(dst) {
		return fmt.Errorf("%s has %d bytes, not 16", what, len(data))
	}
	copy(dst[:], data)
	return nil
}

// countVarints returns how many varints a packed list holds.
func countVarints(b []byte) int {
	n := 0
	for _, c := range b {
		if c < 0x80 {
			n++
		}
	}
	return n
}

// varint takes a varint off b. It is protowire.ConsumeVarint with its commonest
// cases inline; n is 0 when b is cut off or too long.
func varint(b []byte) (v uint64, n int) {
	if len(b) > 0 && b[0] < 0x80 {
		return uint64(b[0]), 1
	}
	if len(b) > 1 && b[1] < 0x80 {
		return uint64(b[0]&0x7f) | uint64(b[1])<<7, 2
	}
	v, n = protowire.ConsumeVarint(b)
	return v, max(n, 0)
}
