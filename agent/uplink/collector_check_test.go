package uplink_test

import (
	"errors"
	"fmt"

	"andon.internal/shared/sparkplug"
	"andon.internal/shared/telemetry"
)

func (c *collector) decode(s *seen, b []byte) error {
	if s.kind == sparkplug.DData {
		e, err := sparkplug.Peek(b)
		if err != nil {
			return err
		}
		l, ok := c.layouts[fmt.Sprintf("%s/%x", s.unit, e.Fingerprint)]
		if !ok {
			return errors.New("no birth announced its layout")
		}
		s.seq = uint8(e.Seq)
		s.header, s.record, s.historical, err = sparkplug.DecodeRecord(b, s.unit, l, sparkplug.Limits{})
		return err
	}
	p, err := sparkplug.Decode(b, sparkplug.Limits{})
	if err != nil {
		return err
	}
	s.seq = uint8(p.Seq)
	if p.HasSeq == (s.kind == sparkplug.NDeath) {
		return errors.New("seq is missing, or there where none belongs")
	}
	switch s.kind {
	case sparkplug.NBirth:
		s.birth, err = sparkplug.ParseNodeBirth(p)
	case sparkplug.NDeath:
		s.bdSeq, err = sparkplug.ParseNodeDeath(p)
	case sparkplug.DBirth:
		s.unitBirth, err = sparkplug.ParseUnitBirth(s.unit, p)
	case sparkplug.NData:
		if p.UUID == sparkplug.LossUUID {
			var l telemetry.Loss
			s.header, l, err = sparkplug.DecodeLoss(b, sparkplug.Limits{})
			s.loss = &l
			break
		}
		h, ok := sparkplug.ParseHeartbeat(p)
		if !ok {
			return errors.New("an NDATA without a heartbeat")
		}
		s.heartbeat = &h
	}
	return err
}

// order checks what must hold of every sequence of messages.
func (c *collector) order(s *seen) {
	if s.kind == sparkplug.NDeath {
		if s.bdSeq == bdSeqOf(c.session) {
			c.alive = false
			clear(c.units)
		}
		return
	}
	if s.birth != nil {
		if s.birth.Session < c.session || bdSeqOf(s.birth.Session) != s.birth.BdSeq {
			c.fault("birth of session %d with bdSeq %d after session %d", s.birth.Session, s.birth.BdSeq, c.session)
		}
		if s.birth.Session != c.session {
			clear(c.aliases)
			clear(c.inFlight)
		}
		c.session, c.alive, c.nextSeq = s.birth.Session, true, 0
		clear(c.units)
		clear(c.layouts)
	}
	if !c.alive {
		c.fault("%v of %q while the node is dead", s.kind, s.unit)
	}
	if s.seq != c.nextSeq {
		c.fault("%v of %q has seq %d, want %d", s.kind, s.unit, s.seq, c.nextSeq)
	}
	c.nextSeq = s.seq + 1
	switch {
	case s.unitBirth != nil:
		c.bornUnit(s.unitBirth)
	case s.kind == sparkplug.DDeath:
		if !c.units[s.unit] {
			c.fault("death of %q, which is not born", s.unit)
		}
		delete(c.units, s.unit)
	case s.record != nil && !c.units[s.unit]:
		c.fault("data of %q, which is not born", s.unit)
	}
	if (s.record != nil || s.loss != nil) && s.header.Session != c.session {
		c.fault("position %d says session %d in session %d", s.header.Position, s.header.Session, c.session)
	}
}

func (c *collector) bornUnit(b *sparkplug.UnitBirth) {
	c.units[b.Unit] = true
	c.layouts[fmt.Sprintf("%s/%x", b.Unit, b.Profile.Fingerprint())] = b.Layout()
	for i := range b.Profile.Signals {
		name := b.Unit + "/" + b.Profile.Name + "/" + b.Profile.Signals[i].Name
		if was, ok := c.aliases[b.FirstAlias+uint64(i)]; ok && was != name {
			c.fault("alias %d means %s and %s in one session", b.FirstAlias+uint64(i), was, name)
		}
		c.aliases[b.FirstAlias+uint64(i)] = name
	}
}
