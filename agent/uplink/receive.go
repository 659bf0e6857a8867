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

// hostState is what is known of the primary host; it outlives sessions.
type hostState struct{ timestamp int64 }

// receive takes one message from the broker. It returns an error when the session
// is to end.
func (s *session) receive(now time.Time, m link.Message) error {
	t, err := sparkplug.ParseTopic(m.Topic)
	if err != nil {
		s.invalid(m, err)
		return nil
	}
	if t.Type == sparkplug.HostState {
		return s.hostSaid(now, m)
	}
	if m.Retained {
		s.up.cfg.Metrics.retained.Inc()
		s.log.Warn("retained command refused: somebody publishes commands as retained, which is a fault", "topic", m.Topic)
		return nil
	}
	if t.Type != sparkplug.NCmd {
		s.up.cfg.Metrics.invalid.Inc() // no unit takes commands
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
		return nil // for an earlier session
	}
	if c.Ack != nil {
		if err := s.acknowledged(now, c.Ack); err != nil {
			return err
		}
	}
	if c.Rebirth {
		s.heard = now
		s.up.cfg.Metrics.rebirths.Inc()
		s.askBirth(now)
	}
	return nil
}

func (s *session) invalid(m link.Message, err error) {
	s.up.cfg.Metrics.invalid.Inc()
	s.log.Debug("message not understood", "topic", m.Topic, "bytes", len(m.Payload), "error", err)
}

// hostSaid follows the primary host.
func (s *session) hostSaid(now time.Time, m link.Message) error {
	st, err := sparkplug.ParseState(m.Payload)
	if err != nil {
		s.invalid(m, err)
		return nil
	}
	if st.Timestamp < s.up.host.timestamp {
		return nil // older than what is known
	}
	s.up.host.timestamp = st.Timestamp
	switch {
	case st.Online && !s.born && s.birthAt.IsZero():
		s.birthAt = now
	case !st.Online && (s.born || !s.birthAt.IsZero()):
		return errHostGone
	}
	return nil
}

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
	s.heard, s.heardOnce = now, true
	s.up.table.Grant(a.Credit.Records, a.Credit.Bytes)
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
	s.databaseIs(now, a.DB)
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
		return // an epoch that the buffer has done with
	}
	if n := set.Len() - allowed.Len(); n > 0 {
		s.up.cfg.Metrics.refused.Add(float64(n))
	}
	if allowed.Empty() {
		return
	}
	if err := s.up.buf.Ack(epoch, allowed); err != nil {
		s.log.Error("acknowledgement not applied", "epoch", epoch.String(), "error", err)
	}
	list := s.up.table.Acked(now, epoch, allowed)
	s.up.cfg.Metrics.acknowledged.Add(float64(len(list)))
	for i := range list {
		if r := &list[i]; r.End {
			s.dying = append(s.dying, births.Run{Unit: r.Unit, Born: r.Born, Fingerprint: r.Fingerprint})
		}
	}
}

// databaseIs follows the database. While it is away each live record is sent once
// and nothing is repeated; when it is back everything held is sent again.
func (s *session) databaseIs(now time.Time, db sparkplug.DBState) {
	switch {
	case db == sparkplug.DBDown:
		s.up.table.Hold(now)
		if !s.hold {
			s.hold, s.holdSince = true, now
			s.up.cfg.Metrics.holds.Inc()
			s.log.Warn("the database is away: holding everything")
		}
	case s.hold:
		s.log.Info("the database is back", "after", now.Sub(s.holdSince).Round(time.Millisecond))
		s.hold, s.holdSince = false, time.Time{}
		s.up.table.Recall()
		s.lanes.rescan()
		s.lanes.backlogFrom = now.Add(s.up.cfg.HoldGrace)
		if !s.sync.done {
			s.sync.by = now.Add(max(s.sync.timeout, s.up.cfg.SyncTimeout))
		}
	}
}
