package uplink

import (
	"slices"
	"time"

	"andon.internal/agent/buffer"
	"andon.internal/agent/roster"
	"andon.internal/agent/uplink/internal/births"
	"andon.internal/shared/ranges"
	"andon.internal/shared/sparkplug"
	"andon.internal/shared/telemetry"
)

// next appends the next message to dst and returns its topic. Births come first,
// because everything else refers to them. ok is false when there is nothing to send
// now.
func (s *session) next(now time.Time, dst []byte) (topic string, payload []byte, ok bool) {
	if !s.birthAt.IsZero() && !now.Before(s.birthAt) {
		return s.nodeBirth(now, dst)
	}
	if !s.born || !s.birthAt.IsZero() {
		return "", dst, false // who asked for births can do nothing with data before
	}
	for len(s.announce) > 0 {
		unit := s.announce[0]
		s.announce = s.announce[1:]
		if u, on := s.active[unit]; on && s.reg.NeedActive(runOf(&u)) {
			return s.unitBirth(now, dst, runOf(&u), u.Profile, u.Last)
		}
	}
	if topic, payload, ok = s.nextDeath(now, dst); ok {
		return topic, payload, ok
	}
	if !now.Before(s.heartbeat) {
		return s.nextHeartbeat(now, dst)
	}
	return s.nextRecord(now, dst)
}

// take returns the sequence number for a message of the given type.
func (s *session) take(t sparkplug.MessageType) uint8 {
	n := s.seq
	s.seq++ // modulo 256
	s.up.cfg.Metrics.messages.WithLabelValues(t.String()).Inc()
	return n
}

// nodeBirth begins the session, or begins it again.
func (s *session) nodeBirth(now time.Time, dst []byte) (string, []byte, bool) {
	u := s.up
	if !s.born {
		s.heard = now
		s.lanes.liveFrom = now.Add(u.cfg.SyncGrace)
		s.leaveHeld(now)
		s.log.Info("session began", "broker", u.url.Host, "attempts", u.tries+1)
	}
	s.born, s.bornAt, s.birthAt = true, now, time.Time{}
	s.seq = 0
	s.reg.Reset()
	s.dying = nil
	s.lookAtUnits()
	u.table.Recall()
	s.lanes.rescan()
	s.heartbeat = now.Add(u.cfg.Heartbeat)

	held := u.buf.Chain()
	chain := listed(held)
	s.beginSync(now, chain, held)
	s.lookAtChain(held)
	b := sparkplug.NodeBirth{
		Time: s.up.stamp(), BdSeq: s.bdSeq, Session: s.number, Version: u.cfg.Version, Boot: u.cfg.Boot,
		Chain: wireChain(chain), Heartbeat: s.figures(),
	}
	s.take(sparkplug.NBirth)
	u.cfg.Metrics.births.Inc()
	return s.nodeTopic(sparkplug.NBirth), b.Append(dst), true
}

// listed returns what a birth lists of the chain. Where there are too many epochs for
// it, these are the oldest, which are sent first, and the current one. That one then
// stands for itself: the collector closes the unlisted epochs that a listed one
// descends from, and these still hold records.
func listed(chain []buffer.EpochState) []buffer.EpochState {
	if len(chain) <= sparkplug.MaxChain {
		return chain
	}
	current := chain[len(chain)-1]
	current.Prev = buffer.Epoch{}
	return append(chain[:sparkplug.MaxChain-1:sparkplug.MaxChain-1], current)
}

// wireChain is the chain as a birth lists it.
func wireChain(chain []buffer.EpochState) []sparkplug.ChainEpoch {
	list := make([]sparkplug.ChainEpoch, 0, len(chain))
	for i := range chain {
		c := &chain[i]
		// What is retained can still come, and must not be booked as lost before a database
		// that was put back has said that it lacks it.
		held := c.Held.Clone()
		held.AddSet(c.Retained)
		list = append(list, sparkplug.ChainEpoch{
			Epoch: c.Epoch, Prev: c.Prev, End: sparkplug.EndKind(c.Ended), Next: c.Next,
			Held: held.Intersect(ranges.Of(ranges.Range{From: 0, To: c.Next})),
		})
	}
	return list
}

