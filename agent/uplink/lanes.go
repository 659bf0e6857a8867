package uplink

import (
	"errors"
	"fmt"
	"time"

	"andon.internal/agent/buffer"
	"andon.internal/agent/record"
	"andon.internal/agent/uplink/internal/births"
	"andon.internal/agent/uplink/internal/flight"
	"andon.internal/shared/sparkplug"
	"andon.internal/shared/telemetry"
)

// lanes is where a session stands in the buffer.
type lanes struct {
	live, backlog *outgoing   // next of each lane, read and not yet sent
	again         *outgoing   // the one to be sent again next, likewise
	cursor        *buffer.Key // the backlog has been read up to here
	moved         uint64      // of the buffer, when it was read from its start
	drained       bool        // nothing is behind cursor but what goes through the live lane
	last          flight.Lane // of the record sent last
	lastLive      time.Time   // when one was last sent live
	liveFrom      time.Time   // live waits for the sync until then
	holdUntil     time.Time   // in a hold, the next live record goes out then
	backlogFrom   time.Time   // the backlog waits until then
	passed        bool        // something before cursor cannot be read now
	rescanAt      time.Time   // what cannot be read now is looked for again then; zero when nothing is left out
	oldestFirst   bool        // too many gaps: everything goes through the backlog, in order
}

// outgoing is a record that is ready to be encoded. Exactly one of record and loss
// is set.
type outgoing struct {
	stored buffer.Stored
	record *telemetry.Record
	loss   *telemetry.Loss
	run    births.Run // zero for a loss
	bound  int64      // the most bytes its message can have
}

// rescan reads the backlog from its start again.
func (l *lanes) rescan() {
	l.backlog, l.again, l.cursor, l.drained, l.passed, l.rescanAt = nil, nil, nil, false, false, time.Time{}
}

// lookAgain has the backlog read from its start in a while: something cannot be read now.
func (l *lanes) lookAgain(now time.Time) {
	if l.rescanAt.IsZero() {
		l.rescanAt = now.Add(unreadablePause)
	}
}

// idle reports whether neither lane has anything to send.
func (l *lanes) idle() bool { return l.live == nil && l.backlog == nil && l.drained }

// countHoles switches to oldest first while what is held lies in too many pieces: fresh
// records open further ones when they come home before the others, and the ledger grows
// with them.
func (l *lanes) countHoles(chain []buffer.EpochState, limit int) {
	pieces := 0
	for i := range chain {
		pieces += len(chain[i].Held.Ranges())
	}
	switch {
	case !l.oldestFirst && pieces > limit:
		l.oldestFirst = true
		l.live = nil
		l.rescan()
	case l.oldestFirst && pieces <= limit/2:
		l.oldestFirst = false
	}
}

// isCurrent reports whether a record is of the epoch that is being appended to.
func (s *session) isCurrent(k buffer.Key) bool { return k.Epoch == s.sync.current }

// fresh reports whether a record is due in the live lane: it has not been offered
// there and is young.
func (s *session) fresh(now time.Time, st *buffer.Stored) bool {
	f := s.up.front
	return s.isCurrent(st.Key) && now.Sub(st.Appended) < s.up.cfg.LiveAge &&
		(f == nil || f.Epoch != st.Epoch || st.Position > f.Position)
}

// passed notes that the live lane is past this record.
func (s *session) passed(k buffer.Key) {
	if f := s.up.front; s.isCurrent(k) && (f == nil || f.Epoch != k.Epoch || k.Position > f.Position) {
		s.up.front = &k
	}
}

// leaveHeld leaves to the backlog what has waited for a session, or for the end of a hold:
// what is taken now would stand behind it.
func (s *session) leaveHeld(now time.Time) {
	k, ok := s.up.buf.Before(now.Add(-s.up.cfg.FreshAge))
	if f := s.up.front; ok && (f == nil || f.Epoch != k.Epoch || k.Position > f.Position) {
		s.up.front = &k
	}
}

