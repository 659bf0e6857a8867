package sparkplug

import (
	"errors"
	"fmt"
	"unicode/utf8"

	"google.golang.org/protobuf/encoding/protowire"

	"andon.internal/shared/ranges"
	"andon.internal/shared/telemetry"
)

// MaxLossUnits is the most units that a loss may name.
const MaxLossUnits = 4096

// Field numbers of the loss in a body.
const (
	lossEpoch    = 1 // bytes, 16
	lossFrom     = 2 // varint
	lossTo       = 3 // varint
	lossReason   = 4 // string
	lossUnit     = 5 // string, repeated
	lossReadings = 6 // varint
	lossFirst    = 7 // sfixed64: unix ns
	lossLast     = 8 // sfixed64: unix ns
)

// AppendLoss appends the NDATA of a loss to dst and returns it. ts is the time of
// sending in ms. h names the loss record itself, l the positions that are lost; units
// beyond [MaxLossUnits] are left out.
func AppendLoss(dst []byte, h Header, l telemetry.Loss, ts uint64, seq uint8) []byte {
	dst = appendUint(dst, payloadTimestamp, ts)
	dst = appendUint(dst, payloadSeq, uint64(seq))
	dst = appendText(dst, payloadUUID, LossUUID)
	dst, at := openMessage(dst, payloadBody)
	dst = appendMoved(appendSentBoot(appendHeader(dst, &h), &h), &h)
	dst, inner := openMessage(dst, bodyLoss)
	dst = appendText(dst, lossEpoch, l.Epoch[:])
	dst = appendUint(dst, lossFrom, l.From)
	dst = appendUint(dst, lossTo, l.To)
	dst = appendText(dst, lossReason, string(l.Reason))
	for _, unit := range l.Units[:min(len(l.Units), MaxLossUnits)] {
		dst = appendText(dst, lossUnit, unit)
	}
	dst = appendUint(dst, lossReadings, l.Readings)
	dst = appendFixed64(dst, lossFirst, uint64(l.First))
	dst = appendFixed64(dst, lossLast, uint64(l.Last))
	return closeMessage(closeMessage(dst, inner), at)
}

// DecodeLoss reads the NDATA of a loss. Everything is checked except that the
// reason is a known one: a newer agent may have more. Errors are those of
// [DecodeRecord].
func DecodeLoss(b []byte, lim Limits) (_ Header, _ telemetry.Loss, err error) {
	defer guard("loss", &err)
	h, l, err := decodeLoss(b, lim.withDefaults())
	if err != nil {
		return Header{}, telemetry.Loss{}, fmt.Errorf("decode loss: %w", err)
	}
	return h, l, nil
}

func decodeLoss(b []byte, lim Limits) (h Header, l telemetry.Loss, err error) {
	if len(b) > lim.Message {
		return h, l, over(len(b), lim.Message, "bytes in a message")
	}
	var s scan
	if err = s.run(b); err != nil {
		return h, l, err
	}
	if s.uuid != LossUUID {
		return h, l, ErrForeign
	}
	if !s.hasTime || !s.hasSeq || s.seq > 255 {
		return h, l, errors.New("timestamp is not there, or seq is not a number from 0 to 255")
	}
	body, err := parseBody(s.body)
	if err != nil {
		return h, l, err
	}
	if body.loss == nil {
		return h, l, errors.New("body holds no loss")
	}
	if l, err = parseLoss(body.loss); err != nil {
		return h, l, err
	}
	return body.Header, l, nil
}

func parseLoss(b []byte) (l telemetry.Loss, err error) {
	for f := (field{}); len(b) > 0; {
		if b, err = nextField(b, &f); err != nil {
			return l, err
		}
		switch {
		case f.is(lossEpoch, protowire.BytesType):
			if err = setID((*[16]byte)(&l.Epoch), f.data, "epoch"); err != nil {
				return l, err
			}
		case f.is(lossFrom, protowire.VarintType):
			l.From = f.bits
		case f.is(lossTo, protowire.VarintType):
			l.To = f.bits
		case f.is(lossReason, protowire.BytesType):
			l.Reason = telemetry.Reason(f.data)
		case f.is(lossUnit, protowire.BytesType):
			if len(l.Units) == MaxLossUnits {
				return l, over(MaxLossUnits+1, MaxLossUnits, "units")
			}
			l.Units = append(l.Units, string(f.data))
			if err = telemetry.CheckID("unit", string(f.data)); err != nil {
				return l, err
			}
		case f.is(lossReadings, protowire.VarintType):
			l.Readings = f.bits
		case f.is(lossFirst, protowire.Fixed64Type):
			l.First = int64(f.bits)
		case f.is(lossLast, protowire.Fixed64Type):
			l.Last = int64(f.bits)
		}
	}
	return l, checkLoss(&l)
}

func checkLoss(l *telemetry.Loss) error {
	switch {
	case l.Epoch.IsZero():
		return errors.New("lost epoch is not there")
	case l.From >= l.To || l.To > ranges.MaxPosition+1:
		return fmt.Errorf("[%d,%d) is no range of lost positions", l.From, l.To)
	case l.Reason == "" || len(l.Reason) > 64 || !utf8.ValidString(string(l.Reason)):
		return fmt.Errorf("reason %q of a loss has not 1 to 64 bytes of UTF-8", clip(string(l.Reason)))
	case l.Readings > ranges.MaxPosition:
		return fmt.Errorf("%d lost readings do not fit 63 bits", l.Readings)
	}
	return nil
}