// unitBirth announces a unit.
func (s *session) unitBirth(now time.Time, dst []byte, r births.Run, p *telemetry.Profile, last []telemetry.Value) (string, []byte, bool) {
	b := s.reg.Born(r, s.onTest, len(p.Signals))
	if len(last) != len(p.Signals) || b.Backlog {
		last = nil
	}
	birth := sparkplug.UnitBirth{
		Time: s.up.stamp(), Session: s.number, Unit: r.Unit, Profile: p, FirstAlias: b.FirstAlias,
		Born: r.Born, Backlog: b.Backlog, Last: last,
	}
	return s.unitTopic(sparkplug.DBirth, r.Unit), birth.Append(dst, s.take(sparkplug.DBirth)), true
}

// nextDeath sends the death of a unit of which nothing is left to send.
func (s *session) nextDeath(now time.Time, dst []byte) (string, []byte, bool) {
	for i := 0; i < len(s.dying); {
		r := s.dying[i]
		if s.up.table.HasRun(r.Unit, r.Born) {
			i++
			continue
		}
		s.dying = slices.Delete(s.dying, i, i+1)
		if s.reg.IsCurrent(r.Unit, r.Born) {
			s.reg.Died(r.Unit)
			return s.unitTopic(sparkplug.DDeath, r.Unit),
				sparkplug.AppendUnitDeath(dst, s.up.stamp(), s.take(sparkplug.DDeath)), true
		}
	}
	return "", dst, false
}

// nextHeartbeat sends the node's figures, and looks at what only needs a look now
// and then.
func (s *session) nextHeartbeat(now time.Time, dst []byte) (string, []byte, bool) {
	s.heartbeat = now.Add(s.up.cfg.Heartbeat)
	h := s.figures()
	chain := s.up.buf.Chain()
	s.lookAtChain(chain)
	s.lookForOthers(now, chain)
	s.settleUnits(h.Records)
	return s.nodeTopic(sparkplug.NData), h.Append(dst, s.up.stamp(), s.take(sparkplug.NData)), true
}

// maxSentRanges is how many ranges the positions sent of an epoch may lie in before
// those are forgotten that matter no more.
const maxSentRanges = 4096

// lookAtChain bounds what grows with gaps: the ledger, and the positions sent.
func (s *session) lookAtChain(chain []buffer.EpochState) {
	s.lanes.countHoles(chain, s.up.cfg.MaxHoles)
	for i := range chain {
		sent := s.up.sent[chain[i].Epoch]
		if sent == nil || len(sent.Ranges()) <= maxSentRanges {
			continue
		}
		below := chain[i].Next
		if held := chain[i].Held.Ranges(); len(held) > 0 {
			below = held[0].From
		}
		sent.Add(0, below) // nothing there can be deleted any more
	}
}

// settleUnits lets units die that have left the test without a record that says so.
// As a safeguard it reads the backlog again from its start when something is held
// that nobody is waiting for.
func (s *session) settleUnits(held uint64) {
	if !s.sync.done || s.hold || !s.lanes.idle() {
		s.idleBeats = 0
		return
	}
	for _, r := range s.reg.Idle(s.onTest) {
		if !s.up.table.HasUnit(r.Unit) {
			s.dying = append(s.dying, r)
		}
	}
	if f := s.up.table.Stats(); held <= uint64(f.Records+f.Waiting+f.Parked) {
		s.idleBeats = 0
		return
	}
	if s.idleBeats++; s.idleBeats > 1 {
		s.idleBeats = 0
		s.lanes.rescan()
	}
}

// figures are the heartbeat's.
func (s *session) figures() sparkplug.Heartbeat {
	st := s.up.buf.Stats()
	h := sparkplug.Heartbeat{
		Rows: st.Rows, Records: st.Records, Bytes: st.Bytes,
		OldestMS: uint64(max(st.OldestAge.Milliseconds(), 0)), Lost: st.LostRows,
	}
	if s.up.cfg.Health != nil {
		s.up.cfg.Health(&h)
	}
	return h
}

// lookAtUnits reads the roster and puts units that came on test in line to be born.
func (s *session) lookAtUnits() {
	list := s.up.units.Active()
	s.active = make(map[string]roster.Unit, len(list))
	s.announce = s.announce[:0]
	for i := range list {
		s.active[list[i].ID] = list[i]
		if s.reg.NeedActive(runOf(&list[i])) {
			s.announce = append(s.announce, list[i].ID)
		}
	}
}

// onTest returns the run of a unit that is on test.
func (s *session) onTest(unit string) (births.Run, bool) {
	u, ok := s.active[unit]
	if !ok {
		return births.Run{}, false
	}
	return runOf(&u), true
}

func runOf(u *roster.Unit) births.Run {
	return births.Run{Unit: u.ID, Born: u.Born, Fingerprint: u.Profile.Fingerprint()}
}