// freshLeft reports whether something is left for the live lane, though it may have to
// wait: for the sync, for credit or for a packet.
func (s *session) freshLeft(now time.Time) bool {
	if s.lanes.oldestFirst || now.Before(s.pause) {
		return false
	}
	if s.lanes.live != nil {
		return true
	}
	st, ok, err := s.up.buf.Next(buffer.Live, s.up.front)
	return err == nil && ok && s.fresh(now, &st)
}

// nextLive returns the record at the head of the live lane, or nil.
func (s *session) nextLive(now time.Time) *outgoing {
	l := &s.lanes
	if l.oldestFirst && !s.hold { // in a hold nothing comes home, and no piece is opened
		l.live = nil
		return nil
	}
	if (now.Before(l.liveFrom) && !s.sync.done && !s.hold) || (s.hold && now.Before(l.holdUntil)) {
		return nil
	}
	if o := l.live; o != nil {
		if s.fresh(now, &o.stored) {
			return o
		}
		l.live, l.drained = nil, false // it has become backlog
	}
	for !now.Before(s.pause) {
		st, ok, err := s.up.buf.Next(buffer.Live, s.up.front)
		if err != nil {
			s.bufferFailed(now, err, &s.pause)
			return nil
		}
		if !ok {
			return nil
		}
		if f := s.up.front; f == nil || f.Epoch != st.Epoch || st.Position != f.Position+1 {
			l.drained = false // what lies between may have been too old for this lane
		}
		if l.live = s.prepare(now, st); l.live != nil {
			return l.live
		}
		s.passed(st.Key)
	}
	return nil
}

// nextBacklog returns the record that the backlog lane has to send next, or nil:
// first what is to be sent again, then what is held, oldest first. While the sync
// is not there, and at a clean stop, it has nothing; while records are moved to a new
// epoch, only what is to be sent again; when some have come, it begins at the oldest.
func (s *session) nextBacklog(now time.Time) *outgoing {
	l := &s.lanes
	if !s.sync.done || s.hold || !s.stopBy.IsZero() || now.Before(s.pause) || now.Before(l.backlogFrom) {
		return nil
	}
	if !l.rescanAt.IsZero() && !now.Before(l.rescanAt) {
		l.rescan()
	}
	if o := s.nextResend(now); o != nil {
		return o
	}
	moving, moved := s.up.buf.Moving(), s.up.buf.Moved()
	if moving || moved != l.moved { // into the new epoch: what has come so far may stand behind that
		l.backlog, l.cursor, l.drained, l.moved = nil, nil, false, moved
	}
	if moving {
		return nil
	}
	if l.backlog != nil && s.up.table.Holds(flight.Key(l.backlog.stored.Key)) {
		l.backlog = nil
	}
	for l.backlog == nil && !l.drained {
		st, ok, err := s.up.buf.Next(buffer.Backlog, l.cursor)
		unreadable := errors.Is(err, buffer.ErrUnreadable)
		l.passed = l.passed || unreadable || st.PassedOver
		if err != nil && !unreadable {
			s.bufferFailed(now, err, &l.backlogFrom)
			return nil
		}
		if !ok || (!l.oldestFirst && s.fresh(now, &st)) {
			l.drained = true
			if l.passed {
				l.lookAgain(now)
			}
			return nil
		}
		l.cursor = &st.Key
		if !s.up.table.Holds(flight.Key(st.Key)) {
			l.backlog = s.prepare(now, st)
		}
	}
	return l.backlog
}

