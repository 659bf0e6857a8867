package uplink

import (
	"slices"
	"time"

	"andon.internal/agent/uplink/internal/flight"
	"andon.internal/shared/sparkplug"
	"andon.internal/shared/telemetry"
)

// liveLingers is how long the backlog goes on leaving half of the window to live
// records after the last one.
const liveLingers = 2 * time.Second

// nextRecord sends the record that is due next, or the birth that it needs first.
func (s *session) nextRecord(now time.Time, dst []byte) (topic string, payload []byte, ok bool) {
	for {
		o, lane := s.choose(now)
		if o == nil {
			return "", dst, false
		}
		if o.record != nil && s.reg.Need(o.run) {
			if u, on := s.active[o.run.Unit]; !on || runOf(&u) != o.run {
				s.lookAtUnits() // it may have come on test just now
			}
			var last []telemetry.Value
			if u, on := s.active[o.run.Unit]; on {
				last = u.Last
			}
			return s.unitBirth(now, dst, o.run, o.record.Profile, last)
		}
		if topic, payload, ok = s.sendRecord(now, o, lane, dst); ok {
			return topic, payload, true
		}
		dst = payload
	}
}

// choose picks the lane that may send now: live first, with a share for the backlog.
func (s *session) choose(now time.Time) (*outgoing, flight.Lane) {
	t, l, p := s.up.table, &s.lanes, &s.up.pace
	if !p.ready(now) {
		return nil, 0
	}
	live := s.nextLive(now)
	if s.hold {
		return live, flight.Live
	}
	back := s.nextBacklog(now)
	contended := live != nil || now.Sub(l.lastLive) < liveLingers
	liveRoom := live != nil && t.Room(now, flight.Live, live.bound, back != nil)
	// A fresh record waits for one message of the backlog, and not for all that find a packet.
	wayFree := !contended || s.link.Under() <= 1
	backRoom := back != nil && wayFree && t.Room(now, flight.Backlog, back.bound, contended)
	switch {
	case liveRoom && backRoom && l.last == flight.Live && t.Stats().CreditRecords == 1:
		return back, flight.Backlog // one at a time: they take turns
	case liveRoom && backRoom && p.owes(len(back.stored.Data)):
		p.paid(len(back.stored.Data))
		return back, flight.Backlog
	case liveRoom:
		if back != nil {
			p.passedOver(len(live.stored.Data))
		}
		return live, flight.Live
	case backRoom:
		p.paid(len(back.stored.Data))
		return back, flight.Backlog
	}
	return nil, 0
}

// sendRecord appends the message of a record. From here on it counts as sent: the
// collector may have it, whatever the connection says. ok is false when it cannot
// be sent at all; then it is parked.
func (s *session) sendRecord(now time.Time, o *outgoing, lane flight.Lane, dst []byte) (topic string, payload []byte, ok bool) {
	cfg := &s.up.cfg
	historical := lane == flight.Backlog && !s.fresh(now, &o.stored)
	at := cfg.Clock() // both at one moment: their difference is the anchor
	ts := uint64(max(at.Wall/1e6, 0))
	h := sparkplug.Header{
		Epoch: o.stored.Epoch, Position: o.stored.Position, Session: s.number, SentBoot: at.Boot,
		Moved: o.stored.Moved,
	}
	kind := sparkplug.DData
	if o.loss != nil {
		kind = sparkplug.NData
		topic = s.nodeTopic(kind)
		payload = sparkplug.AppendLoss(dst, h, *o.loss, ts, s.seq)
	} else {
		topic = s.unitTopic(kind, o.run.Unit)
		first, _ := s.reg.FirstAlias(o.run)
		dst = slices.Grow(dst, int(min(o.bound, int64(cfg.MaxMessage))))
		payload = sparkplug.AppendRecord(dst, h, o.record, first, ts, s.seq, historical)
	}
	tooLarge := len(payload) > cfg.MaxMessage
	for _, head := range [...]**outgoing{&s.lanes.live, &s.lanes.backlog, &s.lanes.again} {
		if *head == o {
			*head = nil
		}
	}
	again := s.up.sentOf(o.stored.Epoch).Contains(o.stored.Position)
	s.passed(o.stored.Key)
	if tooLarge {
		s.parkUnsent(now, o, "its message is larger than the broker takes")
		return "", dst[:0], false
	}
	s.take(kind)
	s.up.sentOf(o.stored.Epoch).Add(o.stored.Position, o.stored.Position+1)
	s.count(now, o, lane, again)
	if s.hold {
		s.spendHold(now, int64(len(payload)))
		return topic, payload, true
	}
	s.up.table.Sent(now, s.flightOf(o, lane, int64(len(payload))))
	return topic, payload, true
}

// count notes a record on its way.
func (s *session) count(now time.Time, o *outgoing, lane flight.Lane, again bool) {
	m := s.up.cfg.Metrics
	s.lanes.last = lane
	if again {
		m.retransmissions.Inc()
	}
	if lane == flight.Live {
		s.lanes.lastLive = now
		m.records.WithLabelValues("live").Inc()
		m.publish.Observe(time.Since(o.stored.Appended).Seconds())
		return
	}
	m.records.WithLabelValues("backlog").Inc()
}

// spendHold spaces live records out in a hold: there are no
// acknowledgements then to set the pace.
func (s *session) spendHold(now time.Time, size int64) {
	cfg := &s.up.cfg
	cost := max(time.Second/time.Duration(cfg.HoldRecords), time.Duration(float64(size)/float64(cfg.HoldBytes)*float64(time.Second)))
	const burst = 100 * time.Millisecond
	from := s.lanes.holdUntil
	if earliest := now.Add(-burst); from.Before(earliest) {
		from = earliest
	}
	s.lanes.holdUntil = from.Add(cost)
}
