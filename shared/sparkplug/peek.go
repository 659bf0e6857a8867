package sparkplug

import (
	"errors"
	"fmt"

	"google.golang.org/protobuf/encoding/protowire"
)

// Envelope is what [Peek] reads of a message that carries a record or a loss.
type Envelope struct {
	UUID      string // RecordUUID, AlarmUUID or LossUUID
	Timestamp uint64 // ms since 1970 UTC
	Seq       uint64
	HasSeq    bool
	Header
	Fingerprint uint64
	Born        int64  // unix ns of the run's birth
	Count       uint64 // readings of the run before the first row
	Rows        int    // as the body states it
	Ends        bool   // the record ends its run
}

// Peek reads the identity of a record or loss, without its metrics. It returns
// [ErrForeign] for a payload that is neither. Any other error means that the
// message is malformed; it has no identity then.
func Peek(b []byte) (_ Envelope, err error) {
	defer guard("envelope", &err)
	var s scan
	if err := s.run(b); err != nil {
		return Envelope{}, fmt.Errorf("peek: %w", err)
	}
	if s.uuid == "" {
		return Envelope{}, ErrForeign
	}
	body, err := parseBody(s.body)
	if err != nil {
		return Envelope{}, fmt.Errorf("peek: %w", err)
	}
	return Envelope{
		UUID: s.uuid, Timestamp: s.timestamp, Seq: s.seq, HasSeq: s.hasSeq,
		Header: body.Header, Fingerprint: body.fingerprint, Born: body.born, Count: body.count,
		Rows: countVarints(body.rowLen), Ends: body.ended,
	}, nil
}

// scan finds the fields of a payload that are not metrics.
type scan struct {
	timestamp, seq uint64
	hasTime        bool
	hasSeq         bool
	uuid           string // one of ours, or ""
	hasUUID        bool
	body           []byte // of the message
	hasBody        bool
	metrics        []byte // of the message: from the first metric on
}

// run reads b. It stops at the first metric once it has everything: the body comes
// first in what AppendRecord wrote. It accepts any order, because what is between
// the nodes may write the message anew. A field that comes twice is refused.
func (s *scan) run(b []byte) error {
	for f := (field{}); len(b) > 0; {
		rest, err := nextField(b, &f)
		if err != nil {
			return err
		}
		twice := false
		switch {
		case f.is(payloadMetrics, protowire.BytesType):
			if s.metrics == nil {
				s.metrics = b
			}
			if s.hasTime && s.hasSeq && s.hasUUID && s.hasBody {
				return nil
			}
		case f.is(payloadTimestamp, protowire.VarintType):
			twice, s.timestamp, s.hasTime = s.hasTime, f.bits, true
		case f.is(payloadSeq, protowire.VarintType):
			twice, s.seq, s.hasSeq = s.hasSeq, f.bits, true
		case f.is(payloadUUID, protowire.BytesType):
			twice, s.uuid, s.hasUUID = s.hasUUID, ourUUID(f.data), true
		case f.is(payloadBody, protowire.BytesType):
			twice, s.body, s.hasBody = s.hasBody, f.data, true
		}
		if twice {
			return errors.New("a field of the payload comes twice")
		}
		b = rest
	}
	return nil
}

// ourUUID returns the constant that b spells, or "".
func ourUUID(b []byte) string {
	for _, uuid := range [...]string{RecordUUID, AlarmUUID, LossUUID} {
		if string(b) == uuid {
			return uuid
		}
	}
	return ""
}
