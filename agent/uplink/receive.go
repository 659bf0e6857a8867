package uplink

import (
	"time"

	"andon.internal/agent/uplink/internal/births"
	"andon.internal/agent/uplink/internal/link"
	"andon.internal/shared/ranges"
	"andon.internal/shared/sparkplug"
	"andon.internal/shared/telemetry"
)

// commandLimits bounds what is read of a command.
var commandLimits = sparkplug.Limits{Message: 512 << 10, Metrics: 64, Properties: 64, Text: sparkplug.MaxAckText}

// maxTimestamp is the end of the year 9999 in ms: what is later is no time.
const maxTimestamp = 253402300799999

// receive takes one message from the broker. It returns an error when the session
// is to end.
func (s *session) receive(now time.Time, m link.Message) error {
	t, err := sparkplug.ParseTopic(m.Topic)
	if err != nil {
		s.invalid(m, err)
		return nil
	}
	if t.Type == sparkplug.HostState {
		return s.hostSaid(now, t.Host, m)
	}
	if m.Retained {
		s.refused(refusedRetained)
		s.log.Warn("retained command refused: somebody publishes commands as retained, which is a fault", "topic", m.Topic)
		return nil
	}
	own := s.up.cfg.Node
	if t.Type != sparkplug.NCmd || t.Group != own.Group || t.Node != own.ID {
		s.refused(refusedForeign)
		return nil
	}
	p, err := sparkplug.Decode(m.Payload, commandLimits)
	if err != nil {
		s.invalid(m, err)
		return nil
	}
	c, err := sparkplug.ParseCommand(p)
	if err != nil {
		s.invalid(m, err)
		return nil
	}
	if !s.born {
		s.refused(refusedEarly)
		return nil
	}
	if c.Ack != nil {
		if p.HasTimestamp && p.Timestamp <= maxTimestamp {
			s.up.cfg.Told(time.UnixMilli(int64(p.Timestamp)))
		}
		if err := s.acknowledged(now, c.Ack); err != nil {
			return err
		}
	}
	if c.Rebirth {
		s.up.cfg.Metrics.rebirths.Inc()
		s.askBirth(now)
	}
	return nil
}

func (s *session) invalid(m link.Message, err error) {
	s.refused(refusedMalformed)
	s.log.Debug("message not understood", "topic", m.Topic, "bytes", len(m.Payload), "error", err)
}

func (s *session) refused(reason string) { s.up.cfg.Metrics.refusals.WithLabelValues(reason).Inc() }

func (s *session) answered(result string) { s.up.cfg.Metrics.answers.WithLabelValues(result).Inc() }

// askBirth lets the node be born again, not too soon after the last time.
func (s *session) askBirth(now time.Time) {
	if !s.birthAt.IsZero() {
		return
	}
	s.birthAt = s.bornAt.Add(s.up.cfg.RebirthEvery)
	if s.birthAt.Before(now) {
		s.birthAt = now
	}
}

// acknowledged applies what the collector says.
func (s *session) acknowledged(now time.Time, a *sparkplug.Ack) error {
	s.heard, s.acked = now, now
	s.up.table.Heard(now)
	believed := s.believes(now, a.DB)
	if believed {
		s.up.table.Grant(a.Credit.Records, a.Credit.Bytes)
	}
	for i := range a.Epochs {
		e := &a.Epochs[i]
		if !s.sync.done {
			has := s.sync.has[e.Epoch]
			if has == nil {
				has = &ranges.Set{}
				s.sync.has[e.Epoch] = has
			}
			has.AddSet(e.Committed)
		}
		s.committed(now, e.Epoch, e.Committed)
	}
	if believed {
		s.databaseIs(now, a.DB)
	}
	if a.Sync != nil {
		return s.syncPart(now, a)
	}
	return nil
}

// committed lets the buffer delete what PostgreSQL has, of what was really sent: by
// this process as it remembers, by earlier ones at most what they stored.
func (s *session) committed(now time.Time, epoch telemetry.Epoch, set ranges.Set) {
	var allowed ranges.Set
	if sent := s.up.sent[epoch]; sent != nil {
		allowed = set.Intersect(*sent)
	} else if limit, ok := s.sync.limits[epoch]; ok {
		allowed = set.Intersect(allBelow(limit))
	} else if epoch != s.sync.current {
		s.answered(answerUnknown)
		return
	}
	if n := set.Len() - allowed.Len(); n > 0 {
		s.answered(answerUnsent)
		s.up.cfg.Metrics.refused.Add(float64(n))
	}
	if allowed.Empty() {
		return
	}
	if err := s.up.buf.Ack(epoch, allowed); err != nil {
		s.log.Error("acknowledgement not applied", "epoch", epoch.String(), "error", err)
	}
	list := s.up.table.Acked(now, epoch, allowed)
	if len(list) > 0 || !s.sync.done {
		s.answered(answerApplied)
	} else {
		s.answered(answerRepeated)
	}
	s.up.cfg.Metrics.acknowledged.Add(float64(len(list)))
	for i := range list {
		if r := &list[i]; r.End {
			s.dying = append(s.dying, births.Run{Unit: r.Unit, Born: r.Born, Fingerprint: r.Fingerprint})
		}
	}
}