// nextResend returns a record that timed out, was recalled or is parked and due.
func (s *session) nextResend(now time.Time) *outgoing {
	for {
		r, ok := s.up.table.Resend(now)
		if !ok {
			return nil
		}
		if o := s.lanes.again; o != nil && flight.Key(o.stored.Key) == r.Key {
			return o
		}
		st, ok, err := s.up.buf.Get(buffer.Key(r.Key))
		if errors.Is(err, buffer.ErrUnreadable) {
			s.up.table.Unread(now, r.Key) // the backlog has it when it can be read
			s.lanes.lookAgain(now)
			continue
		}
		if err != nil {
			s.bufferFailed(now, err, &s.lanes.backlogFrom)
			return nil
		}
		if !ok {
			s.up.table.Forget(r.Key) // acknowledged, or declared lost by the buffer
			continue
		}
		if s.lanes.again = s.prepare(now, st); s.lanes.again != nil {
			return s.lanes.again
		}
	}
}

// prepare decodes a record. One that cannot be sent is parked, and nil returned.
func (s *session) prepare(now time.Time, st buffer.Stored) *outgoing {
	o := &outgoing{stored: st}
	var err error
	switch st.Class {
	case buffer.Bulk, buffer.Alarm:
		if o.record, err = record.Decode(st.Data, s.up.units.Profile); err == nil {
			p := o.record.Profile
			o.run = births.Run{Unit: o.record.Unit, Born: o.record.Born, Fingerprint: p.Fingerprint()}
			o.bound = int64(sparkplug.RecordBound(o.record.Len(), len(p.Signals)))
		}
	case buffer.Loss:
		var info buffer.LossInfo
		if info, err = buffer.DecodeLoss(st.Data); err == nil {
			o.loss = lossOf(&info)
			o.bound = int64(len(st.Data)) + 1024
		}
	default:
		err = errors.New("this version does not send records of its class")
	}
	if err != nil {
		s.parkUnsent(now, o, fmt.Sprintf("cannot be read: %v", err))
		return nil
	}
	return o
}

func lossOf(i *buffer.LossInfo) *telemetry.Loss {
	l := &telemetry.Loss{
		Epoch: i.Epoch, From: i.From, To: i.To, Reason: telemetry.Reason(i.Reason),
		Readings: i.Rows, First: i.First, Last: i.Last,
	}
	for _, unit := range i.Labels {
		if telemetry.CheckID("unit", unit) == nil {
			l.Units = append(l.Units, unit)
		}
	}
	return l
}

// parkUnsent sets a record aside that cannot be sent as it is.
func (s *session) parkUnsent(now time.Time, o *outgoing, reason string) {
	if p, ok := s.up.table.Park(now, s.flightOf(o, flight.Backlog, int64(len(o.stored.Data))), reason); ok {
		s.reportParked([]flight.Parked{p})
	}
}

func (s *session) flightOf(o *outgoing, lane flight.Lane, size int64) flight.Record {
	r := flight.Record{
		Key: flight.Key(o.stored.Key), Lane: lane, Bytes: size,
		Unit: o.run.Unit, Fingerprint: o.run.Fingerprint, Born: o.run.Born,
	}
	r.End = o.record != nil && o.record.End != nil
	return r
}

func (s *session) reportParked(list []flight.Parked) {
	for _, p := range list {
		s.up.cfg.Metrics.parkings.Inc()
		s.log.Warn("record put aside; it is kept and tried again later",
			"epoch", telemetry.Epoch(p.Epoch).String(), "position", p.Position, "unit", p.Unit,
			"bytes", p.Bytes, "reason", p.Reason, "times", p.Times, "next_try", p.Next)
	}
}

const (
	// bufferPause is how long a lane leaves the buffer alone after it returned an error.
	bufferPause = time.Second
	// unreadablePause is after what time the backlog is read from its start again while the
	// buffer holds what cannot be read: it tries that again by itself.
	unreadablePause = 5 * time.Second
)

// bufferFailed has the backlog wait, or both lanes; until is when that goes on.
func (s *session) bufferFailed(now time.Time, err error, until *time.Time) {
	*until = now.Add(bufferPause)
	s.log.Error("buffer cannot be read; trying again", "error", err)
}
